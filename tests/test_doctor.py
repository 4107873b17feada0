"""`train doctor`: what it finds where nothing is wrong, and where something was made so."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from trainer.doctor import Finding, examine, installed, machine, places, speed
from trainer.doctor import finding as findings_module
from trainer.doctor.speed import Trained, peak_rate, train_for
from trainer.engine.compiled.target import host_target
from trainer.extras import DISTRIBUTION, package_version

NAMES = [
    "package", "dependencies", "extra dask", "extra excel", "extra onnx", "extra postgres",
    "extra sweep", "settings", "terminal", "processor", "cores", "memory", "kernel cache", "runs",
    "store", "speed",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SECONDS", 0.02)


def test_a_sound_machine(train, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_todo", lambda *_: None)  # tests keep all cores busy
    code, out, err = train("doctor")
    assert (code, err) == (0, "")
    lines = [line for line in out.splitlines() if line[:1] not in ("", " ")]
    assert [line[2:18].strip() for line in lines[:-1]] == NAMES
    assert lines[0].startswith(f"✓ package         {DISTRIBUTION} {package_version()}, Python 3.")
    assert lines[-1] == "`train CONFIG` works here."
    assert not {line[0] for line in lines[:-1]} - {"✓", "·"}
    assert not list(folder.iterdir())  # nothing was left, nor made before there is a run


def test_json_is_one_object(train, folder: Path) -> None:
    code, out, err = train("doctor", "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert (told["usable"], told["version"]) == (True, package_version())
    assert [found["name"] for found in told["findings"]] == NAMES
    assert all(set(f) == {"name", "state", "says", "todo", "facts"} for f in told["findings"])
    facts = {found["name"]: found["facts"] for found in told["findings"]}
    assert facts["dependencies"]["numpy"] == version("numpy")
    assert facts["processor"]["vector_bits"] == 8 * host_target().vector_bytes
    assert facts["speed"]["share"] == pytest.approx(
        facts["speed"]["gflops"] / facts["speed"]["peak_gflops"], rel=0.02
    )


def test_quiet_is_silent(train, folder: Path) -> None:
    assert train("doctor", "--quiet") == (0, "", "")


# Planted faults -----------------------------------------------------------------------------------


def found(name: str, runs: Path = Path("runs"), uri: str | None = None) -> Finding:
    """The finding of this name."""
    return next(finding for finding in examine(runs, uri) if finding.name == name)


def missing(*names: str) -> Callable[[str], str]:
    """`version` without these packages."""

    def look(name: str) -> str:
        if name in names:
            raise PackageNotFoundError(name)
        return version(name)

    return look


def test_a_missing_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "version", missing("onnx", "onnxruntime"))
    onnx = found("extra onnx")
    assert (onnx.state, onnx.says) == ("note", "not installed")
    assert onnx.todo == f"pip install '{DISTRIBUTION}[onnx]'"


def test_half_an_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "version", missing("onnxruntime"))
    onnx = found("extra onnx")
    assert (onnx.state, onnx.says) == ("warning", "onnxruntime is not installed, needed >=1.20")


@pytest.mark.parametrize(
    ("look", "says"),
    [
        (missing("llvmlite"), "llvmlite is not installed, needed <0.51,>=0.50"),
        (lambda name: "1.0" if name == "numpy" else version(name), "numpy 1.0, needed <3,>=2.0"),
    ],
)
def test_a_dependency_that_does_not_fit(
    train, folder: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[str], str], says: str
) -> None:
    monkeypatch.setattr(installed, "version", look)
    assert train("doctor", "--quiet") == (
        7, f"✗ dependencies    {says}\n{'':18}pip install --upgrade {DISTRIBUTION}\n", "",
    )  # fmt: skip


def test_a_package_that_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installed, "requires", nothing)
    monkeypatch.setattr(installed, "package_version", lambda: "0")
    assert found("package").todo == "it runs from its sources and is not installed: pip install ."
    assert found("dependencies").state == "warning"
    assert "extra onnx" not in {finding.name for finding in examine(Path("runs"))}


def test_runs_that_cannot_be_written(train, folder: Path) -> None:
    code, out, _ = train("doctor", "--runs", "/proc/runs")
    assert code == 7
    assert "✗ runs            /proc/runs, made with the first run: cannot be written: " in out
    assert out.endswith("\nTo be mended: runs.\n")


def test_runs_that_are_a_file(folder: Path) -> None:
    Path("runs").touch()
    runs = found("runs")
    assert runs.state == "bad"
    assert runs.says.endswith("/runs: cannot be written: Not a directory")


def test_a_disk_that_is_nearly_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "LEAST_DISK", 10**18)
    assert (found("runs").state, found("runs").todo) == ("warning", "make room on this disk")


def test_a_store_that_is_away(train, folder: Path) -> None:
    code, out, _ = train("doctor", "--quiet", "--tracking-uri", "http://127.0.0.1:9")
    assert code == 5
    assert out.startswith("✗ --tracking-uri  no MLflow server at http://127.0.0.1:9: ")
    assert "start the server, or leave the address out" in out


def test_a_store_that_is_no_database(folder: Path) -> None:
    Path("other.db").write_text("no database, but long enough to be read as the head of one" * 9)
    other = found("--tracking-uri", uri="sqlite:///other.db")
    assert (other.state, other.exit_code) == ("bad", 5)
    assert "cannot be written: file is not a database" in other.says


def test_a_store_that_is_there(store: str, folder: Path) -> None:
    assert found("store").says.endswith("runs/mlflow.db can be reached")


@pytest.mark.parametrize(
    ("cpu", "state", "says"),
    [
        ("x86-64", "bad", "the CPU 'x86-64' (TRAINER_CPU), if LLVM knows it, cannot fuse"),
        ("haswell", "note", "compiled for haswell, vectors of 256 bits"),
    ],
)
def test_another_cpu(
    folder: Path, monkeypatch: pytest.MonkeyPatch, cpu: str, state: str, says: str
) -> None:
    monkeypatch.setenv("TRAINER_CPU", cpu)
    processor = found("processor")
    assert processor.state == state
    assert says in processor.says
    assert "unset" in str(processor.todo)
    assert processor.facts["chosen"] == cpu


def test_a_cpu_without_kernels_is_not_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINER_CPU", "x86-64")
    assert found("speed").says.startswith("not measured")


def test_less_time_than_cores(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = folder / "cpu.max"
    monkeypatch.setattr(machine, "GROUP_CORES", limit)
    monkeypatch.setattr(machine, "available_cores", lambda: 4)
    for text, state in (("max 100000", "ok"), ("150000 100000", "warning"), ("?", "ok")):
        limit.write_text(text)
        assert found("cores").state == state
    limit.write_text("150000 100000")
    assert found("cores").says.endswith("but a limit leaves the time of 1.5 cores")
    assert found("cores").todo == "train CONFIG --threads 1"
    monkeypatch.setattr(machine, "available_cores", lambda: 1)
    limit.write_text("50000 100000")
    assert found("cores").says.endswith("uses 1 thread, but a limit leaves the time of 0.5 cores")
    assert found("cores").todo is None


def test_little_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    400000 kB\n")
    monkeypatch.setattr(machine, "MEMORY", folder / "meminfo")
    assert found("memory").state == "warning"
    assert found("memory").says.endswith("409.6 MB of it free")


def test_a_cache_that_others_can_write_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "kernels").mkdir()
    (folder / "kernels").chmod(0o777)
    monkeypatch.setenv("TRAINER_CACHE", str(folder / "kernels"))
    assert found("kernel cache").state == "warning"
    assert found("kernel cache").says.endswith("can be written by other users")


@pytest.mark.parametrize(
    ("steps", "busy", "clock", "told"),
    [
        (0.7, 1.0, 3e9, None),
        (0.3, 0.6, 3e9, "other programs took 40% of the core's time"),
        (0.3, 1.0, 3e9, "other programs use its caches and memory"),
        (0.7, 1.0, 1.2e9, "as if it ran at 1.2 GHz"),
    ],
)
def test_what_is_said_of_speeds(steps: float, busy: float, clock: float, told: str | None) -> None:
    said = speed._todo(Trained(1.0, steps * 1e11, busy), 1e11, clock)
    assert (told is None and said is None) or str(told) in str(said)


def test_the_peak_is_one() -> None:
    """No training passes what the core can do, and the peak is a rate of this core."""
    peak, trained = peak_rate(host_target()), train_for(0.05)
    assert 1e9 < peak < 1e12
    assert 0.02 * peak < trained.flops < 1.1 * peak
    assert 0 < trained.busy < 1.05


def test_a_probe_that_fails_is_told_and_ends_nothing(
    train, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> float:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(machine, "machine_memory", fails)
    memory = found("memory")
    assert (memory.state, memory.says) == (
        "warning", "cannot be looked at: ZeroDivisionError: planted",
    )  # fmt: skip
    assert train("doctor", "--quiet")[0] == 0


def test_an_encoding_without_signs(folder: Path) -> None:
    """What a terminal cannot show is shown by plain signs."""
    out = subprocess.run(
        [sys.executable, "-m", "trainer", "doctor", "--runs", "/proc/runs"],
        env={"PYTHONIOENCODING": "ascii", "HOME": str(folder), "PATH": ""},
        capture_output=True, check=False,
    ).stdout.decode("ascii")  # fmt: skip
    lines = out.splitlines()
    assert lines[0].startswith("+ package ")
    assert any(line.startswith("x runs ") for line in lines)
    assert any(line.startswith(". terminal        none, plain lines, ascii") for line in lines)


# What may be told ---------------------------------------------------------------------------------


def test_no_secret_is_told(train, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = folder / "home" / "alice"
    (home / "mine").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(findings_module, "_user", lambda: "alice")
    secrets = ["geheim1", "geheim2", "geheim3", "geheim4", "geheim5"]
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", secrets[0])
    monkeypatch.setenv("TRAINER_TOKEN", secrets[1])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://bob:{secrets[2]}@127.0.0.1:9/alice")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secrets[3])
    uri = f"mysql+pymysql://bob:{secrets[4]}@127.0.0.1:9/x?ssl_key={secrets[4]}"
    options = ["--runs", home / "mine" / "runs", "--tracking-uri", uri]
    for more in ([], ["--json"]):
        _, out, err = train("doctor", *options, *more)
        assert not err
        assert "~/mine/runs" in out
        assert "MLFLOW_TRACKING_TOKEN" in out
        assert "***" in out
        for secret in (*secrets, "alice", "bob", str(folder), "AWS_SECRET"):
            assert secret not in out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/alice/runs", "~/runs"),
        ("sqlite:////home/alice/mlflow.db", "sqlite:///~/mlflow.db"),
        ("/home/alice2/runs", "/home/alice2/runs"),
        ("/data/alice/runs", "/data/USER/runs"),
        ("http://bob:pw@host/x", "http://USER@host/x"),
        ("postgresql://bob:pw@host/db?user=alice", "postgresql://USER:***@host/db?user=USER"),
        ("postgresql://bob@host/db", "postgresql://USER@host/db"),
        ("/scratch/alice_runs/x", "/scratch/USER_runs/x"),
        ("/tmp/pytest-of-alice/x", "/tmp/pytest-of-USER/x"),
        ("/nfs/alice.smith/x", "/nfs/USER.smith/x"),
        ("cannot open /home/alice.", "cannot open ~."),
        ('failed for user "alice"', 'failed for user "USER"'),
        ("malice, /malice/alicea", "malice, /malice/alicea"),
        ({"a": ["/home/alice", 3, None]}, {"a": ["~", 3, None]}),
    ],
)
def test_what_is_left_out(monkeypatch: pytest.MonkeyPatch, text: Any, told: Any) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setattr(findings_module, "_user", lambda: "alice")
    assert Finding("x", "ok", "", facts={"x": text}).clean().facts["x"] == told


def test_a_folder_that_cannot_be_made_is_told(train: Any, folder: Path) -> None:
    code, out, _ = train("doctor", "--runs", "a" * 300)
    assert code == 7
    assert "cannot be written: File name too long" in out
    assert "report this" not in out


def test_looking_begins_at_once() -> None:
    """The first finding needs no library."""
    look = (
        "import sys; from pathlib import Path; from trainer.doctor import examine;"
        "next(examine(Path('runs'))); print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"numpy", "llvmlite", "mlflow", "pydantic", "sqlalchemy"} & set(loaded)
