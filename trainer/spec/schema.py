"""The spec: what one YAML file may say, as frozen, strict pydantic models.

A field's type, bounds and default stand in these models and nowhere else; the JSON Schema for
editors and the reference in docs/spec.md are made from them. The parts have files of their own:
`data.py`, `layers.py`, `equations.py`, `sgd.py`. Checks between fields are validators that raise
`wrong(...)`. The messages for simple mistakes are in `explain.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from trainer.addresses import has_secret
from trainer.errors import Problem
from trainer.metrics import fitting_metrics
from trainer.spec.data import DataSpec
from trainer.spec.declaration import Declaration
from trainer.spec.document import Map, Path, value_at
from trainer.spec.equations import EquationsSpec, SketchModel
from trainer.spec.evaluation import EVEN, EvaluationSpec
from trainer.spec.fields import Name, Strict, wrong
from trainer.spec.layers import LayersSpec, layer_names
from trainer.spec.problems import equation_problems
from trainer.spec.sgd import SGDSpec
from trainer.spec.sources import FileSource, SourceSpec
from trainer.spec.tagged import models_of

NO_NUMBERS: Final = frozenset({"name", "tracking"})
"""What a spec says that decides none of a run's numbers."""

FILES: Final = (
    *(("data", "source", tag) for tag, kind in models_of(SourceSpec).items()
      if issubclass(kind, FileSource)),
    ("data", "source", "y"), ("data", "validation"), ("data", "test"),
    ("model", "init_from", "file"),
)  # fmt: skip
"""Where a spec names files."""


def _model_kind(value: Any) -> str:
    if isinstance(value, EquationsSpec):
        return "equations"
    return "equations" if isinstance(value, dict) and "equations" in value else "layers"


ModelSpec: TypeAlias = Annotated[
    Annotated[LayersSpec, Tag("layers")] | Annotated[EquationsSpec, Tag("equations")],
    Discriminator(_model_kind),
]


# Tracking ---------------------------------------------------------------------------------------


class TrackingSpec(Strict):
    """Where MLflow records the run."""

    experiment: Name | None = None
    """The experiment; by default the spec's name."""
    uri: Name | None = None
    """MLflow's tracking store; by default a database in `runs/`. It holds no password."""

    @field_validator("uri")
    @classmethod
    def _no_secret(cls, uri: str | None) -> str | None:
        if uri is not None and has_secret(uri):
            raise wrong(
                "a spec is shown and shared, and this address holds a secret",
                "leave it out here, and set MLFLOW_TRACKING_URI to the whole address",
                code="TR-S022",
            )
        return uri


def _names(model: ModelSpec) -> Iterator[tuple[Path, str]]:
    """The names that a model gives to its nodes, and where they stand."""
    for key in ("inputs", "parameters", "equations"):
        for name in getattr(model, key, None) or ():
            yield (key, name), name
    if isinstance(model, LayersSpec):
        for i, name in enumerate(layer_names(model.layers)):
            yield ("layers", i, "name"), name


class Spec(Declaration):
    """The validated content of one YAML file. It alone decides the numbers of a run.

    Made by `load_spec`; `Spec(**values)` validates too, with pydantic's own errors.
    """

    file_keys: ClassVar[tuple[str, ...]] = ("defaults",)
    name: Name
    """What the run is called."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Decides every random number of the run."""
    data: DataSpec
    """The examples."""
    model: ModelSpec
    """The network and its loss."""
    sgd: SGDSpec
    """How it is trained."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """How it is evaluated."""
    tracking: TrackingSpec = TrackingSpec()
    """Where the run is recorded."""

    @field_validator("sgd")
    @classmethod
    def _stopping_fits(cls, sgd: SGDSpec, info: ValidationInfo) -> SGDSpec:
        data = info.data.get("data")
        if sgd.early_stopping is not None and data is not None and not data.has_validation:
            raise wrong(
                "early stopping needs validation rows",
                "write data.split: {validation: 0.2}",
                ("early_stopping",),
                code="TR-S028",
            )
        return sgd

    @field_validator("model")
    @classmethod
    def _targets_fit(cls, model: ModelSpec, info: ValidationInfo) -> ModelSpec:
        data = info.data.get("data")
        if data is None:
            return model
        several = len(data.targets) > 1
        if model.loss == "logistic" and several and not model.multi_label:
            raise wrong(
                f"'logistic' takes one target, found {len(data.targets)}",
                "if each is a yes or no, write multi_label: true",
                ("loss",),
                code="TR-S032",
            )
        if model.loss == "logistic" and data.target_scale:
            raise wrong("classes are not scaled, and data.target_scale says so",
                        "leave data.target_scale out", ("loss",), code="TR-S032")  # fmt: skip
        return model

    @field_validator("model")
    @classmethod
    def _weight_is_free(cls, model: ModelSpec, info: ValidationInfo) -> ModelSpec:
        data = info.data.get("data")
        if model.class_weights is None and (data is None or data.weights is None):
            return model
        for at, name in _names(model):
            if name == "weight":
                raise wrong(
                    "the name 'weight' is taken by the weights of the rows",
                    "choose another name",
                    at,
                    key=at[0] != "layers",
                    code="TR-S021",
                )
        return model

    @field_validator("evaluation")
    @classmethod
    def _metrics_fit(cls, evaluation: EvaluationSpec, info: ValidationInfo) -> EvaluationSpec:
        model = info.data.get("model")
        if model is None:
            return evaluation
        fitting = fitting_metrics(model.loss)
        for i, name in enumerate(evaluation.metrics):
            if name not in fitting:
                raise wrong(
                    f"'{name}' does not fit the loss '{model.loss}'",
                    f"choose from {', '.join(fitting)}",
                    ("metrics", i),
                    code="TR-S029",
                )
            if name in evaluation.metrics[:i]:
                raise wrong(f"'{name}' is named twice", at=("metrics", i), code="TR-S018")
        return evaluation

    @field_validator("evaluation")
    @classmethod
    def _threshold_fits(cls, evaluation: EvaluationSpec, info: ValidationInfo) -> EvaluationSpec:
        model, data = info.data.get("model"), info.data.get("data")
        if evaluation.threshold == EVEN or model is None:
            return evaluation
        at = ("threshold",)
        if model.loss != "logistic":
            raise wrong(f"a threshold is between two classes, and the loss '{model.loss}' has none",
                        "leave it out", at, code="TR-S031")  # fmt: skip
        if model.multi_label:
            raise wrong(
                "a threshold is between two classes, not for several labels",
                "leave it out: each label is said above 0.5",
                at,
                code="TR-S031",
            )
        if evaluation.chooses and data is not None and not data.has_validation:
            raise wrong(
                "the threshold is chosen on validation rows, and there are none",
                "write data.split: {validation: 0.2}, or a number",
                at,
                code="TR-S028",
            )
        return evaluation

    @model_validator(mode="after")
    def _monitor_is_measured(self) -> Spec:
        stopping, fitting = self.sgd.early_stopping, fitting_metrics(self.model.loss)
        if stopping is None or stopping.monitor in ("loss", fitting[0], *self.evaluation.metrics):
            return self
        at = ("sgd", "early_stopping", "monitor")
        if stopping.monitor not in fitting:
            raise wrong(f"'{stopping.monitor}' does not fit the loss '{self.model.loss}'",
                        f"choose from loss, {', '.join(fitting)}", at, code="TR-S029")  # fmt: skip
        raise wrong(
            f"'{stopping.monitor}' is not measured",
            f"write evaluation: {{metrics: [{stopping.monitor}]}}",
            at,
            code="TR-S030",
        )

    def faults(self) -> list[Problem]:
        """What is wrong with the equations."""
        return equation_problems(self, self.model)

    @classmethod
    def files_in(cls, root: Map) -> Iterator[tuple[Map, str]]:
        """Where a document names files: the mappings, and their keys."""
        for *parents, key in FILES:
            parent = value_at(root, parents)
            if isinstance(parent, Map) and key in parent.entries:
                yield parent, key

    @property
    def sha256(self) -> str:
        """The fingerprint: SHA-256 of what decides the numbers, as canonical JSON in UTF-8.

        That is the resolved spec without `name` and `tracking`. Canonical: keys sorted, no spaces,
        floats in their shortest exact form.
        """
        decisive = self.model_dump(mode="json", exclude=set(NO_NUMBERS))
        text = json.dumps(decisive, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def decides_numbers(leaf: str) -> bool:
    """Whether a leaf of a resolved spec, such as `sgd/epochs`, is part of its fingerprint."""
    return leaf.partition("/")[0] not in NO_NUMBERS


class Sketch(Declaration):
    """A graph without data: it can be explained and checked, not trained."""

    file_keys: ClassVar[tuple[str, ...]] = ("defaults",)
    name: Name
    """What the graph is called."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Decides the values that are drawn."""
    model: SketchModel
    """The equations and their inputs."""

    def faults(self) -> list[Problem]:
        """What is wrong with the equations."""
        return equation_problems(self, self.model)
