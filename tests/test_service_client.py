"""The client of the service: what is asked once is done once; errors are words for people."""

from __future__ import annotations

import hashlib
import os
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stub_service import ID, TOKEN, Answer, Asked, Stub, event, job, stream, stub

from trainer import Client, load_spec
from trainer.client import find_access
from trainer.client.sending import PIECE
from trainer.client.stream import messages
from trainer.errors import (
    DataError,
    MachineError,
    ServiceError,
    SpecError,
    TrainerError,
    UsageError,
)


@pytest.fixture
def service() -> Iterator[Stub]:
    with stub() as made:
        yield made


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def client(service: Stub, slept: list[float]) -> Iterator[Client]:
    with Client(service.url, TOKEN, patience=5, sleep=slept.append) as made:
        yield made


@pytest.fixture(autouse=True)
def _no_access(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SERVER", "TOKEN", "PROFILE"):
        monkeypatch.delenv(f"TRAINER_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


# Errors -----------------------------------------------------------------------------------------

PROBLEM = {"file": "spec.yaml", "line": 2, "column": 7, "path": "name", "message": "no name",
           "hint": "give one"}  # fmt: skip
ERRORS: list[tuple[Answer, type[TrainerError], int, str]] = [
    (Answer({"error": "usage", "message": "sort: no such key"}, 400), UsageError, 2, "no such key"),
    (Answer({"error": "unauthorised", "message": "no"}, 401), ServiceError, 8, "no such token"),
    (Answer(b"<html>login</html>", 401), ServiceError, 8, "no such token"),
    (Answer({"error": "forbidden", "message": "this needs the role admin"}, 403), ServiceError, 8,
     "needs the role admin"),
    (Answer({"error": "missing", "message": "there is no job '4f'"}, 404), UsageError, 2,
     "there is no job '4f'"),
    (Answer(b"<html>nginx</html>", 404), ServiceError, 8, "not as a training service does"),
    (Answer({"error": "conflict", "message": "the job is finished"}, 409), UsageError, 2,
     "the job is finished"),
    (Answer({"error": "too_large", "message": "at most 4 bytes"}, 413), UsageError, 2, "at most 4"),
    (Answer(b"<html>413</html>", 413), ServiceError, 8, "a proxy before"),
    (Answer({"error": "spec", "message": "m", "errors": [PROBLEM]}, 422), SpecError, 2, "no name"),
    (Answer({"error": "data", "message": "m", "errors": [PROBLEM]}, 422), DataError, 3, "no name"),
    (Answer({"error": "data", "message": "no rows"}, 422), DataError, 3, "no rows"),
    (Answer({"error": "quota", "message": "too many jobs"}, 429, {"Retry-After": "1"}),
     ServiceError, 8, "too many jobs"),
    (Answer({"error": "rate", "message": "too often"}, 429, {"Retry-After": "90"}),
     ServiceError, 8, "too often"),
    (Answer({"error": "draining", "message": "about to end"}, 503, {"Retry-After": "30"}),
     ServiceError, 8, "about to end"),
    (Answer({"error": "internal", "message": "its log says why"}, 500), ServiceError, 8, "its log"),
    (Answer(b"<html>Bad Gateway</html>", 500), ServiceError, 8, "fails (status 500)"),
    (Answer(b"<html>hello</html>"), ServiceError, 8, "not as a training service does"),
    (Answer([1, 2]), ServiceError, 8, "not as a training service does"),
    (Answer({"id": 3}), ServiceError, 8, "is no job"),
    (Answer(b"", 301, {"Location": "https://else.where/"}), ServiceError, 8, "sends on to"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "kind", "code", "words"), ERRORS)
def test_what_is_answered_becomes_an_error(
    service: Stub, client: Client, answer: Answer, kind: type[TrainerError], code: int, words: str
) -> None:
    service.on("GET /jobs/4f", answer)
    with pytest.raises(kind) as caught:
        client.job("4f")
    assert words in str(caught.value)
    assert caught.value.exit_code == code
    assert service.count("GET /jobs/4f") == 1, "asking again is of no use"
    told = "".join(traceback.format_exception(caught.value)) + repr(client) + str(client.access)
    assert TOKEN not in told
    assert service.asked[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_a_service_that_was_never_there_is_not_waited_for(slept: list[float]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        client = Client(f"http://127.0.0.1:{free.getsockname()[1]}", TOKEN, sleep=slept.append)
    with pytest.raises(ServiceError, match="the connection is refused") as caught:
        client.me()
    assert "is the address right" in str(caught.value)
    assert slept == []


def test_a_host_without_a_name(slept: list[float]) -> None:
    with pytest.raises(ServiceError, match="its name is not known"):
        Client("http://nowhere.invalid", TOKEN, sleep=slept.append).me()


def test_no_redirect_is_followed(service: Stub, client: Client) -> None:
    with stub() as other:
        other.on("GET /session", {"user": "ada", "role": "reader", "all": False})
        service.on("GET /session", Answer(b"", 307, {"Location": f"{other.url}/session"}))
        with pytest.raises(ServiceError, match="neither the request nor the token went"):
            client.me()
        assert other.asked == []


def test_the_token_is_not_that_of_a_netrc(
    service: Stub, client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "netrc").write_text("machine 127.0.0.1 login eve password other\n")
    monkeypatch.setenv("NETRC", str(folder / "netrc"))
    service.on("GET /session", {"user": "ada", "role": "reader", "all": False})
    assert client.me().name == "ada"
    assert service.asked[0].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("token", ["", "trn_ab cd", "trn_ab\r\nX-Evil: 1", "trn_ä"])
def test_what_is_no_token_is_not_sent(token: str) -> None:
    with pytest.raises(UsageError, match="is no token") as caught:
        Client("http://127.0.0.1:1", token)
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["train.example.org", "ftp://x", "http://", "http://a b", "http://x:y"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError, match="no address of a service"):
        Client(url, TOKEN)


def test_an_address_with_a_password_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError, match="a token is given on its own") as caught:
        Client("https://ada:geheim@train.example.org", TOKEN)
    assert "geheim" not in str(caught.value)


# Again and once ---------------------------------------------------------------------------------

LOST = Answer(silent=True)


def test_a_lost_reply_to_a_submit_gives_the_same_job(
    service: Stub, client: Client, slept: list[float]
) -> None:
    service.on("POST /jobs", LOST, Answer(job(), 200))
    assert client.submit("name: flats\n").id == ID
    keys = [each.headers["idempotency-key"] for each in service.asked]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert len(slept) == 1


def test_every_submit_has_a_key_of_its_own_or_the_one_given(service: Stub, client: Client) -> None:
    service.on("POST /jobs", Answer(job(), 201))
    for key in (None, None, "mine"):
        client.submit({"name": "flats"}, key=key)
    keys = [each.headers["idempotency-key"] for each in service.asked]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume"])
def test_steering_is_sent_again(service: Stub, client: Client, verb: str) -> None:
    service.on(f"POST /jobs/{ID}/{verb}", LOST, Answer(job(state="paused")))
    assert getattr(client, verb)(ID).state == "paused"


def test_a_token_is_not_made_twice(service: Stub, client: Client) -> None:
    service.on("POST /tokens", LOST)
    with pytest.raises(ServiceError, match="may be done or not"):
        client.add_token("laptop", "ada", "submitter")
    assert service.count("POST /tokens") == 1


def test_a_busy_service_is_asked_again_when_it_says(
    service: Stub, client: Client, slept: list[float]
) -> None:
    busy = Answer({"error": "rate", "message": "too often"}, 429, {"Retry-After": "3"})
    away = Answer(b"<html>", 503)
    service.on("GET /jobs/4f", busy, away, Answer(b"", 502), job())
    assert client.job("4f").number == 7
    assert slept[0] == 3
    assert all(seconds < 1 for seconds in slept[1:])


def test_patience_has_an_end(service: Stub, slept: list[float]) -> None:
    service.on("GET /jobs/4f", job(), Answer(b"<html>", 503))
    client = Client(service.url, TOKEN, patience=0.3, sleep=lambda s: __import__("time").sleep(s))
    client.job("4f")
    with pytest.raises(ServiceError, match="status 503"):
        client.job("4f")
    assert 3 <= service.count("GET /jobs/4f") <= 5


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_service_that_was_never_behind_its_proxy_is_not_waited_for(
    service: Stub, client: Client, slept: list[float], status: int
) -> None:
    service.on("GET /jobs/4f", Answer(b"<html>", status))
    with pytest.raises(ServiceError, match=f"status {status}"):
        client.job("4f")
    assert slept == []


# Specs ------------------------------------------------------------------------------------------

FIVE = 'name: five\nsgd:\n  learning_rate: "0.1"\n  epochs: 1.5\n'
TOLD = [
    {"file": "spec.yaml", "line": 3, "column": 18, "path": "sgd.learning_rate",
     "message": "expected a number, found the text '0.1'", "hint": "write 0.1 without quotes"},
    {"file": "spec.yaml", "line": 4, "column": 11, "path": "sgd.epochs",
     "message": "expected a whole number, found the number 1.5", "hint": None},
]  # fmt: skip
SHOWN = """\
five.yaml:3:18: sgd.learning_rate: expected a number, found the text '0.1'
    3 |   learning_rate: "0.1"
      |                  ^^^^^
      hint: write 0.1 without quotes
five.yaml:4:11: sgd.epochs: expected a whole number, found the number 1.5
    4 |   epochs: 1.5
      |           ^^^"""


@pytest.mark.parametrize("call", ["check", "submit"])
def test_mistakes_come_as_from_a_check_of_the_file(
    service: Stub, client: Client, folder: Path, call: str
) -> None:
    Path("five.yaml").write_text(FIVE)
    service.on("POST /check", {"valid": False, "errors": TOLD})
    service.on("POST /jobs", Answer({"error": "spec", "message": "m", "errors": TOLD}, 422))
    with pytest.raises(SpecError) as caught:
        getattr(client, call)(Path("five.yaml"))
    assert str(caught.value) == SHOWN
    assert caught.value.problems[0].line == 3


def test_what_is_sent_of_a_spec(service: Stub, client: Client, write_spec: Any) -> None:
    service.on("POST /jobs", Answer(job(), 201))
    path = write_spec()
    spec = load_spec(path)
    for each in (path, str(path), path.read_text(), {"name": "x"}, spec):
        client.submit(each, kind="train", priority=2, again=True, parent=ID)
    sent = [each.json for each in service.asked]
    text = path.read_text()
    assert [each["spec"] for each in sent] == [text, text, text, {"name": "x"}, spec.resolved()]
    assert all(each["kind"] == "train" and each["parent"] == ID for each in sent)
    assert all(each["priority"] == 2 and each["again"] is True for each in sent)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (Path("gone.yaml"), "cannot be read"),
        (Path("latin.yaml"), "not encoded as UTF-8"),
        (Path("large.yaml"), "too large"),
        ({"name": {1, 2}}, "plain numbers"),
        ({"name": float("nan")}, "plain numbers"),
        (3, "expected a spec"),
    ],
)
def test_what_cannot_be_sent(client: Client, folder: Path, spec: Any, words: str) -> None:
    Path("latin.yaml").write_bytes(b"name: \xe4\n")
    Path("large.yaml").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises((SpecError, UsageError), match=words):
        client.submit(spec)


# Jobs -------------------------------------------------------------------------------------------


def test_jobs_come_page_by_page(service: Stub, client: Client) -> None:
    def page(asked: Asked) -> Answer:
        first = "after=" not in asked.path
        numbers = (3, 2) if first else (1,)
        jobs = [job(number=number) for number in numbers]
        return Answer({"jobs": jobs, "next": "abc" if first else None, "total": 3, "counts": {}})

    service.on("GET /jobs", page)
    found = list(client.jobs(state=["running", "queued"], user="ada"))
    assert [each.number for each in found] == [3, 2, 1]
    assert "state=running&state=queued" in service.asked[0].path
    assert "after=abc" in service.asked[1].path
    assert [each.number for each in client.jobs(state="queued", limit=2)] == [3, 2]
    assert service.count("GET /jobs") == 3


def test_what_a_newer_service_tells_beside_is_left_out(service: Stub, client: Client) -> None:
    told = job(colour="red", metrics={"val_loss": None}, links={"mlflow": "/mlflow/#/x"})
    service.on("GET /jobs/4f", told)
    found = client.job("4f")
    assert found.metrics == {"val_loss": None}
    assert found.mlflow == f"{service.url}/mlflow/#/x"
    assert not found.over


def test_waiting_has_an_end(service: Stub, client: Client, slept: list[float]) -> None:
    service.on("GET /jobs/4f", job(), job(state="running"), job(state="finished"))
    assert client.wait("4f").state == "finished"
    assert len(slept) == 2
    service.on("GET /jobs/4f", job(state="running"))
    assert client.wait("4f", timeout=0).state == "running"


# Events -----------------------------------------------------------------------------------------

STREAM = (
    ": hello\r\n\r\nid: 1\r\nevent: état\r\ndata: a\r\ndata:  b\r\n\r\n"
    ": ping\n\nid:2\n\ndata: c\r\r"
)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_streams_are_read_however_they_are_cut(size: int) -> None:
    data = STREAM.encode()
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    found = [
        None if each is None else (each.id, each.kind, each.data)
        for each in messages([*pieces, b"x"])
    ]
    expected = [None, ("1", "état", ["a", " b"]), None, ("2", "message", []),
                (None, "message", ["c"])]  # fmt: skip
    assert found == expected


def test_what_does_not_end_is_no_event() -> None:
    assert list(messages([b"id: 1\ndata: a\n"])) == []
    with pytest.raises(ServiceError, match="a line without an end"):
        list(messages([b"data: " + b"x" * 2**24, b"xx"]))


def _series(client: Client, **more: Any) -> list[int]:
    return [each.number for each in client.events(ID, **more)]


def _running(service: Stub) -> None:
    service.on(f"GET /jobs/{ID}", job(state="running"))


def test_a_stream_that_breaks_goes_on_where_it_was(service: Stub, client: Client) -> None:
    _running(service)
    first = event(1, "state", to="queued") + event(2, "state", to="running")
    third, over = event(3, "progress", epoch=1), event(9, "state", to="finished")
    head = len(stream().body)
    service.on(
        f"GET /jobs/{ID}/events",
        stream(first, third, cut=head + len(first) + 20),  # in the middle of the third
        LOST,
        Answer(b"", 502),
        stream(event(2, "state", to="running"), third),  # which ends, and repeats one
        stream(over, event(10, "note", text="never read")),
    )
    assert _series(client) == [1, 2, 3, 9]
    asked = [each for each in service.asked if each.path.endswith("/events")]
    assert [each.headers.get("last-event-id") for each in asked] == ["0"[1:] or None, *"2223"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (stream(b"id: x\ndata: {}\n\n"), "what is no event"),
        (stream(b"id: 4\nevent: state\ndata: {no json\n\n"), "what is no event"),
        (stream(b"id: 4\nevent: state\ndata: [1]\n\n"), "what is no event"),
        (stream(b"id: 4\nevent: state\ndata: {}\n\n"), "is no event"),
        (Answer(b"<html>hello</html>"), "not as a training service does"),
        (Answer({"error": "missing", "message": "no such job"}, 404), "no such job"),
        (Answer({"error": "unauthorised", "message": "expired"}, 401), "revoked or expired"),
    ],
)
def test_streams_that_are_none(service: Stub, client: Client, answer: Answer, words: str) -> None:
    _running(service)
    service.on(f"GET /jobs/{ID}/events", answer)
    with pytest.raises((ServiceError, UsageError), match=words):
        _series(client)


def test_events_of_kinds_to_come_are_passed_over(service: Stub, client: Client) -> None:
    _running(service)
    over = event(3, "state", to="failed", reason="x")
    service.on(f"GET /jobs/{ID}/events", stream(event(2, "colour", red=1), over))
    found = list(client.events(ID, after=1))
    assert [(each.number, each.kind, each.data["to"]) for each in found] == [(3, "state", "failed")]
    assert service.asked[1].headers["last-event-id"] == "1"


def test_events_of_a_job_that_is_over_and_read(service: Stub, client: Client) -> None:
    service.on(f"GET /jobs/{ID}", job(state="finished"))
    service.on(f"GET /jobs/{ID}/events", stream())
    assert _series(client, after=50) == []


def test_a_stream_whose_service_stays_away(service: Stub, slept: list[float]) -> None:
    _running(service)
    service.on(f"GET /jobs/{ID}/events", stream(event(1, "state", to="running")), LOST)
    client = Client(service.url, TOKEN, patience=0, sleep=slept.append)
    events = client.events(ID)
    assert next(events).number == 1
    with pytest.raises(ServiceError, match="did not answer to the end"):
        next(events)


# Files ------------------------------------------------------------------------------------------


class Kept:
    """A service that keeps a file, as far as it came."""

    def __init__(self, service: Stub, sha256: str) -> None:
        self.data = b""
        self.size: int | None = None
        self.cuts: list[int] = []
        service.on(f"HEAD /data/{sha256}", self.head)
        service.on(f"PUT /data/{sha256}", self.put)

    def head(self, _: Asked) -> Answer:
        if self.size is None:
            return Answer({"error": "missing", "message": "no"}, 404)
        return Answer(b"", 200, self._headers())

    def put(self, asked: Asked) -> Answer:
        assert int(asked.headers["upload-offset"]) <= len(self.data)
        self.size = int(asked.headers["upload-length"])
        body = asked.body[: self.cuts[0]] if self.cuts else asked.body
        self.data = self.data[: int(asked.headers["upload-offset"])] + body
        if self.cuts:
            self.cuts.pop(0)
            return LOST
        return Answer({"received": 1}, 201 if len(self.data) == self.size else 202, self._headers())

    def _headers(self) -> dict[str, str]:
        return {"Upload-Offset": str(len(self.data)), "Upload-Length": str(self.size)}


@pytest.fixture
def file(folder: Path) -> Path:
    path = folder / "flats.csv"
    path.write_bytes(b"rooms,rent\n" + b"3,900\n" * 1000)
    return path


@pytest.mark.parametrize("cuts", [[], [100], [100, 0, 7]], ids=str)
def test_an_upload_goes_on_where_it_was_cut(
    service: Stub, client: Client, file: Path, cuts: list[int]
) -> None:
    content = file.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    kept, told = Kept(service, sha256), []
    kept.cuts = list(cuts)
    assert client.upload(file, lambda *now: told.append(now)) == sha256
    assert kept.data == content
    assert told[-1] == (len(content), len(content))
    sent = sum(len(each.body) for each in service.asked)
    assert sent <= len(content) * (len(cuts) + 1)
    before = len(service.asked)
    assert client.upload(file) == sha256
    assert [each.method for each in service.asked[before:]] == ["HEAD"], "it is not sent again"


def test_a_large_file_goes_in_pieces(
    service: Stub, client: Client, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.client.sending.PIECE", 1000)
    kept = Kept(service, hashlib.sha256(file.read_bytes()).hexdigest())
    client.upload(file)
    assert kept.data == file.read_bytes()
    assert PIECE == 2**23
    assert max(len(each.body) for each in service.asked) == 1000


def test_an_empty_file_and_one_that_is_not_there(
    service: Stub, client: Client, folder: Path
) -> None:
    Path("empty.csv").touch()
    kept = Kept(service, hashlib.sha256(b"").hexdigest())
    client.upload(Path("empty.csv"))
    assert kept.size == 0
    for path in (Path("gone.csv"), folder):
        with pytest.raises(UsageError, match="cannot be read"):
            client.upload(path)


def test_what_the_service_says_of_an_upload(service: Stub, client: Client, file: Path) -> None:
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    put = f"PUT /data/{sha256}"
    service.on(put, Answer({"error": "quota", "message": "ada may hold 9 bytes"}, 429))
    with pytest.raises(ServiceError, match="may hold 9 bytes"):
        client.upload(file)
    service.on(put, Answer({}, 202, {"Upload-Offset": "0"}))
    with pytest.raises(ServiceError, match="takes nothing"):
        client.upload(file)
    service.on(put, LOST)
    impatient = Client(service.url, TOKEN, patience=0)
    with pytest.raises(ServiceError, match="did not answer to the end"):
        impatient.upload(file)


def test_a_download_is_whole_or_not_at_all(service: Stub, client: Client, folder: Path) -> None:
    data = os.urandom(3000)
    there = {"files": [{"path": "files/m.bin", "size": 3000, "type": "x"}]}
    service.on(f"GET /jobs/{ID}/files", there)
    service.on(f"GET /jobs/{ID}/files/files/m.bin", Answer(data, cut=10), LOST, Answer(data))
    (one,) = client.files(ID)
    assert (one.path, one.size) == ("files/m.bin", 3000)
    assert client.download(ID, one.path, Path("m.bin")).read_bytes() == data
    service.on(f"GET /jobs/{ID}/files/files/m.bin", Answer(data, cut=10))
    impatient = Client(service.url, TOKEN, patience=0)
    with pytest.raises(ServiceError):
        impatient.download(ID, one.path, Path("other.bin"))
    assert sorted(path.name for path in folder.iterdir()) == ["m.bin"]
    with pytest.raises((UsageError, MachineError)):
        client.download(ID, one.path, Path("no/such/folder.bin"))


# The rest ---------------------------------------------------------------------------------------


def test_what_comes_out(service: Stub, client: Client) -> None:
    service.on(f"GET /jobs/{ID}/run", {"status": "FINISHED", "metrics": {"val_loss": 0.1}})
    service.on(f"GET /jobs/{ID}/curves", {"series": {"val_loss": [[1, 0.5], [2, None]]}, "last": 3})
    service.on(f"GET /jobs/{ID}/changes", {"changes": [{"number": 1}]})
    service.on("GET /service", {"version": "1"})
    assert client.run(ID)["metrics"]["val_loss"] == 0.1
    assert client.curves(ID)["val_loss"] == [[1, 0.5], [2, None]]
    assert client.changes(ID) == [{"number": 1}]
    assert client.service()["version"] == "1"


def test_tokens(service: Stub, client: Client) -> None:
    token = {"name": "laptop", "user": "ada", "role": "reader", "all": False, "created": 1.0,
             "expires": None, "revoked": None, "used": 2.0}  # fmt: skip
    service.on("GET /tokens", {"tokens": [token]})
    service.on("POST /tokens", Answer({"token": "trn_new"}, 201))
    service.on("DELETE /tokens/laptop", Answer(b"", 204))
    assert client.tokens()[0].used == 2.0
    assert client.add_token("phone", "ada", "reader", days=3) == "trn_new"
    client.revoke_token("laptop")
    assert service.asked[1].json["days"] == 3


# Access -----------------------------------------------------------------------------------------

A, B = "https://a.example.org", "https://b.example.org"


def _profile(folder: Path, text: str, mode: int = 0o600, name: str = "profile.yaml") -> Path:
    file = folder / "config" / "trainer" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return file


@pytest.mark.parametrize(
    ("flags", "variables", "server", "token"),
    [
        ({}, {}, A, "of_a"),
        ({"server": A}, {}, A, "of_a"),
        ({"server": B}, {}, B, None),
        ({"server": B, "token": "t"}, {}, B, "t"),
        ({"token": "t"}, {}, A, "t"),
        ({}, {"SERVER": B}, B, None),
        ({}, {"SERVER": B, "TOKEN": "v"}, B, "v"),
        ({"server": A}, {"SERVER": B, "TOKEN": "v"}, A, None),
        ({"server": B}, {"TOKEN": "v"}, B, "v"),
        ({}, {"TOKEN": "v"}, A, "of_a"),
        ({"profile": "b"}, {"SERVER": A, "TOKEN": "v"}, B, "of_b"),
        ({"profile": "b", "server": A}, {}, A, None),
        ({}, {"PROFILE": "b", "SERVER": A, "TOKEN": "v"}, B, "of_b"),
    ],
)
def test_a_token_is_for_its_server_alone(
    tmp_path: Path, flags: Any, variables: Any, server: str, token: str | None
) -> None:
    _profile(tmp_path, f"server: {A}/\ntoken: of_a\n")
    _profile(tmp_path, f"server: {B}\ntoken_file: b.token\n", name="b.yaml")
    _profile(tmp_path, "of_b\n", name="b.token")
    environ = {f"TRAINER_{name}": value for name, value in variables.items()}
    environ["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    found = find_access(**flags, environ=environ)
    assert (found.server, found.token) == (server, token)


def test_no_service_is_named() -> None:
    with pytest.raises(UsageError, match="which service") as caught:
        find_access()
    assert "TRAINER_SERVER" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (f"server: {A}\ntoken: geheim\n", 0o644, "others can read"),
        (f"server: {A}\ntoken: geheim\n", 0o640, "chmod 600"),
        ("token: geheim\n", 0o600, "names no server"),
        ("- geheim\n", 0o600, "names no server"),
        ("server: [geheim\n", 0o600, "is no YAML"),
        (f"server: {A}\ntokken: geheim\n", 0o600, "unknown key 'tokken'"),
        (f"server: {A}\ntoken: [geheim]\n", 0o600, "'token' to be a text"),
        (f"server: {A}\ntoken: geheim\ntoken_file: x\n", 0o600, "keep one"),
        (f"server: {A}\ntoken_file: gone\n", 0o600, "cannot be read"),
        ("server: https://a:geheim@x.org\n", 0o600, "on its own"),
        (f"server: {A}\ntoken: 'gehe im'\n", 0o600, "is no token"),
    ],
)
def test_profiles_that_cannot_be_used(tmp_path: Path, text: str, mode: int, words: str) -> None:
    _profile(tmp_path, text, mode)
    with pytest.raises(UsageError, match=words) as caught:
        find_access(environ={"XDG_CONFIG_HOME": str(tmp_path / "config")})
    assert "geheim" not in str(caught.value)


def test_a_profile_without_a_token_may_be_read_by_all(tmp_path: Path) -> None:
    file = _profile(tmp_path, f"server: {A}\nca: own.pem\n", 0o644)
    found = find_access(profile=str(file))
    assert (found.token, found.ca) == (None, file.parent / "own.pem")
    with pytest.raises(UsageError, match="cannot be read"):
        find_access(profile="gone")
