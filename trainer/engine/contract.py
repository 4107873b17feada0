"""What every engine can do: the only place that says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from trainer.engine.steps import Gradients, Steps
from trainer.graph.ops import Array


class Session(Protocol):
    """Parameters and states where an engine computes, and what it does with them.

    `arrays` holds rows in their order by the names of the graph's inputs, x and y among them, all
    of the graph's dtype. A session is one thread's at a time.
    """

    def train(
        self,
        arrays: Mapping[str, Array],
        rates: Mapping[str, Array],
        batch_size: int,
        first: int,
        last: int,
    ) -> tuple[Steps, Array]:
        """Runs the steps `first` to `last` (exclusive) of some rows.

        Step i takes the rows from i · batch_size on, the last step those that are left. `rates`
        holds what differs from step to step, of shape (last - first,). Returns the record of the
        steps, and the predictions that they made before each update, of shape (rows, outputs). A
        step whose loss or gradient norm is not finite changes nothing and ends the call.
        """

    def gradients(self, arrays: Mapping[str, Array], first: int, last: int) -> Gradients:
        """The first part of a step: what the rows `first` to `last` (exclusive), a shard of a
        batch, give by themselves. Changes nothing.
        """

    def update(self, gradients: Gradients, rates: Mapping[str, float]) -> Steps:
        """The last part of a step: norms, and the update by the gradients of a whole batch, as
        `steps.reduce` makes them of its shards'. One step is recorded, or that it diverged.
        """

    def predict(
        self,
        arrays: Mapping[str, Array],
        batch_size: int,
        parameters: Mapping[str, Array] | None = None,
        total: float = 0.0,
    ) -> tuple[float, Array]:
        """The sum over all rows of their loss, and the predictions of shape (rows, outputs), as in
        evaluation; with `parameters` in place of the session's own of these names. The sum goes on
        from `total`, that of the rows before.

        Runs in batches of `batch_size` rows; their mean losses are multiplied by their rows and
        added in order in float64, so that the result does not depend on anything else.
        """

    def fetch(self) -> dict[str, Array]:
        """Copies of the parameters and states as they are now, by name."""


class Engine(Protocol):
    """Runs the training graph that `training.sgd.training_graph` builds.

    `name` is what the run records. `steps_per_call` and `batches_per_call` are how many steps of
    `train` and batches of `predict` to ask for at a time, so that a call takes a moment and a run
    can be stopped between two; how they are cut changes no bit. An engine can have many sessions.
    """

    @property
    def name(self) -> str:
        """The engine's name."""

    @property
    def steps_per_call(self) -> int:
        """Steps of `train` that are a good portion."""

    @property
    def batches_per_call(self) -> int:
        """Batches of `predict` that are a good portion."""

    def prepare(self, steps: int | None = None) -> None:
        """Does now what the first calls would wait for, such as compiling; runs no step. `steps`
        says how many are to come, if that is known: for few it is not worth while to make the best
        of code.
        """

    def load(self, state: Mapping[str, Array]) -> Session:
        """A session that begins with a copy of these parameters and states, by name."""
