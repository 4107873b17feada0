"""The part `evaluation` of the spec: what is measured, and when which of two classes is said."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema

from trainer.metrics import METRICS
from trainer.spec.fields import OneOf, Strict, wrong
from trainer.spec.messages import describe, near

EVEN: Final = 0.5
"""The threshold at which the more probable class is said."""
_COSTS: Final = ("false_positive", "false_negative")
_EXAMPLE: Final = "{cost: {false_positive: 1, false_negative: 5}}"

ThresholdValue: TypeAlias = float | Literal["f1"] | dict[Literal["cost"], dict[str, float]]


def _threshold(value: Any) -> ThresholdValue:
    """A probability, or by what one is chosen."""
    if value == "f1":
        return "f1"
    if value == "cost":
        raise wrong(
            "'cost' needs what the two kinds of mistakes cost", f"write {_EXAMPLE}", code="TR-S013"
        )
    if isinstance(value, dict):
        return {"cost": _costs(value)}
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < 1:
        message = f"expected a probability between 0 and 1, f1, or {_EXAMPLE}"
        raise wrong(f"{message}, found {describe(value)}", code="TR-S013")
    return float(value)


def _costs(value: dict[str, Any]) -> dict[str, float]:
    if list(value) != ["cost"]:
        names = [near(key, ["cost"]) for key in value]
        raise wrong(f"expected {_EXAMPLE}", next(filter(None, names), None), code="TR-S013")
    given = value["cost"]
    if not isinstance(given, dict) or set(given) != set(_COSTS):
        keys = given if isinstance(given, dict) else {}
        names = [near(key, _COSTS) for key in keys if key not in _COSTS]
        hint = next(filter(None, names), None) or f"for example {_EXAMPLE}"
        message = "expected the costs of a false_positive and a false_negative"
        raise wrong(f"{message}, found {describe(given)}", hint, at=("cost",), code="TR-S013")
    for name, cost in given.items():
        number = isinstance(cost, int | float) and not isinstance(cost, bool)
        if not number or not 0 < cost < 1e30:
            bound = "below 1e30" if number and cost > 0 else "above 0"
            raise wrong(
                f"expected a number {bound}, found {describe(cost)}",
                at=("cost", name),
                code="TR-S014",
            )
    return {name: float(given[name]) for name in _COSTS}


Threshold: TypeAlias = Annotated[
    ThresholdValue,
    BeforeValidator(_threshold),
    WithJsonSchema({"anyOf": [
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        {"const": "f1"},
        {"type": "object", "additionalProperties": False, "required": ["cost"],
         "properties": {"cost": {
             "type": "object", "additionalProperties": False, "required": list(_COSTS),
             "properties": {name: {"type": "number", "exclusiveMinimum": 0} for name in _COSTS},
         }}},
    ]}),
]  # fmt: skip
"""A probability; or `f1` or `{cost: …}`, by which it is chosen."""


class EvaluationSpec(Strict):
    """How validation and test rows are evaluated."""

    batch_size: Annotated[int, Field(ge=1)] = 1024
    """Rows evaluated at a time; the last bits of a loss depend on it."""
    metrics: Annotated[
        tuple[Annotated[str, OneOf("a metric", tuple(METRICS))], ...], Field(strict=False)
    ] = ()
    """What is measured on validation rows after each epoch, beside the loss and the accuracy (or
    R²); it must fit the loss. Test rows have all that do."""
    threshold: Threshold = EVEN
    """Above which probability the second of two classes is said: a number, or chosen on the
    validation rows at the end, by the best `f1` or the least
    `{cost: {false_positive: 1, false_negative: 5}}`."""

    @property
    def chooses(self) -> bool:
        """Whether the threshold is chosen on the validation rows."""
        return not isinstance(self.threshold, float)
