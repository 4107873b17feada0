"""The values of a trial: from a grid, drawn at random, or by Optuna's TPE.

What is drawn depends on the seed, the number of the trial and, for TPE, on the trials whose results
count: on the log, and on nothing that was drawn before.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from trainer.errors import UsageError
from trainer.extras import install, package_version
from trainer.randomness import stream
from trainer.sweeps.course import Place
from trainer.sweeps.declaration import SweepSpec
from trainer.sweeps.space import (
    Dimension,
    IntegersDimension,
    LogDimension,
    UniformDimension,
    ValuesDimension,
    draw,
    grid,
)
from trainer.sweeps.values import same

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

Chosen: TypeAlias = Mapping[str, Any]
Sampler: TypeAlias = Callable[[int, Sequence[Place]], Chosen]
"""The values of the trial of this number, with what is known of those before it."""


def sampler_of(spec: SweepSpec) -> Sampler:
    """What chooses the values of the sweep's trials. Raises `UsageError` where TPE is asked for and
    Optuna is not installed.
    """
    if spec.search.method == "grid":
        points = list(islice(grid(spec.space), spec.planned))
        return lambda number, _: points[number]
    if spec.search.method == "random":
        return lambda number, _: draw(spec.space, spec.seed, number)
    return TPE(spec).values


def optuna_version(spec: SweepSpec) -> str | None:
    """The version of Optuna where it chooses."""
    return package_version("optuna") if spec.search.method == "tpe" else None


class TPE:
    """The tree-structured Parzen estimator of Optuna (Bergstra et al., "Algorithms for
    Hyper-Parameter Optimization", NeurIPS 2011), several keys at once.

    For each trial a study is made in memory, of the trials before it, with a sampler whose seed is
    drawn for that number. A trial that waits counts as pruned where it is, one that runs as one
    that may turn out badly, one that diverged or failed as the worst.
    """

    def __init__(self, spec: SweepSpec) -> None:
        """Raises `UsageError` where Optuna is not installed."""
        try:
            import optuna
        except ImportError:
            raise UsageError(
                "search: {method: tpe} needs Optuna\n"
                f"  hint: {install('sweep')}, or search at random",
                code="TR-E003",
            ) from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._spec = spec
        self._distributions = {key: _distribution(d) for key, d in spec.space.items()}
        self._ended: dict[int, FrozenTrial] = {}

    def values(self, number: int, before: Sequence[Place]) -> Chosen:
        """The values of a trial; the first ones are drawn at random."""
        spec, optuna = self._spec, self._optuna
        if number < spec.search.startup:
            return draw(spec.space, spec.seed, number)
        seed = int(stream(spec.seed, "sweep", number).integers(2**32))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=1, multivariate=True, constant_liar=True
            )
        study = optuna.create_study(sampler=sampler)
        study.add_trials([self._trial(place) for place in before])
        found = study.ask(self._distributions).params
        return {key: _value(d, found[key]) for key, d in spec.space.items()}

    def _trial(self, place: Place) -> FrozenTrial:
        """A trial as Optuna sees it."""
        if place.number not in self._ended:
            made = self._made(place)
            if not place.ended:
                return made
            self._ended[place.number] = made
        return self._ended[place.number]

    def _made(self, place: Place) -> FrozenTrial:
        from optuna.trial import TrialState, create_trial

        whole = place.status == "finished" and math.isfinite(place.loss)
        state = TrialState.COMPLETE if whole else TrialState.PRUNED
        finite = {epoch: loss for epoch, loss in place.losses.items() if math.isfinite(loss)}
        return create_trial(
            state=TrialState.RUNNING if place.running else state,
            value=place.loss if whole else None,
            params={key: _param(d, place.values[key]) for key, d in self._spec.space.items()},
            distributions=self._distributions,
            intermediate_values={} if place.status in ("diverged", "failed") else finite,
        )


def _distribution(dimension: Dimension) -> BaseDistribution:
    """The dimension as Optuna has it; of named values their places."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    match dimension:
        case LogDimension() | UniformDimension():
            return FloatDistribution(*dimension.bounds, log=dimension.is_log)
        case IntegersDimension():
            return IntDistribution(*dimension.bounds, log=dimension.is_log)
        case _:
            return CategoricalDistribution(range(len(dimension.points())))


def _param(dimension: Dimension, value: Any) -> Any:
    """A value of the spec as Optuna has it."""
    if not isinstance(dimension, ValuesDimension):
        return value
    return next(i for i, each in enumerate(dimension.values) if same(each, value))


def _value(dimension: Dimension, param: Any) -> Any:
    """What Optuna chose, as the spec has it."""
    match dimension:
        case LogDimension() | UniformDimension() | IntegersDimension():
            return dimension.snap(param)
        case _:
            return dimension.points()[param]
