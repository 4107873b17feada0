"""A sweep as people see it: the state that its log leads to, and what was said of its trials."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from trainer.checkpoints.facts import read_facts, read_outcome
from trainer.errors import CheckpointError, TrainerError
from trainer.runs.known import KNOWN_TAG
from trainer.sweeps.course import Course, Place, Rules
from trainer.sweeps.declaration import SweepSpec
from trainer.sweeps.log import Entry
from trainer.sweeps.plan import notes_of
from trainer.sweeps.standing import Sweep, Trial, TrialStatus
from trainer.sweeps.trials import Trials
from trainer.training.result import Status
from trainer.workers.task import Answer


def rules_of(spec: SweepSpec) -> Rules:
    """What the declaration says of the course. Trials that depend on no result begin at once."""
    depends = spec.halving is not None or spec.search.method == "tpe"
    return Rules(
        rungs=spec.rungs,
        factor=spec.halving.factor if spec.halving is not None else None,
        slots=spec.slots if depends else spec.planned,
        planned=spec.planned,
        sign=-1.0 if spec.objective.objective.maximise else 1.0,
        by_arrival=spec.decide == "arrival",
    )


def course_of(spec: SweepSpec, entries: Iterable[Entry]) -> Course:
    """Where the entries of its log lead a sweep. Raises `CheckpointError` where one of them cannot
    follow on those before it.
    """
    course = Course(rules_of(spec))
    for number, entry in enumerate(entries, start=1):
        try:
            course.take(entry)
        except ValueError as error:
            text = f"the log of the sweep '{spec.name}' is damaged in line {number}: {error}"
            raise CheckpointError(text, code="TR-R003") from None
    return course


@dataclass(frozen=True)
class Said:
    """What a worker said last of a trial."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    known: bool = False

    @classmethod
    def by(cls, answer: Answer) -> Said:
        """What the answer says."""
        return cls(answer.metrics, answer.reason, answer.known)


@dataclass
class View:
    """What is known of a sweep's trials; `said` has what workers said, as far as this process heard
    them.
    """

    spec: SweepSpec
    trials: Trials
    course: Course
    said: dict[int, Said] = field(default_factory=dict)

    def sweep(
        self, status: Status, digest: str, seconds: float, busy: Collection[int] = ()
    ) -> Sweep:
        """The sweep as it stands. `busy` are the trials that workers have, or are done with."""
        return Sweep(
            name=self.spec.name,
            status=status,
            objective=self.spec.objective.objective,
            space=self.spec.resolved()["space"],
            planned=self.spec.planned,
            whole=self.spec.rungs[-1],
            trials=[self._trial(place, busy) for place in self.course.places],
            decisions_sha256=digest,
            notes=tuple(notes_of(self.spec)),
            seconds=seconds,
        )

    def _trial(self, place: Place, busy: Collection[int]) -> Trial:
        said = self._said(place)
        status: TrialStatus = place.status
        if status == "running" and place.number not in busy:
            status = "queued"
        sign = self.course.rules.sign
        return Trial(
            number=place.number,
            id=self.trials.id(place.number),
            values=place.values,
            status=status,
            rung=place.until,
            epochs=place.epochs,
            results={epoch: sign * loss for epoch, loss in place.losses.items()},
            metrics=said.metrics,
            parameters_sha256=place.parameters,
            reason=said.reason,
            known=said.known,
        )

    def _said(self, place: Place) -> Said:
        """What was said last of a trial: by a worker, or where that told an earlier process, by its
        folder.
        """
        if place.number not in self.said:
            if place.running:
                return Said()
            self.said[place.number] = self._recalled(place)
        return self.said[place.number]

    def _recalled(self, place: Place) -> Said:
        folder = self.trials.folder(place.number)
        with suppress(CheckpointError):
            outcome = read_outcome(folder)
            if outcome is not None:
                return Said(outcome.metrics, outcome.reason, KNOWN_TAG in read_facts(folder).tags)
        if place.status == "failed":
            try:
                self.trials.cost(place.number, place.values)
            except TrainerError as error:
                return Said(reason=str(error))
        return Said()
