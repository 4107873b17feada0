"""The client and the commands against the service itself: its app at a port, with its store."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from conftest import ROOT
from faults.served import Served, listening, serving

from trainer import Client
from trainer.errors import ServiceError, SpecError, UsageError
from trainer.service.checking import Checker
from trainer.service.profile import load_profile
from trainer.service.serve import Belongings

SPEC = "name: xor\n"


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with serving(folder, queued_per_user=3, upload_bytes=2**20) as made:
        yield made


@pytest.fixture
def url(served: Served) -> Iterator[str]:
    with listening(served) as address:
        yield address


@pytest.fixture
def ada(served: Served, url: str) -> Iterator[Client]:
    with Client(url, served.token("ada"), patience=2) as client:
        yield client


def _begun(served: Served) -> Any:
    job = served.store.claim({})
    assert job is not None
    return job


def _become(served: Served, job: Any, state: Any, **fields: Any) -> None:
    served.store.change(job.id, state, "", attempt=job.attempt, mark=uuid4().hex, **fields)


def _progress(served: Served, job: Any, epoch: int) -> None:
    series = {"val_loss": [[epoch, 1 / epoch]]}
    served.store.progress(
        job.id, job.attempt, place=epoch, epoch=epoch, step=epoch, metrics={"val_loss": 1 / epoch},
        series=series, epochs=10,
    )  # fmt: skip


def test_a_job_from_its_spec_to_its_end(served: Served, ada: Client) -> None:
    job = ada.submit(SPEC, priority=2, key="one")
    assert (job.name, job.state, job.place, job.priority) == ("xor", "queued", 1, 2)
    assert ada.submit(SPEC, priority=2, key="one").id == job.id
    with pytest.raises(UsageError, match="key"):
        ada.submit(SPEC, priority=3, key="one")
    assert ada.prioritize(job, 5).priority == 5
    begun = _begun(served)

    def train() -> None:
        for epoch in range(1, 11):
            _progress(served, begun, epoch)
            time.sleep(0.005)
        _become(served, begun, "finished", digest="ab")

    thread = threading.Thread(target=train)
    thread.start()
    events = list(ada.events(job.id[:8]))
    thread.join()
    assert [each.data["epoch"] for each in events if each.kind == "progress"] == [*range(1, 11)]
    states = [each.data["to"] for each in events if each.kind == "state"]
    assert states == ["queued", "running", "finished"]
    assert {each.job for each in events} == {job.id}
    over = ada.wait(job, timeout=5)
    assert (over.state, over.digest, over.metrics["val_loss"]) == ("finished", "ab", 0.1)
    assert list(ada.curves(job)["val_loss"][-1]) == [10, 0.1]
    assert [each["data"]["to"] for each in ada.changes(job) if each["kind"] == "state"] == states
    assert [each.id for each in ada.jobs(state="finished")] == [job.id]
    assert ada.files(job) == []


def test_who_may_what(served: Served, url: str, ada: Client) -> None:
    job = ada.submit(SPEC)
    eve = Client(url, served.token("eve", "reader"))
    with pytest.raises(UsageError, match="there is no job"):
        eve.job(job)
    with pytest.raises(ServiceError, match="needs the role submitter"):
        eve.submit(SPEC)
    with pytest.raises(ServiceError, match="no such token"):
        Client(url, "trn_" + "x" * 43).me()
    with pytest.raises(ServiceError, match="no such token"):
        Client(url).me()
    assert (ada.me().name, ada.me().role) == ("ada", "submitter")
    assert ada.service()["counts"]["queued"] == 1


def test_steering(served: Served, ada: Client) -> None:
    job = ada.submit(SPEC)
    assert ada.pause(job).state == "paused"
    assert ada.pause(job).state == "paused"
    assert ada.resume(job).state == "queued"
    begun = _begun(served)
    assert ada.pause(job).wish == "pause"
    assert ada.resume(job).wish is None
    assert ada.cancel(job).wish == "cancel"
    _become(served, begun, "cancelled")
    with pytest.raises(UsageError, match="cancelled"):
        ada.resume(job)
    with pytest.raises(UsageError, match="there is no job"):
        ada.cancel("0" * 32)


def test_quotas_and_sizes(served: Served, ada: Client, folder: Path) -> None:
    for i in range(3):
        ada.submit(f"name: x{i}\n")
    with pytest.raises(ServiceError, match="as many jobs queued as it may have"):
        ada.submit("name: x3\n")
    served.work.draining = True
    with pytest.raises(ServiceError, match="about to end"):
        ada.submit("name: x4\n")
    Path("large.bin").write_bytes(os.urandom(2**20 + 1))
    with pytest.raises(UsageError, match="at most"):
        ada.upload(Path("large.bin"))


def test_an_upload_that_was_stopped_goes_on(
    served: Served, ada: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.client.sending.PIECE", 100_000)
    data = os.urandom(750_000)
    Path("data.bin").write_bytes(data)
    told: list[int] = []

    def stops(there: int, size: int) -> None:
        told.append(there)
        if there >= 300_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ada.upload(Path("data.bin"), stops)
    assert told == [100_000, 200_000, 300_000]
    later: list[int] = []
    sha256 = ada.upload(Path("data.bin"), lambda there, _: later.append(there))
    assert later[0] == 400_000
    assert (served.desk.settings.runs / "uploads" / sha256).read_bytes() == data
    Path("empty").touch()
    ada.upload(Path("empty"))


def test_mistakes_are_those_of_a_check_of_the_file(
    served: Served, ada: Client, train, write_spec
) -> None:
    served.desk.checker = Checker(served.desk.settings, Belongings(served.desk.store), lambda: None)
    path = write_spec({"sgd.epochs": 1.5, "sgd.momentum": 2, "model.loss": "logistik"})
    _, _, expected = train("check", path.name)
    at = ["--server", ada.access.server, "--token", served.token("ada")]
    assert train("submit", path.name, *at) == (2, "", expected)
    for call in (ada.check, ada.submit):
        with pytest.raises(SpecError) as caught:
            call(Path(path.name))
        assert str(caught.value) in expected
    checked = ada.check(write_spec())
    assert (checked["kind"], checked["name"], checked["valid"]) == ("train", "tiny", True)


def test_files_go_along_and_are_found(served: Served, ada: Client, train, write_spec) -> None:
    served.desk.checker = Checker(served.desk.settings, Belongings(served.desk.store), lambda: None)
    Path("t.csv").write_text("a;b;y\n1;2;3\n2;3;4\n4;3;2\n1;1;1\n")
    source = {"csv": "t.csv", "delimiter": ";"}
    path = write_spec({"data": {"source": source, "target": "y"}, "model.loss": "squared"})
    at = ["--server", ada.access.server, "--token", served.token("ada")]
    code, _, err = train("submit", path.name, *at)
    assert code == 2
    assert "hint: submit it with --upload" in err
    code, out, err = train("submit", path.name, "--upload", "--json", *at)
    assert (code, err) == (0, "")
    assert ada.job(json.loads(out)["id"]).name == "tiny"
    code, out, _ = train("upload", "t.csv", *at)
    source_line = out.strip().removeprefix("source: ")
    text = f"name: named\ndata: {{source: {source_line[:-1]}, delimiter: ';'}}, target: y}}\n"
    text += "model: {layers: [{units: 1}], loss: squared}\n"
    text += "sgd: {learning_rate: 0.1, batch_size: 2, epochs: 2}\n"
    assert ada.submit(text).state == "queued"


# Tokens and the log -----------------------------------------------------------------------------


def test_tokens_of_the_database(train, folder: Path) -> None:
    code, out, err = train("token", "add", "laptop", "--user", "ada", "--role", "admin",
                           "--days", 2)  # fmt: skip
    assert (code, err) == (0, "")
    assert out.startswith("trn_")
    code, _, err = train("token", "add", "laptop", "--user", "eve")
    assert code == 2
    assert "there is a token 'laptop' already" in err
    _, out, _ = train("token", "list", "--json")
    (one,) = json.loads(out)["tokens"]
    assert (one["name"], one["user"], one["role"], one["revoked"]) == (
        "laptop",
        "ada",
        "admin",
        None,
    )
    assert 1.9 * 86_400 < one["expires"] - time.time() < 2.1 * 86_400
    assert train("token", "revoke", "laptop")[0] == 0
    assert "revoked" in train("token", "list")[1]
    code, _, err = train("token", "revoke", "nothing")
    assert code == 2
    assert "nothing" in err
    assert train("service", "verify") == (0, "the audit log is whole: 0 lines\n", "")


def test_a_server_has_the_database(served: Served, url: str, train) -> None:
    """Tokens are made beside it, or by it, with an administrator's token."""
    code, out, _ = train("token", "add", "desk", "--user", "eve", "--role", "reader")
    assert code == 0
    assert Client(url, out.strip()).me().name == "eve"
    assert train("token", "revoke", "desk")[0] == 0
    served.ticks.now += 2  # seconds, within which the server has looked again
    with pytest.raises(ServiceError):
        Client(url, out.strip()).me()
    assert train("service", "verify")[0] == 0
    at = ["--server", url, "--token", served.token("root", "admin")]
    code, out, _ = train("token", "add", "phone", "--user", "eve", "--role", "reader", *at)
    assert code == 0
    assert Client(url, out.strip()).me().name == "eve"
    assert "phone" in train("token", "list", *at)[1]
    assert train("token", "revoke", "phone", *at)[0] == 0
    with pytest.raises(ServiceError):
        Client(url, out.strip()).me()
    code, _, err = train("token", "list", "--server", url, "--token", served.token("ada"))
    assert code == 8
    assert "admin" in err


def test_a_log_that_was_changed(train, folder: Path) -> None:
    with serving(folder) as made:
        for i in range(3):
            made.store.audit("ada", "submit_job", f"/jobs/{i}", {})
    assert train("service", "verify")[:2] == (0, "the audit log is whole: 3 lines\n")
    import sqlite3

    with sqlite3.connect(folder / "runs" / "service.db") as database:
        database.execute("update audit set target = '/jobs/9' where number = 2")
    database.close()
    code, out, err = train("service", "verify")
    assert (code, out) == (7, "")
    assert "line 2" in err or "2" in err


def test_the_profile_that_the_page_shows_is_one(folder: Path) -> None:
    text = (ROOT / "docs" / "service.md").read_text()
    shown = re.findall(r"^```yaml\n(# service\.yaml.*?)^```", text, re.DOTALL | re.MULTILINE)
    (folder / "tables").mkdir()
    (folder / "service.yaml").write_text(shown[0])
    found = load_profile(folder / "service.yaml")
    assert (found.workers, found.data_per_user) == (4, 20 * 10**9)
    assert found.hosts == ("train.example.org",)
