"""Where and how the service runs: flags of `train service`, or a profile, which is a YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """How the service runs.

    It listens at `host` and `port`, and answers requests for `hosts` (by default its own names).
    Runs, uploads and, unless `database` is an address of PostgreSQL, the queue are in the folder
    `runs`; specs may name files below `data_folder`, if there is one. `workers` processes train,
    or as many slots of the Dask cluster `cluster`; MLflow is told at `tracking_uri`.

    What a proxy says of who asks is believed where it comes from one of the addresses `proxies`.

    A user may have so many jobs queued and running, bytes of uploads, and seconds of training a
    day; None is no limit. A run is saved every `save_every`.
    """

    host: str = "127.0.0.1"
    port: int = 8400
    hosts: tuple[str, ...] = ()
    workers: int | None = None
    database: str | None = None
    cluster: str | None = None
    tracking_uri: str | None = None
    runs: Path = Path("runs")
    data_folder: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    proxies: tuple[str, ...] = ()
    mlflow: bool = True
    queued_per_user: int | None = 20_000
    running_per_user: int | None = None
    data_per_user: int | None = 10 * 2**30
    seconds_per_user: float | None = None
    spec_bytes: int = 2**20
    upload_bytes: int = 4 * 2**30
    requests_per_second: float = 500
    logins_per_minute: float = 30
    session_hours: float = 168
    save_every: str = "2s"
