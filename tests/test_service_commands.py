"""The commands that ask a service: what a user sees, and with which exit code they end."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from stub_service import ID, JOB, TOKEN, Answer, Asked, Stub, event, job, stream, stub

from trainer.cli.access import is_elsewhere

SHORT = ID[:8]
LOST = Answer(silent=True)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Stub]:
    """A service that the variables name."""
    with stub() as made:
        monkeypatch.setenv("TRAINER_SERVER", made.url)
        monkeypatch.setenv("TRAINER_TOKEN", TOKEN)
        monkeypatch.delenv("TRAINER_PROFILE", raising=False)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        yield made


@pytest.mark.parametrize("words", ["add", "list", "revoke"])
def test_commands_within_a_command_have_help_with_an_example(train, words: str) -> None:
    code, out, _ = train("token", words, "--help")
    assert code == 0
    assert f"Example: train token {words}" in out


# Errors -----------------------------------------------------------------------------------------

ERRORS = [
    (Answer({"error": "unauthorised", "message": "no"}, 401), 8, "takes no such token"),
    (Answer({"error": "forbidden", "message": "needs the role submitter"}, 403), 8, "submitter"),
    (Answer({"error": "missing", "message": "there is no such job"}, 404), 2, "no such job"),
    (Answer({"error": "conflict", "message": "it is finished"}, 409), 2, "it is finished"),
    (Answer({"error": "too_large", "message": "too large"}, 413), 2, "too large"),
    (Answer({"error": "quota", "message": "20,000 jobs wait"}, 429), 8, "20,000 jobs wait"),
    (Answer({"error": "draining", "message": "ends"}, 503, {"Retry-After": "600"}), 8, "ends"),
    (Answer(b"<html>Welcome to nginx</html>"), 8, "is this the service's address"),
    (Answer(b"<html>", 502, {"Retry-After": "600"}), 8, "status 502"),
    (Answer(b"", 302, {"Location": "https://sso.example.org/"}), 8, "https://sso.example.org/"),
]  # fmt: skip


@pytest.mark.parametrize("command", ["jobs", "cancel", "pause", "watch", "submit"])
@pytest.mark.parametrize(("answer", "code", "words"), ERRORS)
def test_what_a_user_is_told(
    train,
    service: Stub,
    write_spec,
    monkeypatch,
    command: str,
    answer: Answer,
    code: int,
    words: str,
) -> None:
    monkeypatch.setattr("trainer.client.wire.FIRST_PAUSE", 1000)  # nobody waits
    for what in ("GET /jobs", f"GET /jobs/{SHORT}", f"POST /jobs/{SHORT}/{command}", "POST /jobs"):
        service.on(what, answer)
    arguments = {"submit": [write_spec().name], "jobs": []}.get(command, [SHORT])
    found, out, err = train(command, *arguments)
    assert (found, out) == (code, "")
    assert words in err
    assert "Traceback" not in err
    assert TOKEN not in err
    _, out, _ = train(command, *arguments, "--json")
    assert json.loads(out)["exit_code"] == code


def test_a_service_that_is_not_there(train, service: Stub) -> None:
    code, out, err = train("jobs", "--server", "http://127.0.0.1:9", "--token", "trn_x")
    assert (code, out) == (8, "")
    assert err.startswith("train: no training service at http://127.0.0.1:9: the connection is")
    assert "trn_x" not in err


@pytest.mark.parametrize("command", ["jobs", "submit", "upload", "token list --profile other"])
def test_no_service_is_named(train, write_spec, monkeypatch, folder: Path, command: str) -> None:
    for name in ("SERVER", "TOKEN", "PROFILE"):
        monkeypatch.delenv(f"TRAINER_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    more = [write_spec().name] if command in ("submit", "upload") else []
    code, _, err = train(*command.split(), *more)
    assert code == 2
    assert "which service" in err or "other.yaml cannot be read" in err


@pytest.mark.parametrize("reference", ["last", "4f", "../..", "4F1C2AB7", ID + "0"])
def test_what_is_no_id_is_not_asked_for(train, service: Stub, reference: str) -> None:
    for command in ("watch", "cancel", "pause"):
        code, _, err = train(command, reference)
        assert code == 2
        assert "is no id of a job" in err
    assert service.asked == []


# Submitting -------------------------------------------------------------------------------------


def test_submit(train, service: Stub, write_spec) -> None:
    service.on("POST /jobs", Answer(job(), 201))
    path = write_spec()
    code, out, err = train("submit", path.name, "--priority", 3)
    assert (code, err) == (0, "")
    assert out == (
        f"job {SHORT} 'flats' is queued, 2 before it; it takes about 1.5 s\n"
        f"id {ID}\nnext: train watch {SHORT}\n"
    )
    assert service.asked[0].json == {"spec": path.read_text(), "priority": 3}
    assert train("submit", path.name, "--quiet") == (0, "", "")
    _, out, _ = train("submit", path.name, "--json", "--folds", 4, "--again")
    assert json.loads(out)["id"] == ID
    sent = service.asked[-1].json
    assert (sent["kind"], sent["folds"], sent["again"]) == ("crossval", 4, True)


def test_what_was_trained_before(train, service: Stub, write_spec) -> None:
    known = job(state="finished", known=True, place=None, reason="trained before, as 0a1b")
    service.on("POST /jobs", Answer(known, 200))
    _, out, _ = train("submit", write_spec().name)
    assert out.splitlines()[0] == f"job {SHORT} 'flats' is finished: trained before, as 0a1b"
    assert out.splitlines()[-1] == "next: --again trains it anew"


def test_set_changes_what_is_sent(train, service: Stub, write_spec) -> None:
    service.on("POST /jobs", Answer(job(), 201))
    path = write_spec()
    train("submit", path.name, "--set", "sgd.epochs=9", "--set", "name=other")
    sent = yaml.safe_load(service.asked[0].json["spec"])
    expected = yaml.safe_load(path.read_text())
    expected["sgd"]["epochs"], expected["name"] = 9, "other"
    assert sent == expected


def _refusing(*problems: dict[str, Any]) -> Answer:
    return Answer({"error": "spec", "message": "m", "errors": list(problems)}, 422)


def test_mistakes_are_told_as_train_check_tells_them(train, service: Stub, write_spec) -> None:
    """At the line of the file, and for what --set says at the option."""
    path = write_spec({"sgd.epochs": 1.5})
    _, _, expected = train("check", path.name)
    line = path.read_text().splitlines().index("  epochs: 1.5") + 1
    problem = {"file": "spec.yaml", "line": line, "column": 11, "path": "sgd.epochs",
               "code": "TR-S013", "message": "expected a whole number, found the number 1.5",
               "hint": None}  # fmt: skip
    service.on("POST /jobs", _refusing(problem))
    code, _, err = train("submit", path.name)
    assert (code, err) == (2, expected)
    elsewhere = {**problem, "line": 99, "column": 1}
    service.on("POST /jobs", _refusing(elsewhere))
    code, _, err = train("submit", path.name, "--set", "name=other")
    assert (code, err) == (2, expected)
    service.on("POST /jobs", _refusing({**elsewhere, "path": "sgd.momentum"}))
    code, _, err = train("submit", path.name, "--set", "sgd.momentum=2")
    assert code == 2
    assert "--set sgd.momentum:1:1: sgd.momentum: expected a whole number" in err


@pytest.mark.parametrize("option", [[], ["--set", "name"], ["--set", "sgd.epochs.x=1"]])
def test_what_cannot_be_read_is_not_sent(train, service: Stub, write_spec, option) -> None:
    path = write_spec()
    if not option:
        path.write_text("name: [\n")
    code, _, err = train("submit", path.name, *option)
    assert code == 2
    assert service.asked == []
    assert "train: " in err


SWEEP = """\
name: tumours
spec: parts/spec.yaml
space:
  sgd.learning_rate: {log: [0.01, 1]}
search: {method: random, trials: 4}
objective: train_loss
"""


def test_a_sweep_goes_with_its_spec_in_it(train, service: Stub, write_spec, folder: Path) -> None:
    (folder / "parts").mkdir()
    spec = write_spec(name="parts/spec.yaml")
    (folder / "sweep.yaml").write_text(SWEEP)
    service.on("POST /jobs", Answer(job(kind="sweep"), 201))
    code, _, err = train("submit", "sweep.yaml", "--set", "search.trials=6",
                         "--set", "sgd.epochs=2")  # fmt: skip
    assert (code, err) == (0, "")
    sent = yaml.safe_load(service.asked[0].json["spec"])
    expected = yaml.safe_load(spec.read_text())
    expected["sgd"]["epochs"] = 2
    assert sent["spec"] == expected
    assert sent["search"]["trials"] == 6
    assert "spec_file" not in sent
    problem = {"file": "spec.yaml", "line": 1, "column": 1, "path": "spec.sgd.batch_size",
               "message": "too large", "hint": None}  # fmt: skip
    service.on("POST /jobs", _refusing(problem))
    _, _, err = train("submit", "sweep.yaml")
    line = spec.read_text().splitlines().index("  batch_size: 2") + 1
    assert f"parts/spec.yaml:{line}:15: spec.sgd.batch_size: too large" in err


# Files ------------------------------------------------------------------------------------------


def _keeping(service: Stub, path: Path) -> str:
    """Has the service take a file; its hash."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    service.on(f"PUT /data/{sha256}", Answer({}, 201))
    return sha256


def _spec_with_files(write_spec, source: Any, **more: Any) -> Path:
    changes = {"data.source": source, "data.target": "y"}
    return write_spec({**changes, **{f"data.{key}": value for key, value in more.items()}})


@pytest.fixture
def tables(folder: Path) -> dict[str, Path]:
    (folder / "data").mkdir()
    found = {}
    for i, name in enumerate(("a.csv", "b.csv", "c.tsv", "d.csv.gz", "e.dat", "x.npy", "y.npy")):
        found[name] = folder / "data" / name
        found[name].write_text(f"x,y\n{i},{i}\n")
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"csv": "data/a.csv"}, {"csv": ("a.csv", "csv")}),
        ({"csv": "data/c.tsv", "decimal": ","}, {"csv": ("c.tsv", "tsv"), "decimal": ","}),
        ({"csv": "data/d.csv.gz"}, {"csv": ("d.csv.gz", "csv.gz")}),
        ({"csv": "data/e.dat"}, {"csv": ("e.dat", "csv")}),
        ({"csv": ["data/b.csv", "data/a.csv"]}, {"csv": [("b.csv", "csv"), ("a.csv", "csv")]}),
        ({"csv": "data/[ab].csv"}, {"csv": [("a.csv", "csv"), ("b.csv", "csv")]}),
        ({"npy": "data/x.npy", "y": "data/y.npy"},
         {"npy": ("x.npy", "npy"), "y": ("y.npy", "npy")}),
    ],
)  # fmt: skip
def test_files_that_a_spec_names_are_sent_with_it(
    train, service: Stub, write_spec, tables, source: Any, expected: Any
) -> None:
    hashes = {name: _keeping(service, path) for name, path in tables.items()}

    def sent(value: Any) -> Any:
        if isinstance(value, list):
            return [sent(each) for each in value]
        return {"upload": hashes[value[0]], "as": value[1]} if isinstance(value, tuple) else value

    service.on("POST /jobs", Answer(job(), 201))
    path = _spec_with_files(write_spec, source, validation=["data/a.csv", "data/c.tsv"])
    code, _, err = train("submit", path.name, "--upload")
    assert (code, err) == (0, "")
    data = yaml.safe_load(service.asked[-1].json["spec"])["data"]
    assert data["source"] == {key: sent(value) for key, value in expected.items()}
    if "csv" in source:
        assert data["validation"] == sent([("a.csv", "csv"), ("c.tsv", "tsv")])


def test_what_the_service_has_not_is_told_with_what_to_do(
    train, service: Stub, write_spec, tables
) -> None:
    hint = "send it first (train upload FILE) and name it {upload: SHA-256, as: csv}"
    problem = {"file": "spec.yaml", "line": 5, "column": 3, "path": "data",
               "message": "this file is not one that the service may read",
               "hint": hint}  # fmt: skip
    service.on("POST /jobs", _refusing(problem))
    path = _spec_with_files(write_spec, {"csv": "data/a.csv"})
    code, _, err = train("submit", path.name)
    assert code == 2
    assert "hint: submit it with --upload, which sends the files that it names" in err


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"csv": "data/gone.csv"}, "there is no file 'data/gone.csv'"),
        ({"csv": "data/*.parquet"}, "no file is called"),
        ({"csv": "parts"}, "columns that the names of folders hold do not come along"),
    ],
)
def test_files_that_cannot_be_sent(
    train, service: Stub, write_spec, tables, folder: Path, source: Any, words: str
) -> None:
    (folder / "parts" / "year=2024").mkdir(parents=True)
    (folder / "parts" / "year=2024" / "a.csv").write_text("x,y\n1,2\n")
    path = _spec_with_files(write_spec, source)
    code, _, err = train("submit", path.name, "--upload")
    assert code == 3
    assert words in err
    assert "spec.yaml:" in err
    assert service.asked == []


def test_upload(train, service: Stub, tables) -> None:
    sha256 = _keeping(service, tables["d.csv.gz"])
    code, out, err = train("upload", "data/d.csv.gz")
    assert (code, err) == (0, "")
    assert out == f"source: {{upload: {sha256}, as: csv.gz}}\n"
    _, out, _ = train("upload", "data/d.csv.gz", "--json")
    assert json.loads(out) == {"upload": sha256, "as": "csv.gz", "bytes": 8}
    assert train("upload", "gone.csv")[0] == 2


# Jobs -------------------------------------------------------------------------------------------


def test_jobs(train, service: Stub) -> None:
    running = job(number=8, name="wine", state="running", place=None, epoch=12, seconds=3.0,
                  metrics={"val_loss": 0.25, "train_loss": None}, user="eve")  # fmt: skip
    failed = job(state="failed", place=None, reason="there is no room")
    service.on("GET /jobs", {"jobs": [running, failed], "next": None, "total": 2, "counts": {}})
    code, out, err = train("jobs", "--state", "running", "--user", "ada")
    assert (code, err) == (0, "")
    title, first, second = out.splitlines()
    assert title.split() == ["id", "name", "state", "done", "submitted", "trained", "val_loss",
                             "train_loss", "user", "why"]  # fmt: skip
    assert f"{ID}  wine " in first
    assert "12/50" in first
    assert "0.25" in first
    assert second.endswith("there is no room")
    assert "state=running&user=ada" in service.asked[0].path
    _, out, _ = train("jobs", "--json", "--limit", 1)
    assert [each["name"] for each in json.loads(out)["jobs"]] == ["wine"]
    _, out, _ = train("jobs", "--limit", 1)
    assert out.splitlines()[-1] == "There are more jobs: show them with --limit 2"
    service.on("GET /jobs", {"jobs": [], "next": None, "total": 0, "counts": {}})
    assert train("jobs")[1] == f"There are no such jobs at {service.url}\n"


@pytest.mark.parametrize("command", ["cancel", "pause"])
def test_steering(train, service: Stub, command: str) -> None:
    wish = job(state="running", wish=command, place=None)
    service.on(f"POST /jobs/{SHORT}/{command}", wish, job(state="paused", place=None))
    done = {"cancel": "cancelled", "pause": "paused"}[command]
    words = f"is running, and will be {done} once its worker has saved it"
    assert train(command, SHORT) == (0, f"job {SHORT} 'flats' {words}\n", "")
    assert train(command, SHORT, "--quiet") == (0, "", "")


def test_resume_of_a_job(train, service: Stub, monkeypatch) -> None:
    service.on(f"POST /jobs/{SHORT}/resume", job())
    told = (0, f"job {SHORT} 'flats' is queued, 2 before it\n", "")
    assert train("resume", SHORT) == told
    assert train("resume", SHORT, "--server", service.url, "--token", TOKEN) == told
    code, _, err = train("resume", SHORT, "--set", "sgd.epochs=4")
    assert code == 2
    assert "a job goes on as it was declared" in err
    code, _, err = train("resume", "last", "--server", service.url, "--token", TOKEN)
    assert code == 2
    assert "is no id of a job" in err
    monkeypatch.delenv("TRAINER_SERVER")
    code, _, err = train("resume", SHORT)
    assert code == 2
    assert "there is no run in runs" in err


def test_a_run_that_is_here_is_not_looked_for_at_the_service(service: Stub, folder: Path) -> None:
    run = folder / "runs" / ID
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"name": "mine"}))
    assert not is_elsewhere(ID, folder / "runs", None, None)
    assert not is_elsewhere("mine", folder / "runs", None, None)
    assert not is_elsewhere("last", folder / "none", None, None)
    assert is_elsewhere(SHORT, folder / "none", None, None)
    assert is_elsewhere(ID, folder / "runs", service.url, None)
    (folder / "runs" / "service.db").touch()
    assert is_elsewhere(ID, folder / "runs", None, None), "it is a job of the service here"


# Watching ---------------------------------------------------------------------------------------


def _progress(number: int, epoch: int, **series: float) -> bytes:
    points = {name: [[epoch, value]] for name, value in series.items()}
    return event(number, "progress", epoch=epoch, epochs=50, step=14 * epoch, series=points)


def _watched(service: Stub, state: str, reason: str = "", **changes: Any) -> None:
    """A job that runs, and ends so."""
    over = job(state=state, reason=reason, place=None, epoch=50, step=700, seconds=2.0, **changes)
    service.on(f"GET /jobs/{SHORT}", job())
    service.on(f"GET /jobs/{ID}", job(), over)
    service.on("POST /jobs", Answer(job(), 201))
    service.on(
        f"GET /jobs/{ID}/events",
        stream(
            event(1, "state", **{"from": None, "to": "queued"}, reason=""),
            event(2, "state", **{"from": "queued", "to": "running"}, reason="", attempt=1),
            *(_progress(2 + i, i, train_loss=1 / i, val_loss=2 / i) for i in range(1, 13)),
            event(20, "note", text="the disk is nearly full"),
            event(21, "state", **{"from": "running", "to": "queued"}, reason="its worker was lost"),
            event(22, "state", **{"from": "queued", "to": "running"}, reason="", attempt=2),
            *(_progress(10 + i, i, train_loss=1 / i, val_loss=2 / i) for i in range(13, 51)),
            event(61, "state", **{"from": "running", "to": state}, reason=reason),
        ),
    )
    measured = {"train_loss": 0.02, "val_loss": 0.04, "val_accuracy": 0.975}
    outcome = {"metrics": measured, "notes": ["no split"], "findings": ["all is well"]}
    service.on(f"GET /jobs/{ID}/run", {"status": "FINISHED", **outcome})


def test_watch(train, service: Stub) -> None:
    _watched(service, "finished")
    code, out, err = train("watch", SHORT)
    assert code == 0
    told = err.splitlines()
    assert told[:2] == [f"job {SHORT} 'flats' is queued, 2 before it", "queued"]
    assert told[2:7] == [
        "running",
        "epoch  5/50  loss 0.2  val 0.4  45 s left",
        "epoch 10/50  loss 0.1  val 0.2  40 s left",
        "train: warning: the disk is nearly full",
        "queued: its worker was lost",
    ]
    assert told[8].startswith("epoch 15/50  loss 0.06667  val 0.1333  ")
    assert told[-2].startswith("epoch 50/50  loss 0.02  val 0.04  0 s left")
    assert told[-1] == "finished"
    shown = out.splitlines()
    assert shown[1].split() == ["train", "validation"]
    assert [line.split() for line in shown[2:4]] == [
        ["loss", "0.02", "0.04"],
        ["accuracy", "0.975"],
    ]
    assert shown[4:] == ["note: no split", "finding: all is well", "",
                         "FINISHED in 2.0 s: 50 epochs, 700 steps",
                         f"job {ID} at {service.url}"]  # fmt: skip


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [
        ("finished", 0, ""),
        ("diverged", 4, f"train: job {SHORT} diverged: why [TR-X001]\n"),
        ("failed", 1, f"train: job {SHORT} failed: why [TR-V020]\n"),
        ("cancelled", 130, f"train: job {SHORT} cancelled: why [TR-V020]\n"),
    ],
)
def test_watching_ends_as_the_run_would(
    train, service: Stub, write_spec, state: str, code: int, words: str
) -> None:
    _watched(service, state, "why")
    found, _, err = train("watch", SHORT)
    assert found == code
    assert err.endswith(words)
    _watched(service, state, "why")
    assert train("watch", SHORT, "--quiet") == (code, "", words)
    _watched(service, state, "why")
    found, out, err = train("submit", write_spec().name, "--wait", "--json")
    assert (found, err) == (code, words)
    told = json.loads(out)
    assert (told["state"], told["outcome"]["metrics"]["val_loss"]) == (state, 0.04)


def test_a_job_that_is_over_is_told_at_once(train, service: Stub) -> None:
    over = job(state="failed", place=None, reason="there is no file")
    service.on(f"GET /jobs/{SHORT}", over)
    code, out, err = train("watch", SHORT)
    assert code == 1
    assert out.splitlines()[1] == "FAILED in 0.0 s: 0 epochs, 0 steps"
    assert err == f"train: job {SHORT} failed: there is no file [TR-V020]\n"


def test_a_stream_that_is_cut_is_seen_by_nobody(train, service: Stub) -> None:
    _watched(service, "finished")
    service.on(f"GET /jobs/{ID}", *[job(state="running")] * 3, job(state="finished", place=None))
    whole = service.answers[f"GET /jobs/{ID}/events"][0]
    body, at = whole.body, whole.body.index(b"id: 30\n") + 9
    rest = body[body.index(b"id: 30\n") :]
    service.on(f"GET /jobs/{ID}/events",
               Answer(body, headers={**whole.headers, "Content-Length": str(len(body))}, cut=at),
               LOST, stream(rest))  # fmt: skip
    code, _, err = train("watch", SHORT)
    assert code == 0
    assert [line[:11] for line in err.splitlines() if line.startswith("epoch")] == [
        f"epoch {epoch:>2}/50" for epoch in range(5, 51, 5)
    ]


def _process(service: Stub, **options: Any) -> subprocess.Popen[bytes]:
    environment = os.environ | {"COLUMNS": "100", "TERM": "xterm"}
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", "watch", SHORT], env=environment, **options
    )


def test_a_terminal_gets_a_live_bar(service: Stub) -> None:
    _watched(service, "finished")
    master, slave = pty.openpty()
    process = _process(service, stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    seen = b""
    while True:
        try:
            data = os.read(master, 4096)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        seen += data
    os.close(master)
    assert process.wait() == 0
    text = seen.decode(errors="replace")
    assert "50/50" in text
    assert "val" in text


def test_ctrl_c_stops_the_watching_and_not_the_job(service: Stub) -> None:
    def slowly(_: Asked) -> Answer:
        time.sleep(20)
        return LOST

    _watched(service, "finished")
    service.on(f"GET /jobs/{ID}/events", slowly)
    process = _process(service, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert (
        err.decode()
        == f"train: no longer watched; the job goes on: train watch {SHORT} [TR-X002]\n"
    )
    assert all(each.method == "GET" for each in service.asked)


# Profiles and tokens ----------------------------------------------------------------------------


def test_a_profile_says_which_service(train, service: Stub, folder: Path, monkeypatch) -> None:
    monkeypatch.delenv("TRAINER_SERVER")
    monkeypatch.delenv("TRAINER_TOKEN")
    file = folder / "config" / "trainer" / "profile.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(f"server: {service.url}\ntoken: {TOKEN}\n")
    service.on("GET /jobs", {"jobs": [], "next": None, "total": 0, "counts": {}})
    code, _, err = train("jobs")
    assert code == 2
    assert f"others can read {file}" in err
    file.chmod(0o600)
    assert train("jobs")[0] == 0
    assert service.asked[-1].headers["authorization"] == f"Bearer {TOKEN}"


def test_a_token_that_can_be_read_on_its_way(train, service: Stub) -> None:
    code, _, err = train("jobs", "--server", "http://train.invalid", "--token", TOKEN)
    assert code == 8
    assert "train: warning: the token can be read on its way to http://train.invalid" in err


def test_tokens_through_a_server(train, service: Stub) -> None:
    token = {"name": "laptop", "user": "ada", "role": "reader", "all": True, "created": 1.0,
             "expires": 2e9, "revoked": None, "used": None}  # fmt: skip
    service.on("POST /tokens", Answer({"token": "trn_new"}, 201))
    service.on("GET /tokens", {"tokens": [token]})
    service.on("DELETE /tokens/laptop", Answer(b"", 204))
    at = ["--server", service.url, "--token", TOKEN]
    assert train("token", "add", "laptop", "--user", "ada", *at) == (0, "trn_new\n", "")
    asked = {"name": "laptop", "user": "ada", "role": "submitter", "all": False, "days": None}
    assert service.asked[0].json == asked
    _, out, _ = train("token", "list", *at)
    assert out.splitlines()[1].split() == ["laptop", "ada", "reader", "(all)", "1970-01-01",
                                           "never", "2033-05-18"]  # fmt: skip
    assert train("token", "revoke", "laptop", *at)[0] == 0
    assert JOB["id"] == ID
