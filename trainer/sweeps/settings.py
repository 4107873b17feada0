"""How a sweep searches: its method, its halving, what it compares trials by, its budget."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import core_schema

from trainer.errors import Problem
from trainer.metrics import METRICS, direction, fitting_metrics
from trainer.spec.amounts import Amount, Duration, bytes_of, seconds_of
from trainer.spec.fields import OneOf, Strict, wrong
from trainer.spec.messages import describe, near
from trainer.spec.schema import Spec
from trainer.spec.tagged import Tagged, by_key
from trainer.sweeps.standing import Objective

MOST_TRIALS: Final = 10**6
STARTUP: Final = 16

Method: TypeAlias = Literal["grid", "random", "tpe"]
METHODS: Final[tuple[Method, ...]] = ("grid", "random", "tpe")


class SearchSpec(Strict):
    """How the values of a trial are chosen."""

    method: Annotated[Method, OneOf("a method of search", METHODS)]
    """`grid`: every point, the last key of the space quickest. `random`: each trial by itself.
    `tpe`: what did well more often, by Optuna's sampler (the extra `sweep`)."""
    trials: Annotated[int, Field(ge=1, le=MOST_TRIALS)] | None = None
    """How many trials; of a grid by default all points."""
    startup: Annotated[int, Field(ge=1)] = STARTUP
    """So many trials of `tpe` are drawn at random first."""

    @model_validator(mode="after")
    def _complete(self) -> SearchSpec:
        if self.trials is None and self.method != "grid":
            raise wrong(f"the search '{self.method}' needs to know how many trials",
                        "write for example trials: 32", ("trials",), code="TR-W006")  # fmt: skip
        if self.method != "tpe" and self.startup != STARTUP:
            raise wrong(
                "startup belongs to the search 'tpe'", "leave it out", ("startup",), code="TR-S020"
            )
        return self


def _by_method(value: Any) -> Any:
    """A method by its name alone."""
    return {"method": value} if isinstance(value, str) else value


class _OrGrid:
    """An annotation for editors: `grid` alone will do."""

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"const": "grid"}]}


Search: TypeAlias = Annotated[SearchSpec, BeforeValidator(_by_method), _OrGrid()]


class HalvingSpec(Strict):
    """Trials that do worse than others wait, and may go on later with nothing lost."""

    method: Annotated[Literal["asha"], OneOf("a method of halving", ("asha",))] = "asha"
    """`asha`: of the trials at a rung the best 1 / `factor` go on to the next."""
    first: Annotated[int, Field(ge=1, alias="from")]
    """Epochs until the first rung."""
    factor: Annotated[int, Field(ge=2, le=100)] = 3
    """Each rung is so many times as far as the one before; the last is `sgd.epochs`."""


# The objective ----------------------------------------------------------------------------------

MEASURED: Final = tuple(
    f"{part}_{name}" for part in ("val", "train") for name in ("loss", *METRICS)
)
"""What may be measured after an epoch."""


def _metric(value: str, better: int) -> str:
    """The name of a metric of which more is better, or less, as `better` says."""
    if value not in MEASURED:
        if value.startswith("test_"):
            raise wrong("the test rows are for the end, when all is chosen",
                        f"write val_{value.removeprefix('test_')}", code="TR-W005")  # fmt: skip
        advice = near(f"val_{value}", MEASURED) or near(value, MEASURED)
        raise wrong(
            f"expected a metric such as val_loss, found {describe(value)}", advice, code="TR-W005"
        )
    if direction(value) != better:
        word, right = ("more", "maximise") if better < 0 else ("less", "minimise")
        raise wrong(f"of {value} {word} is better", f"write {{{right}: {value}}}", code="TR-W005")
    return value


class _Objective(Tagged):
    @property
    def objective(self) -> Objective:
        """What trials are compared by."""
        kind = self.tag()
        return Objective(getattr(self, kind), maximise=kind == "maximise")


class Minimise(_Objective):
    """The trial with the least value is the best."""

    minimise: Annotated[str, AfterValidator(lambda value: _metric(value, -1))]
    """What is measured after each epoch: `val_loss`, `val_rmse`."""


class Maximise(_Objective):
    """The trial with the greatest value is the best."""

    maximise: Annotated[str, AfterValidator(lambda value: _metric(value, 1))]
    """What is measured after each epoch: `val_accuracy`, `val_r2`."""


def _by_name(value: Any) -> Any:
    """A metric by its name alone, in its own direction."""
    if not isinstance(value, str):
        return value
    better = direction(value) or -1
    name = _metric(value, better)
    return {"maximise" if better > 0 else "minimise": name}


class _OrName:
    """An annotation for editors: the name of a metric alone will do."""

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"oneOf": [*handler(schema)["oneOf"], {"type": "string", "enum": list(MEASURED)}]}


ObjectiveSpec: TypeAlias = Annotated[
    Minimise | Maximise, by_key("a metric"), BeforeValidator(_by_name), _OrName()
]


def unmeasured(metric: str, spec: Spec) -> Problem | None:
    """That a run of the spec does not measure the metric after each epoch, and what to do. The path
    is that of what is to blame.
    """
    (part, _, name), loss = metric.partition("_"), spec.model.loss
    fitting = fitting_metrics(loss)
    if name not in ("loss", *fitting):
        known = ", ".join(f"{part}_{each}" for each in ("loss", *fitting))
        message = f"'{metric}' does not fit the loss '{loss}'"
        return Problem("model.loss", message, f"choose from {known}", code="TR-S029")
    if part == "val" and not spec.data.has_validation:
        message = f"there are no validation rows, so there is no {metric}"
        return Problem(
            "data.split.validation", message, "write data.split: {validation: 0.2}", code="TR-S028"
        )
    more = spec.evaluation.metrics if part == "val" else ()
    if name in ("loss", fitting[0], *more):
        return None
    hint = f"of the training rows there are train_loss and train_{fitting[0]}"
    if part == "val":
        hint = f"write evaluation: {{metrics: [{', '.join([*more, name])}]}}"
    return Problem("evaluation.metrics", f"'{metric}' is not measured", hint, code="TR-S030")


# The budget -------------------------------------------------------------------------------------


class BudgetSpec(Strict):
    """Where a sweep ends before all its trials are done, and what it may leave on the way."""

    time: Duration | None = None
    """How long it may train, `90s`, `30min`, `2h`, `1d`: then no trial begins."""
    disk: Amount | None = None
    """How much its trials may keep, `500MB`, `2GB`: beyond it the worst that wait are dropped."""

    @property
    def seconds(self) -> float | None:
        """The time; None where there is no limit."""
        return None if self.time is None else seconds_of(self.time)

    @property
    def bytes(self) -> int | None:
        """The room on disk; None where there is no limit."""
        return None if self.disk is None else bytes_of(self.disk)
