"""The commands that show and check gradients: explain, gradcheck."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trainer.cli.hints import warn
from trainer.cli.options import HTML, Json, Kept, Set, TrackingUri, ends_in, store_at
from trainer.cli.streams import print_json
from trainer.errors import UsageError
from trainer.outputs import replacing

if TYPE_CHECKING:
    from trainer.explain.cases import Case
    from trainer.explain.explanation import Explanation
    from trainer.runs.profile import Profile

LATEX: Final = (".tex",)
SVG: Final = (".svg",)
EXAMPLES = 5
"""Rows of the data on a page."""

Spec = Annotated[
    Path | None, typer.Argument(metavar="CONFIG", help="The spec; with --run it may be left out.")
]
Row = Annotated[int, typer.Option(min=0, metavar="N", help="The row of the data, from 0.")]
At = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        metavar="NAME=VALUE",
        help="Cells of the row by column: state=NSW,area=54; repeatable. Or x=1,2,3 and y=0.",
    ),
]
OfRun = Annotated[
    str | None, typer.Option("--run", metavar="RUN", help="Use the parameters that it learned.")
]


def explain(
    config: Spec = None,
    row: Row = 0,
    at: At = None,
    of_run: OfRun = None,
    set_: Set = None,
    full: Annotated[bool, typer.Option("--full", help="Show all of large arrays.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=ends_in(*HTML), help="Write a page to step through."),
    ] = None,
    latex: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=ends_in(*LATEX), help="Write a LaTeX document."),
    ] = None,
    svg: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=ends_in(*SVG), help="Write the graph as a drawing."),
    ] = None,
    kept: Kept = None,
    tracking_uri: TrackingUri = None,
    json_: Json = False,
) -> None:
    """Show one example's way through a graph: values forward, gradients backward, path by path.

    Example: train explain configs/lecture/2_two_paths.yaml
    """
    from trainer.explain.text import describe

    rows = range(row, row + (1 if html is None else EXAMPLES))
    profile = store_at(tracking_uri, kept)
    cases = _cases(config, rows, at, of_run, set_, profile)
    explanation = cases[0].explain()
    if json_:
        print_json(explanation.as_json())
    elif html is None and latex is None and svg is None:
        print(describe(explanation, full))
    if html is not None:
        others = [case.explain() for case in cases[1:]]
        _write_page([explanation, *others], html, of_run, profile)
    if latex is not None:
        from trainer.explain.latex import write_latex

        with replacing(latex, LATEX) as fresh:
            write_latex(explanation, fresh)
    if svg is not None:
        from trainer.explain.drawing import write_drawing

        with replacing(svg, SVG) as fresh:
            write_drawing(explanation, fresh)


def gradcheck(
    config: Spec = None,
    row: Row = 0,
    at: At = None,
    of_run: OfRun = None,
    set_: Set = None,
    kept: Kept = None,
    tracking_uri: TrackingUri = None,
    json_: Json = False,
) -> None:
    """Check backprop against differences, for every parameter. Exits with 1 where it differs.

    Example: train gradcheck configs/hidden_layer.yaml
    """
    from trainer.explain.gradcheck import check_gradients

    (case,) = _cases(config, range(row, row + 1), at, of_run, set_, store_at(tracking_uri, kept))
    result = check_gradients(case)
    if json_:
        print_json(result.as_json())
    else:
        width = max(len(checked.name) for checked in result.parameters)
        for checked in result.parameters:
            place = f" at {list(checked.worst_index)}" if checked.worst_index else ""
            kinks = f", {checked.kinks} at a kink" if checked.kinks else ""
            print(
                f"{'ok  ' if checked.passed else 'FAIL'}  {checked.name:<{width}}  "
                f"largest relative error {checked.max_relative_error:.1e}{place} "
                f"({checked.checked} elements by {checked.method}{kinks})"
            )
        print("passed" if result.passed else "failed")
    if not result.passed:
        raise typer.Exit(1)


def _write_page(
    explanations: Sequence[Explanation], html: Path, of_run: str | None, profile: Profile
) -> None:
    """The page of these examples, and of a run the norms of its gradients."""
    from trainer.explain.page import write_page
    from trainer.runs.use import gradient_norms

    norms = gradient_norms(of_run, profile=profile) if of_run else None
    with replacing(html, HTML) as fresh:
        write_page(explanations, fresh, history=norms)


def _cases(
    config: Path | None, rows: range, at: list[str] | None, of_run: str | None,
    set_: list[str] | None, profile: Profile,
) -> list[Case]:  # fmt: skip
    """What the arguments ask for: one case, or one for each row that is there."""
    from trainer.explain.cases import case_of_sketch, cases_of_spec
    from trainer.spec import Sketch, load_any

    given = _given(at)
    if of_run is not None:
        from trainer.runs.use import load_model

        if set_:
            raise UsageError(
                "--set has no place with --run: a run has its own spec", code="TR-U002"
            )
        model = load_model(of_run, profile=profile, warn=warn).model
        return cases_of_spec(
            model.spec, rows=rows, at=given, parameters=model.parameters,
            preprocessing=model.preprocessing,
        )  # fmt: skip
    if config is None:
        raise UsageError("name a spec, or a run with --run", code="TR-U002")
    spec = load_any(config, set_)
    if isinstance(spec, Sketch):
        return [case_of_sketch(spec, given)]
    return cases_of_spec(spec, rows=rows, at=given)


def _given(at: list[str] | None) -> dict[str, str] | None:
    """The texts by name in `--at state=NSW,area=54` and `--at x=1,2,3`. Raises `UsageError`.

    What follows a comma belongs to the value before it, unless it is a name with an equals sign.
    """
    if not at:
        return None
    found: dict[str, str] = {}
    for option in at:
        last: str | None = None
        for name, value in _parts(option):
            if name is None and last is None:
                raise UsageError(
                    f"--at {option}: expected a name and a value, as state=NSW", code="TR-U003"
                )
            if name is None and last is not None:
                found[last] += f",{value.rstrip()}"
                continue
            last = _bare(name or "")
            if not last or last in found:
                wrong = f"'{last}' is given twice" if last else "there is no name before '='"
                raise UsageError(f"--at {option}: {wrong}", code="TR-U006")
            found[last] = _bare(value)
    return found


_QUOTED: Final = r'\s*"(?:[^"]|"")*"\s*'
_PART: Final = re.compile(rf"(?:({_QUOTED}|[^,=]*)=)?({_QUOTED}(?=,|\Z)|[^,]*)(,|\Z)")
"""A name, if there is one, and a value, either of which may stand in quotation marks."""


def _parts(option: str) -> Iterator[tuple[str | None, str]]:
    """What stands between the commas of an option, as name and value."""
    place, more = 0, True
    while more:
        found = _PART.match(option, place)
        assert found is not None, "a part may be empty"
        yield found[1], found[2]
        place, more = found.end(), bool(found[3])


def _bare(text: str) -> str:
    """Without blanks and quotation marks around it."""
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1].replace('""', '"') if quoted else text
