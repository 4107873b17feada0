"""Files that are sent: in pieces, checked by their hash, each user's own; and nothing else."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from faults.served import Client, Served, listening, serving

from trainer.errors import MachineError, UsageError
from trainer.service import uploading
from trainer.service.records import User
from trainer.service.refusals import Conflict
from trainer.service.uploading import check_name

DATA = bytes(range(256)) * 40
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as made:
        yield made


@pytest.fixture
def ada(served: Served) -> Client:
    return served.client(served.token("ada"))


def put(
    client: Client, data: bytes, offset: int | None = None, length: int | None = None,
    sha256: str = SHA256,
) -> httpx2.Response:  # fmt: skip
    headers = {}
    if offset is not None:
        headers["Upload-Offset"] = str(offset)
    if length is not None:
        headers["Upload-Length"] = str(length)
    return client.ask("PUT", f"/data/{sha256}", content=data, headers=headers)


def head(client: Client, sha256: str = SHA256) -> tuple[int, str | None, str | None]:
    answer = client.ask("HEAD", f"/data/{sha256}")
    names = ("upload-offset", "upload-length")
    return answer.status_code, *(answer.headers.get(name) for name in names)


def files(served: Served) -> dict[str, bytes]:
    folder = served.desk.runs / "uploads"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_a_file_at_once(served: Served, ada: Client) -> None:
    assert head(ada) == (404, None, None)
    answer = put(ada, DATA)
    assert answer.status_code == 201
    assert answer.json() == {
        "sha256": SHA256, "user": "ada", "size": len(DATA), "received": len(DATA),
        "created": answer.json()["created"], "whole": True,
    }  # fmt: skip
    assert files(served) == {SHA256: DATA}
    assert head(ada) == (200, str(len(DATA)), str(len(DATA)))
    listed = ada.get("/data").json()
    assert (len(listed["uploads"]), listed["held"], listed["most"]) == (1, len(DATA), 10 * 2**30)
    assert put(ada, DATA).status_code == 201  # again, nothing changes


def test_a_file_in_pieces(served: Served, ada: Client) -> None:
    size, places = len(DATA), [0, 1, 1000, 5000, len(DATA)]
    for begin, end in itertools.pairwise(places):
        answer = put(ada, DATA[begin:end], begin, size)
        assert answer.status_code == (201 if end == size else 202)
        assert answer.headers["upload-offset"] == str(end)
        assert head(ada)[:2] == (200, str(end))
    assert files(served) == {SHA256: DATA}


@pytest.mark.parametrize(
    ("offset", "length", "data", "status", "there"),
    [
        (2000, len(DATA), b"x", 409, "1000"),  # beyond what is here
        (500, len(DATA), DATA[500:900], 202, "900"),  # some of it again
        (None, len(DATA), DATA, 201, str(len(DATA))),  # all of it again
        (1000, len(DATA), b"", 202, "1000"),  # nothing
        (1000, len(DATA) + 1, DATA[1000:], 409, "1000"),  # as another size
        (1000, 1100, DATA[1000:1100], 409, "1000"),
        (1000, len(DATA), DATA[1000:] + b"x", 400, None),  # more than it has
        (-1, len(DATA), b"", 400, "1000"),
        (len(DATA) + 1, len(DATA), b"", 400, "1000"),
    ],
)
def test_going_on(
    offset: int | None, length: int, data: bytes, status: int, there: str | None, ada: Client
) -> None:
    assert put(ada, DATA[:1000], 0, len(DATA)).status_code == 202
    assert put(ada, data, offset, length).status_code == status
    if there is not None:
        assert head(ada)[1] == there


@pytest.mark.parametrize("headers", [
    {"Upload-Length": "x"}, {"Upload-Length": "-5"}, {"Upload-Offset": "x"},
    {"Upload-Length": "1e3"}, {"Upload-Length": "9" * 40}, {"Upload-Length": "1.5"},
])  # fmt: skip
def test_numbers_that_are_none(headers: Mapping[str, str], ada: Client) -> None:
    answer = ada.ask("PUT", f"/data/{SHA256}", content=DATA, headers=dict(headers))
    assert answer.status_code == 400
    assert head(ada)[0] == 404


def test_another_file_than_its_name_says_is_dropped(served: Served, ada: Client) -> None:
    wrong = DATA[:-1] + b"!"
    answer = put(ada, wrong)
    assert answer.status_code == 422
    assert answer.json()["error"] == "data"
    assert hashlib.sha256(wrong).hexdigest() in answer.json()["message"]
    assert files(served) == {}
    assert head(ada)[0] == 404
    assert put(ada, DATA).status_code == 201


def test_an_empty_file(served: Served, ada: Client) -> None:
    empty = hashlib.sha256(b"").hexdigest()
    assert put(ada, b"", 0, 0, empty).status_code == 201
    assert files(served) == {empty: b""}
    assert head(ada, empty) == (200, "0", "0")


def test_what_was_sent_is_each_user_s_own(served: Served, ada: Client) -> None:
    bob = served.client(served.token("bob"))
    put(ada, DATA)
    assert head(bob)[0] == 404
    assert bob.get("/data").json()["uploads"] == []
    assert bob.ask("DELETE", f"/data/{SHA256}").status_code == 404
    # whoever knows the hash alone has nothing: all of it is to be sent
    assert put(bob, DATA[:10], 0, len(DATA)).status_code == 202
    assert put(bob, DATA[10:-1] + b"!", 10, len(DATA)).status_code == 422
    assert files(served) == {SHA256: DATA}
    assert put(bob, DATA).status_code == 201
    assert files(served) == {SHA256: DATA}
    for client, left in ((ada, {SHA256: DATA}), (bob, {})):
        assert client.ask("DELETE", f"/data/{SHA256}").status_code == 204
        assert head(client)[0] == 404
        assert files(served) == left


def test_names_that_specs_gave_to_a_file_go_with_it(served: Served, ada: Client) -> None:
    put(ada, DATA)
    folder = served.desk.runs / "uploads"
    os.link(folder / SHA256, folder / f"{SHA256}.csv")
    assert ada.ask("DELETE", f"/data/{SHA256}").status_code == 204
    assert files(served) == {}


@pytest.mark.parametrize("name", [
    "x", SHA256[:-1], SHA256.upper(), SHA256 + "0", "..", "%2e%2e", f"..%2f{SHA256}",
    f"{SHA256}%00", f"{SHA256}.part", f"{SHA256}%0a", "../runs2/" + SHA256,
])  # fmt: skip
def test_names_that_are_no_hash(name: str, served: Served, ada: Client) -> None:
    for method in ("PUT", "HEAD", "DELETE"):
        answer = ada.ask(method, f"/data/{name}", content=b"x" if method == "PUT" else b"")
        assert answer.status_code in (400, 404, 405)
    assert files(served) == {}


@pytest.mark.parametrize("name", ["", "a/b", "../x", SHA256 + "\n", "\0" * 64])
def test_no_other_name_becomes_a_path(name: str) -> None:
    with pytest.raises(UsageError):
        check_name(name)


def test_quotas_and_sizes(tmp_path: Path) -> None:
    with serving(tmp_path, data_per_user=1000, upload_bytes=600) as served:
        ada, bob = served.client(served.token("ada")), served.client(served.token("bob"))
        one, two, three = (hashlib.sha256(bytes([k]) * 500).hexdigest() for k in range(3))
        assert put(ada, b"x" * 601, 0, 601).status_code == 413
        assert put(ada, b"x", 0, 601).status_code == 413
        assert put(ada, b"\0" * 500, 0, 500, one).status_code == 201
        assert put(ada, b"\1", 0, 500, two).status_code == 202  # all of it counts from now on
        answer = put(ada, b"\2" * 1, 0, 1, three)
        assert (answer.status_code, answer.json()["error"]) == (429, "quota")
        assert int(answer.headers["retry-after"]) > 0
        assert put(ada, b"\1" * 499, 1, 500, two).status_code == 201
        assert put(bob, b"\0" * 500, 0, 500, one).status_code == 201
        assert ada.ask("DELETE", f"/data/{one}").status_code == 204
        assert put(ada, b"\2" * 500, 0, 500, three).status_code == 201


def test_many_at_once_do_not_pass_the_quota(tmp_path: Path) -> None:
    with serving(tmp_path, data_per_user=2500) as served:
        token, codes = served.token("ada"), []

        def send(k: int) -> None:
            data = bytes([k]) * 1000
            name = hashlib.sha256(data).hexdigest()
            codes.append(put(served.client(token), data, sha256=name).status_code)

        threads = [threading.Thread(target=send, args=(k,)) for k in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(codes) == [201, 201, *[429] * 6]


def test_links_are_neither_followed_nor_written(served: Served, ada: Client) -> None:
    folder = served.desk.runs / "uploads"
    folder.mkdir()
    secret = served.desk.runs / "secret"
    secret.write_bytes(b"mine")
    who = hashlib.sha256(b"ada").hexdigest()[:16]
    part = folder / f".{SHA256}.{who}.part"
    for make in (os.symlink, os.link):
        make(secret, part)
        assert put(ada, DATA).status_code == 503
        part.unlink()
    os.mkfifo(part)
    assert put(ada, DATA).status_code == 503
    part.unlink()
    (folder / SHA256).symlink_to(secret)
    assert put(ada, DATA).status_code == 201
    assert secret.read_bytes() == b"mine"
    assert not (folder / SHA256).is_symlink()


def test_a_file_that_is_gone_from_the_disk_is_sent_again(served: Served, ada: Client) -> None:
    put(ada, DATA)
    (served.desk.runs / "uploads" / SHA256).unlink()
    assert head(ada) == (200, "0", str(len(DATA)))
    assert not ada.get("/data").json()["uploads"][0]["whole"]
    assert put(ada, DATA).status_code == 201
    assert files(served) == {SHA256: DATA}


def test_a_full_disk_is_said_and_keeps_what_was_there(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(ada, DATA[:100], 0, len(DATA))

    def full(*_: Any) -> None:
        raise MachineError("the disk of uploads has no room left")

    with monkeypatch.context() as patch:
        patch.setattr("trainer.service.uploading.Piece.write", full)
        answer = put(ada, DATA[100:], 100, len(DATA))
    assert (answer.status_code, answer.json()["error"]) == (503, "away")
    assert head(ada)[1] == "100"
    assert put(ada, DATA[100:], 100, len(DATA)).status_code == 201


def broken_off(
    address: str, token: str, data: bytes, offset: int = 0
) -> http.client.HTTPConnection:
    """Sends only some of what was announced."""
    parts = urlsplit(address)
    assert parts.hostname
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    connection.putrequest("PUT", f"/data/{SHA256}")
    for name, value in (
        ("Authorization", f"Bearer {token}"),
        ("Upload-Offset", offset),
        ("Upload-Length", len(DATA)),
        ("Content-Length", len(DATA) - offset),
    ):
        connection.putheader(name, str(value))
    connection.endheaders(data)
    return connection


def wait_for(served: Served, client: Client, place: int) -> None:
    until = time.monotonic() + 10
    while head(client)[1] != str(place):
        assert time.monotonic() < until, head(client)
        time.sleep(0.01)


def test_a_connection_that_breaks_loses_nothing(served: Served, ada: Client) -> None:
    with listening(served) as address:
        connection = broken_off(address, served.token("ada"), DATA[:3000])
        time.sleep(0.1)
        connection.close()
        wait_for(served, ada, 3000)
        assert put(ada, DATA[3000:], 3000, len(DATA)).status_code == 201


def test_who_sends_anew_takes_over_from_a_connection_that_died_unseen(
    served: Served, ada: Client
) -> None:
    with listening(served) as address:
        dead = broken_off(address, served.token("ada"), DATA[:3000])
        until = time.monotonic() + 10
        while not served.app.state.uploads._pieces:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert put(ada, DATA).status_code == 201
        dead.send(DATA[3000:])
        assert dead.getresponse().status == 409
        dead.close()
    assert files(served) == {SHA256: DATA}


def test_the_same_file_from_many_at_once(served: Served) -> None:
    names = [f"user{k % 3}" for k in range(9)]
    codes: list[int] = []
    tokens = {name: served.token(name) for name in names}

    def send(name: str) -> None:
        for k in range(20):  # Who is told that another sends it, waits; each a while longer.
            code = put(served.client(tokens[name]), DATA).status_code
            if code != 409:
                break
            time.sleep(0.01 * k)
        codes.append(code)

    threads = [threading.Thread(target=send, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [201] * 9
    assert files(served) == {SHA256: DATA}
    assert {each.user for each in served.store.uploads()} == set(names)
    assert all(each.whole for each in served.store.uploads())


def test_who_is_overtaken_while_the_hash_is_taken_leaves_the_other_alone(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads, ada = served.app.state.uploads, User("ada", "submitter", "ada")
    upload, first = uploads.begin(ada, SHA256, len(DATA), 0)
    first.write(DATA)
    taken = uploading.hash_within
    later = []

    def overtaken(folder: Path, name: str) -> str:
        found = taken(folder, name)
        if not later:
            later.append(uploads.begin(ada, SHA256, len(DATA), 0)[1])
        return found

    monkeypatch.setattr(uploading, "hash_within", overtaken)
    with pytest.raises(Conflict, match="being sent by another request"):
        uploads.end(upload, first)
    uploads.leave(upload, first)
    (second,) = later
    second.write(DATA[:3000])
    # A third takes over from the second one too: it never writes into the third one's file.
    _, third = uploads.begin(ada, SHA256, len(DATA), 3000)
    with pytest.raises(Conflict, match="being sent by another request"):
        second.write(DATA[3000:])
    third.write(DATA[3000:])
    assert uploads.end(upload, third).whole
    assert files(served) == {SHA256: DATA}


def test_readers_send_nothing(served: Served) -> None:
    uploads = served.app.state.uploads
    for ask in (lambda u: uploads.begin(u, SHA256, 1, 0), lambda u: uploads.drop(u, SHA256)):
        with pytest.raises(Exception, match="needs the role submitter"):
            ask(User("eve", "reader", "eve"))
