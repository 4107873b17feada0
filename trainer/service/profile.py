"""The profile of a service: a YAML file that says what its flags say, and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from trainer.errors import UsageError
from trainer.service.settings import Settings
from trainer.spec.amounts import Amount, Duration, bytes_of, seconds_of
from trainer.spec.declaration import Declaration
from trainer.spec.fields import Name, Strict
from trainer.spec.reading import read_root, read_text

_COUNT: Final = Field(ge=1)


class QuotaSpec(Strict):
    """What each user may have at a time."""

    queued: Annotated[int, _COUNT] | None = None
    """Jobs that are not over."""
    running: Annotated[int, _COUNT] | None = None
    """Jobs that are trained at the same time."""
    data: Amount | None = None
    """Files that were sent, all together."""
    time: Duration | None = None
    """Training, in a day."""


class LimitSpec(Strict):
    """How much the service takes at once."""

    spec: Amount | None = None
    """Of a spec."""
    upload: Amount | None = None
    """Of one file."""
    requests: Annotated[float, Field(gt=0)] | None = None
    """A second, of each user."""
    logins: Annotated[float, Field(gt=0)] | None = None
    """A minute, that fail, from each address."""
    session: Duration | None = None
    """How long a browser stays logged in."""


class ServiceProfile(Declaration):
    """The validated content of a profile. What it leaves out is as `Settings` has it; flags come
    before it.
    """

    host: Name | None = None
    """The address to listen at."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """The port to listen at."""
    hosts: Annotated[tuple[Name, ...], Field(strict=False)] | None = None
    """The names by which browsers and programs reach the service."""
    workers: Annotated[int, _COUNT] | None = None
    """So many jobs are trained at a time; by default one a core."""
    runs: Name | None = None
    """The folder of runs, uploads and the queue; relative to the profile."""
    database: Name | None = None
    """The queue's database, where it is none of SQLite: `postgresql://…`."""
    cluster: Name | None = None
    """The Dask cluster that trains, as `tcp://scheduler:8786`."""
    tracking_uri: Name | None = None
    """MLflow's store."""
    mlflow: bool | None = None
    """Whether MLflow's UI is beside the service."""
    data: Name | None = None
    """The folder whose files specs may name; relative to the profile."""
    tls_cert: Name | None = None
    """The certificate, for HTTPS; relative to the profile."""
    tls_key: Name | None = None
    """Its key."""
    proxies: Annotated[tuple[Name, ...], Field(strict=False)] | None = None
    """The addresses of proxies, which say who asks and whether by HTTPS."""
    save_every: Duration | None = None
    """How often running jobs are saved."""
    quotas: QuotaSpec = QuotaSpec()
    """What each user may have at a time."""
    limits: LimitSpec = LimitSpec()
    """How much the service takes at once."""

    @property
    def settings(self) -> Settings:
        """What it says, as the service takes it."""
        quotas, limits = self.quotas, self.limits
        said: dict[str, Any] = {
            "host": self.host, "port": self.port, "hosts": self.hosts, "workers": self.workers,
            "runs": self._beside(self.runs), "database": self.database, "cluster": self.cluster,
            "tracking_uri": self.tracking_uri, "mlflow": self.mlflow,
            "data_folder": self._beside(self.data), "tls_cert": self._beside(self.tls_cert),
            "tls_key": self._beside(self.tls_key), "proxies": self.proxies,
            "save_every": self.save_every,
            "queued_per_user": quotas.queued, "running_per_user": quotas.running,
            "data_per_user": quotas.data and bytes_of(quotas.data),
            "seconds_per_user": quotas.time and seconds_of(quotas.time),
            "spec_bytes": limits.spec and bytes_of(limits.spec),
            "upload_bytes": limits.upload and bytes_of(limits.upload),
            "requests_per_second": limits.requests, "logins_per_minute": limits.logins,
            "session_hours": limits.session and seconds_of(limits.session) / 3600,
        }  # fmt: skip
        return settings_with(Settings(), said)

    def _beside(self, path: str | None) -> Path | None:
        return None if path is None else Path(self.file or "").parent / path


def load_profile(path: Path) -> Settings:
    """The settings of the profile in a YAML file. Raises `SpecError` with all mistakes in it."""
    text = read_text(path)
    root, problems = read_root(text, str(path), None)
    return ServiceProfile.from_document(root, problems, file=str(path), text=text).settings


def settings_with(settings: Settings, said: Mapping[str, Any]) -> Settings:
    """The settings with what was said besides; None says nothing. Raises `UsageError` where it does
    not fit together.
    """
    made = replace(settings, **{key: value for key, value in said.items() if value is not None})
    if (made.tls_cert is None) != (made.tls_key is None):
        raise UsageError("for HTTPS give both, a certificate and its key", code="TR-A001")
    for path in filter(None, (made.tls_cert, made.tls_key)):
        if not path.is_file():
            raise UsageError(f"there is no file '{path}'", code="TR-A001")
    if made.data_folder is not None and not made.data_folder.is_dir():
        raise UsageError(f"there is no folder '{made.data_folder}'", code="TR-A001")
    return made
