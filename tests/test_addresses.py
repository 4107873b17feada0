"""No password, token or key of an address is shown or kept, whatever the scheme and the place."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import WriteSpec
from stores import all_runs

from trainer import Profile, SpecError, TrackingError, load_spec, train
from trainer.addresses import has_secret, shown_address, without_secrets
from trainer.errors import Problem
from trainer.tracking.store import address_again, check_store, resolve_store

RUNS = Path("runs")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:hunter2@db:5433/runs", "postgresql://me:***@db:5433/runs"),
        ("POSTGRESQL+psycopg2://me:hu@nt/er:2@db/x", "POSTGRESQL+psycopg2://me:***@db/x"),
        ("postgresql://me:hunter 2@db/x", "postgresql://me:***@db/x"),
        ("postgresql:///x?host=/run&user=me&password=hunter2&a=1",
         "postgresql:///x?host=/run&user=me&password=***&a=1"),
        ("mysql://db/x?ssl_key=/k.pem&Access_Key=hunter2", "mysql://db/x?ssl_key=***&Access_Key=***"),
        ("mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3Dhunter2", "mssql+pyodbc:///?odbc_connect=***"),
        ("mssql://me:h%40@db/x?driver=ODBC;PWD=hunter2;x=1", "mssql://me:***@db/x?driver=ODBC;PWD=***;x=1"),
        ("https://hunter2@server/x", "https://***@server/x"),
        ("redis://:hunter2@db", "redis://:***@db"),
        ("s3://bucket/x?X-Amz-Signature=hunter2", "s3://bucket/x?X-Amz-Signature=***"),
        # nothing to hide
        ("postgresql://me@db/x", None),
        ("sqlite:////home/a@b:c/mlflow.db", None),
        ("http://127.0.0.1:5000", None),
        ("databricks://work", None),
    ],
)  # fmt: skip
def test_addresses_are_shown_without_secrets(address: str, shown: str | None) -> None:
    assert shown_address(address) == (shown or address)
    assert has_secret(address) == (shown is not None)
    if " " not in address:
        text = f"the store '{address}' refused: (me@home) {address}"
        assert without_secrets(text) == text.replace(address, shown or address)


def test_no_error_tells_a_secret_whoever_wrote_it() -> None:
    line = f"{'x' * 90} postgresql://me:hunter2@db/x"
    problem = Problem("tracking", f"found '{line}'", line, "a.yaml", 1, len(line), line)
    for error in (SpecError(problem), TrackingError(f"refused: {line}")):
        assert "hunter2" not in str(error) + str(error.as_json())
        assert "***" in str(error)


def test_a_spec_holds_no_secret(write_spec: WriteSpec) -> None:
    path = write_spec({"tracking.uri": "postgresql://me:hunter2@db/x"})
    with pytest.raises(SpecError, match="this address holds a secret") as caught:
        load_spec(path)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SpecError) as caught:  # nor in the wrong place
        load_spec(write_spec(), {"tracking": "postgresql://me:hunter2@a-server-far-away/x"})
    assert "hunter2" not in str(caught.value)


def test_what_is_kept_of_a_run_has_no_secret(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comment of the spec, the store that refused, and what it said."""
    monkeypatch.setattr("trainer.tracking.recorder.PATIENCE_SECONDS", 0.3)
    path = write_spec()
    path.write_text(f"# was postgresql://me:hunter2@db/x\n{path.read_text()}")
    address = "postgresql+psycopg2://me:hunter2@127.0.0.1:1/x"
    with pytest.raises(TrackingError) as caught:
        train(load_spec(path), profile=Profile(store=address))
    assert "hunter2" not in str(caught.value)
    files = [file for file in RUNS.rglob("*") if file.is_file()]
    assert any(file.name == "recorded.json" for file in files)
    assert not [file for file in files if b"hunter2" in file.read_bytes()]
    assert all_runs(store) == []


def test_the_address_of_a_run_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, kept = "mysql://me:hunter2@db/x", "mysql://me:***@db/x"
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert address_again("sqlite:///a.db", kept) == "sqlite:///a.db"
    assert address_again(None, "http://server") == "http://server"
    assert address_again(None, None) is None
    with pytest.raises(TrackingError, match="its password is not kept"):
        address_again(None, kept)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mysql://me:hunter2@other/x")
    with pytest.raises(TrackingError, match="its password is not kept"):
        address_again(None, kept)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", whole)
    assert address_again(None, kept) == whole


@pytest.mark.parametrize(
    ("address", "uri", "database"),
    [
        ("SQLITE:///a/mlflow.db", "sqlite:///{}/a/mlflow.db", "a/mlflow.db"),
        ("sqlite+pysqlite:///a.db", "sqlite:///{}/a.db", "a.db"),
        ("HTTP://server:5000/x", "http://server:5000/x", None),
        ("PostgreSQL://me@db/x", "postgresql://me@db/x", None),
        ("databricks", "databricks", None),
        ("Databricks://Work", "databricks://Work", None),
        ("databricks-uc", "databricks-uc", None),
        ("uc:http://server", "uc:http://server", None),
    ],
)
def test_the_words_that_mlflow_knows(
    folder: Path, address: str, uri: str, database: str | None
) -> None:
    store = resolve_store(address, RUNS)
    assert store.uri == uri.format(folder)
    assert store.database == (database and folder / database)


@pytest.mark.parametrize("address", [r"C:\runs", "runs/mlruns", "FILE:///x", "file:x", "databrick"])
def test_folders_are_refused(address: str) -> None:
    with pytest.raises(TrackingError, match="is a folder, which MLflow no longer writes to"):
        resolve_store(address, RUNS)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("mysql://me:hunter2@127.0.0.1/x", "mysql://me:*** @127.0.0.1/x needs the package MySQLdb"),
        ("mysql+odd://me:hunter2@h/x", "mysql+odd://me:*** @h/x is no address of a database"),
        ("databricks", "is a workspace of Databricks, and MLflow finds no way into it"),
    ],
)  # fmt: skip
def test_stores_that_cannot_be_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(folder / "none"))
    with pytest.raises(TrackingError) as caught:
        check_store(resolve_store(address, RUNS))
    assert message.replace("*** @", "***@") in str(caught.value)
