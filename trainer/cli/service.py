"""`train service`: the training service on this machine, until it is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainer.cli.commands import STYLE
from trainer.cli.options import Cluster, TrackingUri
from trainer.cli.signals import signals_caught
from trainer.cli.tokens import verify

if TYPE_CHECKING:
    from trainer.service.serve import Service
    from trainer.service.settings import Settings

app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    **STYLE,
)
app.command("verify")(verify)


@app.callback()
def service(
    ctx: typer.Context,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Train so many jobs at a time. [default: cores]"),
    ] = None,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Listen there. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port. [default: 8400]")
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="NAME", help="A name it is reached by; repeatable."),
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option("--runs", metavar="FOLDER", help="Runs, uploads, queue. [default: runs]"),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="The queue, as postgresql://… [default: in --runs]"),
    ] = None,
    cluster: Cluster = None,
    tracking_uri: TrackingUri = None,
    mlflow: Annotated[
        bool | None, typer.Option("--mlflow/--no-mlflow", help="MLflow's UI beside it.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Specs may name files below it. [default: none]"),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The certificate, for HTTPS.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key.")] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option("--proxy", metavar="ADDRESS", help="A proxy before it; repeatable."),
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A YAML file that says all of these.")
    ] = None,
    drain: Annotated[
        bool, typer.Option("--drain", help="When it is stopped, let running jobs end first.")
    ] = False,
) -> None:
    """Serve a page and an API that train the specs they are sent.

    It prints a link that lets your browser in, once. Stopped by Ctrl-C or SIGTERM it saves what
    runs, and goes on with it when it is started again.

    Example: train service --workers 2
    """
    if ctx.invoked_subcommand is not None:
        return
    from trainer.service.profile import load_profile, settings_with
    from trainer.service.settings import Settings

    settings = settings_with(
        load_profile(profile) if profile else Settings(),
        {
            "workers": workers, "host": host, "port": port, "runs": runs, "database": database,
            "cluster": cluster, "tracking_uri": tracking_uri, "mlflow": mlflow,
            "hosts": tuple(allow) if allow else None, "data_folder": data, "tls_cert": tls_cert,
            "tls_key": tls_key, "proxies": tuple(proxy) if proxy else None,
        },
    )  # fmt: skip
    _serve(settings, drain)


def _serve(settings: Settings, drain: bool) -> None:
    from trainer.service.serve import Service

    with signals_caught("the service was stopped before it was ready") as signals:
        made = Service(settings)
        made.start()
        signals.begun(True)
        _greet(made)
        made.run(signals.asked, drain, lambda text: print(text, flush=True))
        print("Stopped. What was running goes on when the service starts again.", flush=True)


def _greet(made: Service) -> None:
    """Says where the service is, and how to come in."""
    print(
        f"The service answers at {made.address}, and trains {made.trains} at a time.\n"
        f"Open {made.link}\n"
        "That link lets one browser in, within 15 minutes. Programs need a token:\n"
        "  train token add NAME --user NAME\n"
        "Stop with Ctrl-C.",
        flush=True,
    )
