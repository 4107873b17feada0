"""A shared server: a real one over TLS that asks for a password, set up as docs/server.md says."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from mlflow import MlflowClient
from stores import server as answering
from test_docs import BLOCK
from test_project import shell
from test_ui import free_port

from trainer import TrackingError
from trainer.checkpoints.facts import read_recorded
from trainer.checkpoints.folder import folders
from trainer.tracking.store import check_store, resolve_store

pytestmark = pytest.mark.models

PAGE = ROOT / "docs" / "server.md"
CLIENT = "# where you train"
SECRET = "change-this-password"


@dataclass(frozen=True)
class Server:
    """A running server: its folder, its address, and what the page tells its users to set."""

    folder: Path
    uri: str
    settings: Mapping[str, str]


@pytest.fixture(scope="module")
def server(_fresh_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of the page, on a free port; making its database would take seconds."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl, which makes the certificate")
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    (rules,) = (text for kind, text in BLOCK.findall(PAGE.read_text()) if kind == "ini")
    (folder / "auth.ini").write_text(rules)
    shutil.copy(_fresh_store, folder / "server.db")
    begin = "# on the server"
    commands = "".join(shell(PAGE, f"{begin}{part}\n") for part in (", once", ""))
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    small = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
             "MLFLOW_WORKERS": "1"}  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-euc", commands.replace("5000", str(port))],
            cwd=folder, env=os.environ | {"PATH": tools} | small, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    exports = re.findall(r"^export (\w+)=(\S+)", shell(PAGE, CLIENT), re.MULTILINE)
    settings = {name: value.replace("5000", str(port)) for name, value in exports}
    settings["MLFLOW_TRACKING_SERVER_CERT_PATH"] = str(folder / "cert.pem")
    uri = settings.pop("MLFLOW_TRACKING_URI")
    try:
        _wait_until_ready(process, uri, folder)
        yield Server(folder, uri, settings)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], uri: str, folder: Path) -> None:
    """Returns when the server answers; the test fails with its log when it has ended."""
    while process.poll() is None:
        with suppress(OSError):
            trust = ssl.create_default_context(cafile=str(folder / "cert.pem"))
            with urllib.request.urlopen(f"{uri}/health", context=trust):
                return
        time.sleep(0.1)
    pytest.fail((folder / "log").read_text())


def artifacts(client: MlflowClient, run_id: str, path: str | None = None) -> set[str]:
    """The paths of all files of a run, but those of its model, which has an id of its own."""
    found: set[str] = set()
    for file in client.list_artifacts(run_id, path):
        found |= artifacts(client, run_id, file.path) if file.is_dir else {file.path}
    return found


def test_a_run_is_recorded_as_in_a_database(
    server: Server, store: str, write_spec: Callable[..., Path], train: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name, value in server.settings.items():
        monkeypatch.setenv(name, value)
    write_spec({"data.split": {"validation": 0.5}})
    runs = []
    for uri in (store, server.uri):
        code, out, err = train("spec.yaml", "--json", "--again", "--tracking-uri", uri)
        assert (code, err) == (0, "")
        result = json.loads(out)
        client = MlflowClient(uri)
        found = client.get_run(result["run_id"])
        values = {k: v for k, v in found.data.metrics.items() if not k.startswith("perf/")}
        runs.append(
            (found.info.status, values, found.data.params, artifacts(client, result["run_id"]))
        )
    assert runs[0] == runs[1]
    files = [path for path in [*Path("runs").rglob("*"), *(server.folder / "artifacts").rglob("*")]
             if path.is_file()]  # fmt: skip
    assert len(files) > 20
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    assert SECRET not in str(found.data)


USER = {"MLFLOW_TRACKING_USERNAME": "admin"}
ASKED = (
    "wants to know who you are (it answers 401) [TR-T002]\n"
    "  hint: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
)
REFUSED = [
    ({}, ASKED),
    (USER, ASKED),
    ({**USER, "MLFLOW_TRACKING_PASSWORD": "wrong"},
     "refuses the user 'admin' with this password (it answers 401) [TR-T002]\n"
     "  hint: correct MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
    ({"MLFLOW_TRACKING_SERVER_CERT_PATH": ""},
     "if you trust it, name its certificate in MLFLOW_TRACKING_SERVER_CERT_PATH"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_who_is_not_let_in(
    server: Server, write_spec: Callable[..., Path], train: Any, monkeypatch: pytest.MonkeyPatch,
    settings: Mapping[str, str], message: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(server.folder / "cert.pem"))
    for name, value in settings.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    write_spec()
    monkeypatch.setattr("trainer.tracking.recorder.PATIENCE_SECONDS", 0.3)
    code, out, err = train("spec.yaml", "--quiet", "--tracking-uri", server.uri)
    assert (code, out) == (5, "")
    assert server.uri in err
    assert message in err
    (path,) = folders(Path("runs"))
    there = read_recorded(path)
    assert there is not None
    assert (there.run_id, there.whole) == (None, False)
    assert (path / "files" / "parameters.safetensors").exists(), "the run is kept"


@pytest.mark.parametrize("code", [401, 403])
def test_a_token_is_refused(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "expired")
    with (
        answering(lambda request: request.send_error(code)) as uri,
        pytest.raises(TrackingError) as caught,
    ):
        check_store(resolve_store(uri, Path("runs")))
    assert str(caught.value) == (
        f"the MLflow server at {uri} refuses this token (it answers {code}) [TR-T002]\n"
        "  hint: correct MLFLOW_TRACKING_TOKEN"
    )


@pytest.mark.parametrize(
    ("uri", "fine"),
    [
        ("https://me:secret@mlflow.example.org", False),
        ("http://me@mlflow.example.org:5000/prefix", False),
        ("https://mlflow.example.org/@me", True),
    ],
)
def test_an_address_holds_no_user(uri: str, fine: bool) -> None:
    if fine:
        assert resolve_store(uri, Path("runs")).uri == uri
        return
    with pytest.raises(TrackingError, match="the address of the MLflow server holds a user") as no:
        resolve_store(uri, Path("runs"))
    assert "secret" not in str(no.value)
