"""The routes of jobs and specs; what comes in wrong is told in one shape, and is never a 5xx."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from faults.served import SPEC, Client, Served, serving

from trainer.errors import UsageError
from trainer.service.keeping import POINTS, differences, thinned
from trainer.service.records import Job
from trainer.service.web.answers import encoded
from trainer.service.web.page import static_files
from trainer.service.web.reading import strict_json

YAML = {"Content-Type": "application/yaml"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as made:
        yield made


@pytest.fixture
def ada(served: Served) -> Client:
    return served.client(served.token("ada"))


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of one service for tests that change nothing."""
    with serving(tmp_path_factory.mktemp("asked"), requests_per_second=1e9) as made:
        yield made.client(made.token("ada"))


def become(served: Served, job: str, state: Any, attempt: int | None = None, **fields: Any) -> Job:
    return served.store.change(job, state, "", attempt=attempt, mark=uuid4().hex, **fields)


def running(served: Served, client: Client) -> str:
    job = client.submit().json()["id"]
    claimed = served.store.claim({})
    assert claimed is not None
    assert claimed.id == job
    return str(job)


# Submitting -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "body", "query"),
    [
        (YAML, SPEC, "?priority=2&folds=3&kind=crossval&again=true"),
        (
            {"Content-Type": "text/plain; charset=utf-8"},
            SPEC,
            "?priority=2&folds=3&kind=crossval&again=1",
        ),
        (JSON, {"spec": SPEC, "priority": 2, "folds": 3, "kind": "crossval", "again": True}, ""),
        (
            JSON,
            {"spec": {"name": "xor"}, "priority": 2, "folds": 3, "kind": "crossval", "again": True},
            "",
        ),
    ],
)
def test_a_spec_comes_in(
    headers: Mapping[str, str], body: Any, query: str, served: Served, ada: Client
) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    answer = ada.post(f"/jobs{query}", content=content, headers=dict(headers))
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert answer.headers["location"] == job["links"]["self"] == f"/jobs/{job['id']}"
    kept = {name: job[name] for name in ("user", "name", "kind", "priority", "again", "options")}
    assert kept == {
        "user": "ada", "name": "xor", "kind": "crossval", "priority": 2, "again": True,
        "options": {"folds": 3},
    }  # fmt: skip
    assert (job["state"], job["place"], job["run"]) == ("queued", 1, job["id"])
    assert job["cost"] == {"steps": 10, "operations": 20, "bytes": 30, "seconds": 0.5}
    assert not {"text", "resolved", "file"} & set(job)
    assert served.work.pokes == 1
    assert "name" in ada.get(f"/jobs/{job['id']}/spec").text


def test_all_mistakes_are_told_and_nothing_is_queued(served: Served, ada: Client) -> None:
    answer = ada.submit("name: x\nmistake: expected 1, found 2")
    assert answer.status_code == 422
    told = answer.json()
    assert told["error"] == "spec"
    assert [each["path"] for each in told["errors"]] == ["a", "b"]
    assert told["errors"][0] == {
        "file": "spec.yaml", "line": 2, "column": 1, "path": "a",
        "code": None, "message": "expected 1, found 2", "hint": "a hint",
    }  # fmt: skip
    assert ada.get("/jobs").json()["total"] == 0
    assert served.work.pokes == 0
    looked = ada.post("/check", content="name: x\nmistake: no", headers=YAML)
    assert looked.status_code == 200
    assert (looked.json()["valid"], len(looked.json()["errors"])) == (False, 2)


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", YAML, 422), (b"\xff\xfe", YAML, 400), (b"name: x", {}, 400),
        (b"name: x", {"Content-Type": "application/x-www-form-urlencoded"}, 400),
        (b"{}", JSON, 400), (b"[]", JSON, 400), (b"null", JSON, 400), (b"", JSON, 400),
        (b'{"spec": 5}', JSON, 400), (b'{"spec": "name: x", "more": 1}', JSON, 400),
        (b'{"spec": "name: x", "priority": true}', JSON, 400),
        (b'{"spec": "name: x", "priority": 1.5}', JSON, 400),
        (b'{"spec": "name: x", "priority": 1001}', JSON, 400),
        (b'{"spec": "name: x", "priority": ' + b"9" * 5000 + b"}", JSON, 400),
        (b'{"spec": "name: x", "again": "yes"}', JSON, 400),
        (b'{"spec": "name: x", "kind": "sort"}', JSON, 400),
        (b'{"spec": "name: x", "folds": 1}', JSON, 400),
        (b'{"spec": "name: x", "parent": "none"}', JSON, 400),
        (b'{"spec": "name: x", "spec": "name: y"}', JSON, 400),
        (b'{"spec": {"name": "x", "a": NaN}}', JSON, 400),
        (b'{"spec": {"name": "x", "a": 1e999}}', JSON, 400),
        (b'{"spec": {"name": "x", "a": Infinity}}', JSON, 400),
        (b'{"spec": "name: \\ud800"}', JSON, 400), (b'{"spec": "name: \\u0000"}', JSON, 400),
        (b'{"spec": ' + b"[" * 200_000, JSON, 400),
        (b'{"spec": {"name": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_002, JSON, 400),
    ],
)  # fmt: skip
def test_what_comes_in_wrong(
    content: bytes, headers: Mapping[str, str], status: int, asker: Client
) -> None:
    for path in ("/jobs", "/check"):
        answer = asker.post(path, content=content, headers=dict(headers))
        if path == "/check" and status == 422:
            assert answer.status_code == 200
        elif path == "/jobs" or b"p" not in content:
            assert answer.status_code == status, answer.text
            assert answer.json()["message"]
        else:
            assert answer.status_code < 500


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "sort=x", "sort=metrics.", "state=x", "kind=x",
     "after=x", "after=%00", "since=nan", "since=-1", "text=%00", "after=W10", "limit=1e9",
     "limit=" + "9" * 400],
)  # fmt: skip
def test_wrong_parameters(query: str, asker: Client) -> None:
    answer = asker.get(f"/jobs?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"] == "usage"
    assert "pydantic" not in answer.text


@pytest.mark.parametrize("value", [10**30, 1e999, "x", None, True, -1])
@pytest.mark.parametrize("number", [10**30, -5, True])
def test_a_cursor_of_one_s_own_making_breaks_nothing(
    value: Any, number: Any, asker: Client
) -> None:
    for sort in ("-number", "name", "ended", "metrics.loss"):
        text = base64.urlsafe_b64encode(json.dumps([sort, value, number]).encode()).decode()
        assert asker.get("/jobs", params={"sort": sort, "after": text}).status_code in (200, 400)


def test_a_key_makes_a_request_count_once(served: Served, ada: Client) -> None:
    key = {"Idempotency-Key": "k1"}
    first = ada.submit(headers=key)
    again = ada.submit(headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    for other in (
        ada.submit("name: other", headers=key),
        ada.submit(headers=key, params={"priority": 1}),
    ):
        assert other.status_code == 409
        assert other.json()["error"] == "conflict"
    bob = served.client(served.token("bob"))
    assert bob.submit(headers=key).status_code == 201  # each user has keys of its own
    assert ada.get("/jobs").json()["total"] == 1
    # what was taken in stays so, though its data are gone, and nothing new begins
    served.work.draining = True
    served.desk.checker = None  # type: ignore[assignment]  # it is not asked
    assert ada.submit(headers=key).status_code == 200


def test_many_with_one_key_make_one_job(served: Served) -> None:
    token, found = served.token("ada"), []

    def send() -> None:
        answer = served.client(token).submit(headers={"Idempotency-Key": "one"})
        found.append((answer.status_code, answer.json()["id"]))

    threads = [threading.Thread(target=send) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(code for code, _ in found) == [200] * 11 + [201]
    assert len({job for _, job in found}) == 1


def test_what_was_trained_before_is_told_at_once(served: Served, ada: Client) -> None:
    answer = ada.submit("name: x\nknown: abc")
    job = answer.json()
    assert answer.status_code == 200
    assert (job["state"], job["known"], job["run"]) == ("finished", True, "abc")
    assert job["place"] is None
    again = ada.submit("name: x\nknown: abc", params={"again": True}).json()
    assert (again["state"], again["known"], again["run"]) == ("queued", False, again["id"])


def test_a_drained_service_takes_no_job(served: Served, ada: Client) -> None:
    served.work.draining = True
    answer = ada.submit()
    assert (answer.status_code, answer.json()["error"]) == (503, "draining")
    assert answer.headers["retry-after"] == "30"
    assert served.client().get("/health").json()["status"] == "draining"


def test_quotas_of_jobs(tmp_path: Path) -> None:
    with serving(tmp_path, queued_per_user=2, seconds_per_user=100) as served:
        ada, bob = served.client(served.token("ada")), served.client(served.token("bob"))
        first = ada.submit().json()["id"]
        assert ada.submit().status_code == 201
        refused = ada.submit()
        assert (refused.status_code, refused.json()["error"]) == (429, "quota")
        ada.post(f"/jobs/{first}/pause")
        assert ada.submit().status_code == 429  # what is paused waits, too
        ada.post(f"/jobs/{first}/resume")
        claimed = served.store.claim({})
        assert claimed is not None
        become(served, claimed.id, "finished", seconds=101.0)
        assert bob.submit().status_code == 201
        assert "seconds of a day" in ada.submit().json()["message"]
        served.clock.now += 86_401
        assert ada.submit().status_code == 201


def test_many_at_once_do_not_pass_the_quota(tmp_path: Path) -> None:
    with serving(tmp_path, queued_per_user=3) as served:
        token, codes = served.token("ada"), []

        def send() -> None:
            codes.append(served.client(token).submit().status_code)

        threads = [threading.Thread(target=send) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert codes.count(201) <= 3
        assert set(codes) == {201, 429}


def test_a_job_made_from_another(served: Served, ada: Client) -> None:
    parent = ada.submit().json()["id"]
    child = ada.submit(params={"parent": parent[:8]}).json()
    assert child["parent"] == parent
    assert ada.get(f"/jobs?parent={parent}").json()["total"] == 1
    stranger = served.client(served.token("bob"))
    assert stranger.submit(params={"parent": parent}).status_code == 400


# Steering ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "verb", "status", "state", "wish"),
    [
        ("queued", "cancel", 200, "cancelled", None),
        ("queued", "pause", 200, "paused", None),
        ("queued", "resume", 200, "queued", None),
        ("paused", "resume", 200, "queued", None),
        ("paused", "pause", 200, "paused", None),
        ("paused", "cancel", 200, "cancelled", None),
        ("waiting", "cancel", 200, "cancelled", None),
        ("waiting", "pause", 200, "paused", None),
        ("running", "cancel", 200, "running", "cancel"),
        ("running", "pause", 200, "running", "pause"),
        ("running", "resume", 200, "running", None),
        ("cancelled", "cancel", 200, "cancelled", None),
        ("cancelled", "pause", 409, "cancelled", None),
        ("cancelled", "resume", 409, "cancelled", None),
        ("finished", "cancel", 409, "finished", None),
        ("finished", "resume", 409, "finished", None),
        ("failed", "pause", 409, "failed", None),
        ("diverged", "cancel", 409, "diverged", None),
    ],
)
def test_steering(
    before: Any, verb: str, status: int, state: str, wish: str | None, served: Served, ada: Client
) -> None:
    job = running(served, ada)
    for step in {"queued": ["queued"], "cancelled": ["cancelled"]}.get(before, [before]):
        if step != "running":
            become(served, job, step)
    answer = ada.post(f"/jobs/{job}/{verb}")
    assert answer.status_code == status, answer.text
    shown = ada.get(f"/jobs/{job}").json()
    assert (shown["state"], shown["wish"]) == (state, wish)
    assert served.work.stopped == ([job] if wish else [])


def test_a_wish_is_taken_back(served: Served, ada: Client) -> None:
    job = running(served, ada)
    ada.post(f"/jobs/{job}/pause")
    assert ada.post(f"/jobs/{job}/resume").json()["wish"] is None
    ada.post(f"/jobs/{job}/cancel")
    assert ada.post(f"/jobs/{job}/pause").status_code == 409
    assert ada.post(f"/jobs/{job}/resume").status_code == 409


def test_what_a_worker_begins_meanwhile_is_not_ended_behind_its_back(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking and changing a worker may take the job: then it gets a wish."""
    job, change = ada.submit().json()["id"], served.store.change

    def slowly(*args: Any, **named: Any) -> Job:
        monkeypatch.setattr(served.store, "change", change)
        served.store.claim({})
        return change(*args, **named)

    monkeypatch.setattr(served.store, "change", slowly)
    answer = ada.post(f"/jobs/{job}/cancel").json()
    assert (answer["state"], answer["wish"]) == ("running", "cancel")
    assert served.work.stopped == [job]


def test_priorities(served: Served, ada: Client) -> None:
    first, second = (ada.submit().json()["id"] for _ in range(2))
    answer = ada.ask("PATCH", f"/jobs/{second}", json={"priority": 7})
    assert (answer.json()["priority"], answer.json()["place"]) == (7, 1)
    assert ada.get(f"/jobs/{first}").json()["place"] == 2
    for wrong in ({"priority": 1001}, {"priority": "7"}, {"priority": None}, {}, {"priority": 7.0}):
        assert ada.ask("PATCH", f"/jobs/{second}", json=wrong).status_code in (200, 400)
    become(served, second, "cancelled")
    assert ada.ask("PATCH", f"/jobs/{second}", json={"priority": 8}).status_code == 409


def test_others_see_and_steer_nothing(served: Served, ada: Client) -> None:
    job = ada.submit().json()["id"]
    bob = served.client(served.token("bob"))
    boss = served.client(served.token("boss", "submitter", all=True))
    watcher = served.client(served.token("watcher", "reader", all=True))
    assert bob.get("/jobs").json() == {"jobs": [], "next": None, "total": 0, "counts": {}}
    assert bob.get("/jobs?user=ada").json()["total"] == 0
    assert bob.post(f"/jobs/{job}/cancel").status_code == 404
    mine = bob.submit().json()["id"]
    assert bob.get(f"/jobs/{mine}/diff?with={job}").status_code == 404
    assert watcher.get("/jobs?user=ada").json()["total"] == 1
    assert watcher.post(f"/jobs/{job}/cancel").status_code == 403
    assert boss.post(f"/jobs/{job}/cancel").json()["reason"] == "cancelled by boss"


# Listing ----------------------------------------------------------------------------------------


def test_pages_of_jobs(served: Served, ada: Client) -> None:
    ids = [ada.submit(f"name: job {k}").json()["id"] for k in range(7)]
    found, after = [], None
    while True:
        params = {"limit": 3, "sort": "number"} | ({"after": after} if after else {})
        page = ada.get("/jobs", params=params).json()
        found += [job["id"] for job in page["jobs"]]
        after = page["next"]
        if after is None:
            break
    assert found == ids
    assert page["total"] == 7
    assert page["counts"] == {"queued": 7}
    become(served, ids[0], "cancelled")
    both = ada.get("/jobs?state=queued&state=cancelled&kind=train&text=job&sort=-name").json()
    assert both["total"] == 7
    assert ada.get("/jobs?state=cancelled").json()["total"] == 1
    assert ada.get(f"/jobs/{ids[3][:8]}").json()["id"] == ids[3]
    for name in ("x", "0" * 32, "zzzzzzzz", ids[0] + "0", "%20", "%F0%9F%92%A9"):
        assert ada.get(f"/jobs/{name}").status_code == 404


def test_changes_curves_and_differences(served: Served, ada: Client) -> None:
    job = running(served, ada)
    for epoch in range(1, 4):
        assert served.store.progress(
            job, 1, place=epoch, epoch=epoch, step=epoch, metrics={"loss": 1 / epoch},
            series={"loss": [[epoch, 1 / epoch]], "bad": [[epoch, float("nan")]]}, epochs=3,
        )  # fmt: skip
    served.store.note(job, "hello")
    changes = ada.get(f"/jobs/{job}/changes").json()["changes"]
    assert [each["kind"] for each in changes] == ["state", "state", "note"]
    curves = ada.get(f"/jobs/{job}/curves").json()
    assert curves["series"] == {
        "loss": [[1, 1.0], [2, 0.5], [3, 1 / 3]], "bad": [[1, None], [2, None], [3, None]],
    }  # fmt: skip
    assert curves["last"] == served.store.last_event()
    other = ada.submit("name: b\nx: 1").json()["id"]
    diff = ada.get(f"/jobs/{job}/diff?with={other}").json()
    assert diff["differences"] == [
        {"path": "name", "one": "xor", "other": "b"}, {"path": "x", "one": None, "other": "1"},
    ]  # fmt: skip


def test_thinning_keeps_ends_and_peaks() -> None:
    points = [(float(k), float(k % 7)) for k in range(50_000)]
    points[31_234] = (31_234.0, 99.0)
    thin = thinned(points)
    assert len(thin) <= POINTS
    assert (thin[0], thin[-1]) == (points[0], points[-1])
    assert points[31_234] in thin
    assert thin == sorted(thin)
    assert thinned([(0.0, float("inf"))]) == [(0.0, None)]


def test_differences_tell_types_apart() -> None:
    one = {"a": 1, "b": True, "c": {"d": [1, 2]}, "e": {}}
    other = {"a": 1.0, "b": 1, "c": {"d": [1, 3]}, "f": None}
    found = [(each.path, each.one, each.other) for each in differences(one, other)]
    assert found == [("b", True, 1), ("c.d[1]", 2, 3), ("e", {}, None), ("f", None, None)]


# The page, MLflow, the rest ---------------------------------------------------------------------


def test_the_page(served: Served) -> None:
    client = served.client()
    one, two = client.get("/"), client.get("/")
    policies = [each.headers["content-security-policy"] for each in (one, two)]
    nonces = [policy.split("'nonce-")[1].split("'")[0] for policy in policies]
    assert nonces[0] != nonces[1]
    assert nonces[0] in one.text
    assert "__NONCE__" not in one.text
    assert "script-src 'self';" in policies[0]
    assert "'unsafe-" not in policies[0]


def test_files_of_the_page(served: Served) -> None:
    client = served.client()
    page = client.get("/").text
    for name, file in static_files().items():
        plain, hashed = (
            client.get(f"/static/{name}"),
            client.get(f"/static/{name}?v={file.sha256[:12]}"),
        )
        assert plain.content == hashed.content == file.data
        assert plain.headers["cache-control"] == "no-cache"
        assert "immutable" in hashed.headers["cache-control"]
        assert (
            "immutable" not in client.get(f"/static/{name}?v=000000000000").headers["cache-control"]
        )
        tag = {"If-None-Match": plain.headers["etag"]}
        assert client.get(f"/static/{name}", headers=tag).status_code == 304
    for asked in [part.split('"')[0] for part in page.split('"/static/')[1:]]:
        assert client.get(f"/static/{asked}").status_code == 200
    for name in ("../app.py", "index.html", "..%2f__init__.py", "/etc/passwd", "", "a/b", "%00"):
        assert client.get(f"/static/{name}").status_code in (400, 401, 404)


def test_measures(served: Served, ada: Client) -> None:
    ada.submit()
    served.work.seen = [{"name": "w", "kind": "process", "state": "busy", "job": "x"}]
    served.clock.now += 5
    text = served.client(served.token("root", "admin")).get("/metrics").text
    for line in (
        'trainer_jobs{state="queued"} 1.0',
        'trainer_workers{state="busy"} 1.0',
        "trainer_draining 0.0",
        "trainer_runs_unsent 0.0",
        "trainer_streams 0.0",
        'trainer_requests_total{method="POST",route="/jobs",status="201"} 1.0',
    ):
        assert line in text


def test_a_worker_does_not_tell_of_others_jobs(served: Served, ada: Client) -> None:
    job = ada.submit().json()["id"]
    served.work.seen = [{"name": "w", "kind": "process", "state": "busy", "job": job}]
    assert ada.get("/service").json()["workers"][0]["job"] == job
    bob = served.client(served.token("bob"))
    assert bob.get("/service").json()["workers"][0]["job"] is None


def test_no_secret_of_an_address_is_shown(tmp_path: Path) -> None:
    with serving(tmp_path, tracking_uri="https://ada:secret@mlflow.example/x") as served:
        told = served.client(served.token("ada")).get("/service")
        assert "secret" not in told.text
        assert "***@mlflow.example" in told.text


@pytest.mark.parametrize("kind", ["train", "sweep"])
def test_schemas_of_specs(kind: str, asker: Client) -> None:
    schema = asker.get(f"/schema?kind={kind}").json()
    assert "Upload" in schema["$defs"]


@pytest.mark.parametrize(
    ("value", "text"),
    [({"a": float("nan"), "b": [float("inf"), 1.5]}, '{"a":null,"b":[null,1.5]}'),
     ({"µ": "\ud800"}, '{"µ":"?"}'), ((1, 2), "[1,2]")],
)  # fmt: skip
def test_what_is_sent_is_json(value: Any, text: str) -> None:
    assert encoded(value) == text.encode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1,]",
        "nan",
        "-Infinity",
        '{"a":1,"a":1}',
        "1e400",
        '"\\udc00"',
        '"\\u0000"',
        '{"\\ud800":1}',
        "[" * 99_999,
    ],
)
def test_json_that_could_be_read_in_two_ways(text: str) -> None:
    with pytest.raises(UsageError):
        strict_json(text.encode())


def test_json_that_is_fine() -> None:
    assert strict_json(b' {"a": [1, 2.5, "\\u00b5", "\\ud83d\\ude00", null]} ') == {
        "a": [1, 2.5, "µ", "😀", None]
    }


def test_tokens_by_the_api(served: Served) -> None:
    root = served.client(served.token("root", "admin"))
    made = root.post("/tokens", json={"name": "bob", "role": "reader", "days": 1})
    secret = made.json()["token"]
    assert made.status_code == 201
    assert root.post("/tokens", json={"name": "bob"}).status_code == 409
    bob = served.client(secret)
    assert bob.get("/session").json() == {"user": "bob", "role": "reader", "all": False}
    listed = {each["name"]: each for each in root.get("/tokens").json()["tokens"]}
    assert set(listed) == {"bob", "root"}
    assert "trn_" not in json.dumps(listed)
    assert root.ask("DELETE", "/tokens/nobody").status_code == 404
    assert root.ask("DELETE", "/tokens/bob").status_code == 204
    assert bob.get("/session").status_code == 401
    for wrong in (
        {"name": ""},
        {"name": "a/b"},
        {"name": "x", "days": 0},
        {"name": "x\n"},
        {"name": "x", "days": -1},
        {"name": "x", "role": "king"},
        {"name": "../x"},
    ):
        assert root.post("/tokens", json=wrong).status_code == 400


def test_a_job_is_as_it_is_in_the_records(served: Served, ada: Client) -> None:
    """No field is forgotten where a job is shown, but those that are long."""
    from dataclasses import fields

    job = ada.submit().json()
    names = {each.name for each in fields(Job)} - {"text", "resolved", "file"}
    assert set(job) == names | {"links", "place"}
    kept = served.store.job(job["id"])
    for name in names - {"cost"}:
        assert job[name] == getattr(kept, name), name
