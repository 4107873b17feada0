"""The command that writes a first spec for a table."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainer.cli.options import Json, ends_in
from trainer.cli.streams import print_json
from trainer.errors import UsageError

if TYPE_CHECKING:
    from trainer.drafting import Draft

SPEC = (".yaml", ".yml")


class LossChoice(StrEnum):
    """What `--loss` takes."""

    squared = "squared"
    logistic = "logistic"


def init(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="A table: CSV, Excel, Parquet, JSON lines, …")
    ],
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column to predict.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=ends_in(*SPEC),
            help="Where the spec is written. [default: the table's name, in this folder]",
        ),
    ] = None,
    loss: Annotated[
        LossChoice | None,
        typer.Option(
            help="Whether amounts (squared) or classes (logistic) are predicted. "
            "[default: as the target looks]"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a spec that is there.")] = False,
    json_: Json = False,
) -> None:
    """Look at a table and write a first spec for it, which trains at once.

    What was found stands beside what it decided, as comments: columns that are left out, marks of
    missing cells, kinds of columns, a split, a network of the table's size.

    Example: train init flats.csv --target rent
    """
    from trainer.drafting import draft
    from trainer.outputs import check_place, replacing

    path = out or Path(f"{data.name.split('.')[0] or 'spec'}.yaml")
    check_place(path, SPEC)
    if path.exists() and not force:
        message = f"'{path}' is there already"
        hint = "write `--out` and another name, or `--force` to replace it"
        raise UsageError(f"{message}\n  hint: {hint}", code="TR-U013")
    if not json_:
        print(f"reading {data}", flush=True)
    made = draft(data, target, path.parent, loss.value if loss else None)
    with replacing(path, SPEC) as fresh:
        fresh.write_text(made.text, encoding="utf-8")
    if json_:
        print_json(_as_json(made, path))
    else:
        _show(made, path)


def _as_json(made: Draft, path: Path) -> dict[str, Any]:
    plan = made.plan
    kept = [facts.name for facts in made.survey.features if facts.name not in plan.out]
    return {
        "spec": str(path),
        "rows": made.survey.rows,
        "target": plan.target,
        "loss": plan.loss,
        "features": kept,
        "left_out": plan.out,
        "doubtful": plan.doubts | plan.oddities,
    }


def _show(made: Draft, path: Path) -> None:
    from trainer.cli.hints import command
    from trainer.cli.tables import Column, Output, table

    plan, output = made.plan, Output()
    kept = sum(facts.name not in plan.out for facts in made.survey.features)
    output.show(
        f"{made.survey.rows:,} rows, {kept} feature{'s' * (kept != 1)}; "
        f"target '{plan.target}', loss {plan.loss}: {plan.task}"
    )
    odd = [*(("left out", *each) for each in plan.out.items()),
           *(("doubtful", *each) for each in (plan.doubts | plan.oddities).items())]  # fmt: skip
    if odd:
        what, names, why = (list(each) for each in zip(*odd, strict=True))
        columns = [
            Column("", what),
            Column("column", names, least=12),
            Column("why", why, least=20),
        ]
        output.show("", *table(columns, output.width)[0])
    output.show("", f"The spec is in {path}. Next: {command(path)}")
