"""The part `sgd` of the spec: steps, their size, and when to stop."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from trainer.metrics import METRICS
from trainer.spec.fields import Fraction, NotNegative, OneOf, Positive, Strict, wrong
from trainer.spec.tagged import Tagged, by_type, models_of

# Schedules -------------------------------------------------------------------------------------


class Schedule(Tagged):
    """How the learning rate changes: a factor of `sgd.learning_rate` at each step."""

    warmup: NotNegative = 0.0
    """Epochs in which the rate rises in a straight line from 0; the schedule begins after them."""


class ConstantSchedule(Schedule):
    """The same rate at each step."""

    type: Literal["constant"] = "constant"
    """The kind of schedule."""


class StepSchedule(Schedule):
    """The rate is multiplied by `factor` every so many epochs."""

    type: Literal["step"]
    """The kind of schedule."""
    every: Positive
    """Epochs between two changes."""
    factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    """What the rate is multiplied by."""


class ExponentialSchedule(Schedule):
    """The rate shrinks by the same factor an epoch, a little at each step."""

    type: Literal["exponential"]
    """The kind of schedule."""
    factor: Annotated[float, Field(gt=0, le=1)]
    """What the rate is multiplied by in an epoch."""


class CosineSchedule(Schedule):
    """Half a cosine from the rate to its end; with `cycle` again and again."""

    type: Literal["cosine"]
    """The kind of schedule."""
    final: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Where the rate is after the last step, as a fraction of the first."""
    cycle: Positive | None = None
    """Epochs until a warm restart; by default there is none."""
    growth: Annotated[float, Field(ge=1, le=100)] = 1.0
    """How many times longer each cycle is than the one before."""


class LinearSchedule(Schedule):
    """A straight line from the rate to its end."""

    type: Literal["linear"]
    """The kind of schedule."""
    final: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Where the rate is after the last step, as a fraction of the first."""


class OneCycleSchedule(Schedule):
    """Up to the rate and down again, both by half a cosine."""

    type: Literal["one_cycle"]
    """The kind of schedule."""
    start: Annotated[float, Field(gt=0, le=1)] = 0.04
    """The first rate, as a fraction of the largest."""
    peak: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """When the rate is largest, as a fraction of all steps."""
    final: Annotated[float, Field(ge=0, le=1)] = 0.0001
    """Where the rate is after the last step, as a fraction of the largest."""


def _named(value: Any) -> Any:
    """A schedule by its name alone."""
    return value if isinstance(value, dict | Schedule) else {"type": value}


class _OrName:
    """An annotation for editors: the name alone will do, where a type needs no further keys."""

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        complete = [
            name for name, kind in models_of(ScheduleSpec).items()
            if not any(field.is_required() for key, field in kind.model_fields.items()
                       if key != "type")
        ]  # fmt: skip
        return {"oneOf": [*handler(schema)["oneOf"], {"type": "string", "enum": complete}]}


ScheduleSpec: TypeAlias = Annotated[
    ConstantSchedule
    | StepSchedule
    | ExponentialSchedule
    | CosineSchedule
    | LinearSchedule
    | OneCycleSchedule,
    by_type("a type of schedule", default=ConstantSchedule),
    BeforeValidator(_named),
    _OrName(),
]

# Averages and the end --------------------------------------------------------------------------


class AverageSpec(Strict):
    """An average of the parameters, which is what is evaluated and kept."""

    type: Literal["ema", "swa"]
    """`ema`: an exponential moving average of all steps; in the first 1 / (1 - decay) of them the
    mean. `swa`: the mean of the parameters after each epoch from `start` on."""
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """How much of ema's average is kept at a step."""
    start: Fraction = 0.75
    """After which part of the epochs swa begins."""

    @field_validator("decay", "start")
    @classmethod
    def _fits_type(cls, value: float, info: ValidationInfo) -> float:
        name, kind = str(info.field_name), info.data.get("type")
        needed = "ema" if name == "decay" else "swa"
        if kind not in (None, needed) and value != cls.model_fields[name].default:
            raise wrong(f"{name} belongs to the average '{needed}'", "leave it out", code="TR-S020")
        return value


class EarlyStoppingSpec(Strict):
    """Training ends when the validation rows get no better."""

    patience: Annotated[int, Field(ge=1)]
    """Epochs without improvement before it ends."""
    min_delta: NotNegative = 0.0
    """How much better counts as better."""
    monitor: Annotated[str, OneOf("the loss or a metric", ("loss", *METRICS))] = "loss"
    """What is watched on the validation rows: the loss, or a metric of `evaluation.metrics`."""
    restore_best: bool = True
    """Whether the parameters of the best epoch are the result."""


# The whole -------------------------------------------------------------------------------------


def _batch_size(value: Any) -> Any:
    if value == "full" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise PydanticCustomError("expected", "a whole number of at least 1, or 'full'")


class SGDSpec(Strict):
    """Stochastic gradient descent."""

    learning_rate: Positive
    """Size of a step along the negative gradient."""
    schedule: ScheduleSpec = ConstantSchedule()
    """How the learning rate changes: `constant`, `step`, `exponential`, `cosine`, `linear` or
    `one_cycle`; a name, or a mapping with the `type` and more."""
    momentum: Fraction = 0.0
    """How much of the last update is kept."""
    nesterov: bool = False
    """Look ahead along the momentum."""
    weight_decay: NotNegative = 0.0
    """L2 penalty on weights, not biases: adds weight_decay · W to the gradient."""
    l1: NotNegative = 0.0
    """L1 penalty on weights, not biases: adds l1 · sign(W) to the gradient."""
    clip_norm: Positive | None = None
    """Largest norm of the whole gradient; longer ones are scaled down."""
    max_norm: Positive | None = None
    """Largest norm of the weights into one unit; longer ones are scaled down after each update."""
    batch_size: Annotated[
        Annotated[int, Field(ge=1)] | Literal["full"], BeforeValidator(_batch_size)
    ] = 32
    """Examples a step, or `full` for all training rows."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Steps whose gradients make one update: their mean over all the examples."""
    shards: Annotated[int, Field(ge=1, le=1024)] = 1
    """Parts of a batch whose gradients are computed by themselves and added in order; batch
    normalisation sees the rows of a part."""
    epochs: Annotated[int, Field(ge=1)]
    """Passes over the training rows."""
    average: AverageSpec | None = None
    """Averaging of the parameters."""
    early_stopping: EarlyStoppingSpec | None = None
    """When to end before all epochs are done."""

    @model_validator(mode="after")
    def _warmup_fits(self) -> SGDSpec:
        warmup, where = self.schedule.warmup, ("schedule", "warmup")
        if warmup and isinstance(self.schedule, OneCycleSchedule):
            raise wrong(
                "'one_cycle' begins with a rise of its own",
                "leave warmup out; its peak says how long the rise is",
                where,
                code="TR-S019",
            )
        if warmup >= self.epochs:
            message = f"the warm-up takes {warmup:g} epochs, and sgd.epochs is {self.epochs}"
            raise wrong(message, "make it shorter than the training", where, code="TR-S014")
        return self

    @model_validator(mode="after")
    def _shards_fit(self) -> SGDSpec:
        if self.batch_size != "full" and self.shards > self.batch_size:
            message = f"{self.shards} shards of a batch of {self.batch_size} examples"
            raise wrong(
                message, "let a shard have one example at least", ("shards",), code="TR-S014"
            )
        return self

    @field_validator("nesterov")
    @classmethod
    def _needs_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and info.data.get("momentum") == 0:
            raise wrong(
                "nesterov needs momentum", "set sgd.momentum, for example to 0.9", code="TR-S020"
            )
        return nesterov
