"""The service's store: who may come in, the audit log, uploads and speeds."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from service_stores import Made, kept, made, sqlite, submit

from trainer.errors import UsageError
from trainer.service.records import Token, Upload, User
from trainer.service.store import Broken, Store
from trainer.service.store.access import CODE_SECONDS, USED_SECONDS

__all__ = ["kept", "made", "sqlite"]  # fixtures

ANN = User("ann", "submitter", "ann's")
HOUR = 3600.0


# Tokens -----------------------------------------------------------------------------------------


def test_a_token_lets_its_user_in(made: Made) -> None:
    store = made.store
    secret = store.add_token("laptop", "ann", "submitter", True, None)
    assert re.fullmatch(r"trn_[A-Za-z0-9_-]{43}", secret)
    assert store.token(secret) == User("ann", "submitter", "laptop", all=True)
    made.store.audit("", "", "", {})  # after when it was used
    assert store.tokens() == [
        Token("laptop", "ann", "submitter", True, created=1000.0, used=1000.0)
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda secret: secret[:-1],
        lambda secret: secret + "x",
        lambda secret: secret[:-1] + ("A" if secret[-1] != "A" else "B"),
        lambda secret: secret.upper(),
        lambda secret: " " + secret,
        lambda secret: secret.removeprefix("trn_"),
        lambda secret: "",
        lambda secret: "trn_",
        lambda secret: "trn_' OR 1=1 --",
        lambda secret: "trn_%",
    ],
)
def test_another_secret_lets_nobody_in(made: Made, change: Callable[[str], str]) -> None:
    secret = made.store.add_token("laptop", "ann", "submitter", False, None)
    assert made.store.token(change(secret)) is None
    assert made.store.session(change(secret)) is None
    assert made.store.redeem(change(secret)) is None


def test_the_hash_of_a_secret_lets_nobody_in(made: Made) -> None:
    made.store.add_token("laptop", "ann", "submitter", False, None)
    ((kept,),) = made.query("SELECT hash FROM tokens")
    for asked in (kept, "trn_" + kept):
        assert made.store.token(asked) is None
        assert made.store.session(asked) is None


def test_tokens_run_out_and_are_revoked(made: Made) -> None:
    store = made.store
    soon = store.add_token("soon", "ann", "reader", False, 1010.0)
    later = store.add_token("later", "ann", "reader", False, None)
    assert store.token(soon) is not None
    made.clock.now = 1009.9
    assert store.token(soon) is not None
    made.clock.now = 1010.0
    assert store.token(soon) is None
    assert store.token(later) is not None
    store.revoke("later")
    assert store.token(later) is None
    made.clock.now = 1020.0
    store.revoke("later")  # when it was first
    assert [(t.name, t.expires, t.revoked) for t in store.tokens()] == [
        ("later", None, 1010.0), ("soon", 1010.0, None),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="there is no token 'none'"):
        store.revoke("none")
    for name in ("later", "soon"):
        with pytest.raises(UsageError, match=f"there is a token '{name}' already"):
            store.add_token(name, "bob", "admin", False, None)


def test_when_a_token_was_used_is_written_once_a_minute(made: Made) -> None:
    store = made.store
    secret = store.add_token("laptop", "ann", "reader", False, None)
    used = []
    for now in (1000.0, 1001.0, 1000.0 + USED_SECONDS, 1001.0 + USED_SECONDS, 500.0):
        made.clock.now = now
        store.token(secret)
        store.audit("", "", "", {})
        used.append(store.tokens()[0].used)
    assert used == [1000.0, 1000.0, 1000.0 + USED_SECONDS, 1000.0 + USED_SECONDS, 500.0]


# Sessions and codes -----------------------------------------------------------------------------


def test_a_session_lasts_as_long_as_it_was_to(made: Made) -> None:
    secret = made.store.add_session(ANN, 2)
    assert made.store.session(secret) == ANN
    assert made.store.token(secret) is None
    made.clock.now += 2 * HOUR - 1
    assert made.store.session(secret) == ANN
    made.clock.now += 1
    assert made.store.session(secret) is None
    made.store.add_session(ANN, 2)
    assert made.query("SELECT count(*) FROM sessions") == [(1,)]  # the other one is forgotten


def test_a_session_that_was_ended_lets_nobody_in(made: Made) -> None:
    one, other = made.store.add_session(ANN, 1), made.store.add_session(ANN, 1)
    made.store.end_session(one)
    made.store.end_session(one)
    made.store.end_session("none")
    assert made.store.session(one) is None
    assert made.store.session(other) == ANN


@pytest.mark.parametrize("end", ["revoke", "expire"])
def test_what_a_token_opened_ends_with_it(made: Made, end: str) -> None:
    store = made.store
    secret = store.add_token("laptop", "ann", "submitter", False, 1000.0 + HOUR)
    user = store.token(secret)
    assert user is not None
    session, code = store.add_session(user, 24), store.one_time(user)
    assert store.session(session) == user
    made.clock.now += HOUR - 1
    late = store.one_time(user)
    if end == "revoke":
        store.revoke("laptop")
    else:
        made.clock.now += 1
    assert store.session(session) is None
    assert store.redeem(code) is None
    assert store.redeem(late) is None


def test_a_code_lets_its_user_in_once(made: Made) -> None:
    code, late = made.store.one_time(ANN), made.store.one_time(ANN)
    assert made.store.session(code) is None
    assert made.store.redeem(code) == ANN
    assert made.store.redeem(code) is None
    made.clock.now += CODE_SECONDS - 1
    assert made.store.redeem(late) == ANN
    late = made.store.one_time(ANN)
    made.clock.now += CODE_SECONDS
    assert made.store.redeem(late) is None


def test_no_secret_is_in_the_database(sqlite: Made) -> None:
    store = sqlite.store
    token = store.add_token("laptop", "ann", "submitter", False, None)
    user = store.token(token)
    assert user is not None
    secrets = [token, token.removeprefix("trn_"), store.add_session(user, 1), store.one_time(user)]
    store.redeem(secrets[-1])
    kept = b"".join(path.read_bytes() for path in sqlite.folder.iterdir())
    assert b"laptop" in kept
    for secret in secrets:
        assert secret.encode() not in kept


# The audit log ----------------------------------------------------------------------------------


def write_lines(store: Store, number: int) -> None:
    for i in range(number):
        store.audit("ann", "cancel", f"job{i}", {"i": i, "why": ["é", 1.5, None], "bad": math.inf})


def test_the_audit_log_holds_what_was_done(made: Made) -> None:
    assert made.store.verify() == 0
    write_lines(made.store, 3)
    made.clock.now = 0.1 + 0.2  # a time that no decimal says
    write_lines(made.store, 1)
    assert made.store.verify() == 4
    lines = made.store.entries()
    assert [(e.number, e.time, e.user, e.action, e.target) for e in lines] == [
        (1, 1000.0, "ann", "cancel", "job0"), (2, 1000.0, "ann", "cancel", "job1"),
        (3, 1000.0, "ann", "cancel", "job2"), (4, 0.1 + 0.2, "ann", "cancel", "job0"),
    ]  # fmt: skip
    assert lines[1].detail == {"i": 1, "why": ["é", 1.5, None], "bad": None}
    assert len({entry.hash for entry in lines}) == 4
    assert [e.number for e in made.store.entries(1, 2)] == [2, 3]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("UPDATE audit SET \"user\" = 'bob' WHERE number = 3", 3),
        ("UPDATE audit SET action = 'pause' WHERE number = 1", 1),
        ("UPDATE audit SET target = 'job9' WHERE number = 5", 5),
        ("UPDATE audit SET time = time + 1 WHERE number = 4", 4),
        ("UPDATE audit SET detail = '{}' WHERE number = 2", 2),
        ("UPDATE audit SET hash = 'abc' WHERE number = 2", 2),
        ("UPDATE audit SET number = 9 WHERE number = 5", 5),
        ("DELETE FROM audit WHERE number = 1", 1),
        ("DELETE FROM audit WHERE number = 3", 3),
        ("DELETE FROM audit WHERE number = 5", 5),  # the end
        ("DELETE FROM audit WHERE number > 2", 3),
        ("DELETE FROM audit", 1),
        ("DELETE FROM audit_head", 6),
        ("UPDATE audit_head SET lines = 4", 5),
        ("UPDATE audit_head SET hash = ''", 5),
        (
            "INSERT INTO audit SELECT 6, time, \"user\", action, target, detail, hash, 'm'"
            " FROM audit WHERE number = 5",
            6,
        ),
        (
            "UPDATE audit SET target = (SELECT target FROM audit AS o WHERE o.number ="
            " 5 - audit.number) WHERE number IN (2, 3)",
            2,
        ),
    ],
)
def test_what_was_changed_in_the_audit_log_is_found(made: Made, change: str, line: int) -> None:
    write_lines(made.store, 5)
    assert made.store.verify() == 5
    made.tamper(change)
    with pytest.raises(Broken, match="audit log") as error:
        made.store.verify()
    assert error.value.line == line


def test_a_line_that_was_written_over_with_its_hash_breaks_the_next(made: Made) -> None:
    """Whoever writes a new hash to the line, too, has to write all that come after it."""
    write_lines(made.store, 2)
    made.store.audit("eve", "steal", "", {})
    (stolen,) = made.query("SELECT hash FROM audit WHERE number = 3")
    made.tamper(f"UPDATE audit SET hash = '{stolen[0]}' WHERE number = 2")
    with pytest.raises(Broken) as error:
        made.store.verify()
    assert error.value.line == 2


# Uploads and speeds -----------------------------------------------------------------------------


def test_uploads_belong_to_who_sent_them(made: Made) -> None:
    store = made.store
    one = store.add_upload(Upload("a" * 64, "ann", 100, 0, 0.0))
    assert one == Upload("a" * 64, "ann", 100, 0, 1000.0)
    made.clock.now += 1
    store.received(one.sha256, 40, "ann")
    assert store.add_upload(Upload("a" * 64, "ann", 7, 0, 0.0)) == dataclasses.replace(
        one, received=40
    )
    other = store.add_upload(Upload("a" * 64, "bob", 100, 100, 0.0))
    large = store.add_upload(Upload("b" * 64, "ann", 2**40, 2**40, 5.0))
    assert store.upload(one.sha256, "ann") == dataclasses.replace(one, received=40)
    assert store.upload(one.sha256) == other  # most of it is here
    assert other.whole
    assert store.upload("c" * 64) is None
    assert store.uploads("ann") == [large, dataclasses.replace(one, received=40)]
    assert len(store.uploads()) == 3
    assert sum(each.received for each in store.uploads("ann")) == 2**40 + 40
    assert store.uploads("zoe") == []
    store.drop_upload(one.sha256, "ann")
    assert store.upload(one.sha256, "ann") is None
    assert store.upload(one.sha256, "bob") == other
    store.drop_upload(one.sha256)
    assert store.uploads() == [large]


def test_speeds_are_those_of_late(made: Made) -> None:
    store = made.store
    assert store.speed("process") is None
    for bad in ((0, 1.0), (10, 0.0), (10, -1.0), (10, math.nan), (10, math.inf)):
        store.learn_speed("process", *bad)
    assert store.speed("process") is None
    store.learn_speed("process", 10**12, 2.0)
    assert store.speed("process") == 5e11
    for _ in range(100):
        store.learn_speed("process", 10**9, 1.0)
    assert store.speed("process") == pytest.approx(1e9, rel=0.1)
    assert store.speed("dask") is None


def test_what_users_do_is_theirs(made: Made) -> None:
    submit(made.store, "ann")
    submit(made.store, "bob")
    assert made.store.counts("ann") == {"queued": 1}
    assert made.store.counts("zoe") == {}
    found: list[Any] = made.store.events(0, None, "bob")
    assert [event.user for event in found] == ["bob"]
