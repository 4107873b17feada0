"""What is to be predicted: a number or a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from trainer.data.columns.numerals import number_of
from trainer.data.columns.table import show
from trainer.drafting.cells import ROWS, Judged, Looked, judge
from trainer.errors import UsageError

Loss = Literal["squared", "logistic"]

_CLASSES: Final = 10
"""So many whole numbers in a row, from 0 or 1 on, may be the numbers of classes."""
_EVEN: Final = 0.2
"""The part of an equal share that the rarest of them must have to look like classes, not counts."""


@dataclass(frozen=True)
class Task:
    """The loss, why it is this one, and how the target is read."""

    loss: Loss
    why: str
    judged: Judged


def task_of(looked: Looked, loss: Loss | None) -> Task:
    """What the target asks for, if it is not said. Raises `UsageError` where it is neither."""
    judged = judge(looked)
    name = f"the target '{looked.name}'"
    if judged.kind == "date":
        raise UsageError(f"{name} holds dates; a number or a class is predicted", code="TR-U012")
    if judged.out:
        raise UsageError(f"{name} cannot be predicted: it {judged.out}", code="TR-U012")
    texts = [text for text in looked.texts if text not in judged.nothing]
    whole = looked.rows < ROWS  # else other rows may have other ones
    if len(texts) == 1 and looked.rows > 1 and whole:
        message = f"{name} is {show(texts[0])} in all rows: there is nothing to learn"
        raise UsageError(message, code="TR-U012")
    if judged.kind in ("categorical", "boolean"):
        if whole and len(texts) == looked.rows - looked.missing > 2:
            message = f"{name} has a class of its own in each of {len(texts):,} rows"
            raise UsageError(message, code="TR-U012")
        if loss == "squared":
            message = f"{name} holds texts, which the loss 'squared' does not predict"
            raise UsageError(f"{message}\n  hint: leave `--loss` out", code="TR-U012")
        return Task("logistic", f"{len(texts)} classes", judged)
    found, why = _of_numbers(looked, texts)
    return Task(loss or found, "as asked for" if loss else why, judged)


def _of_numbers(looked: Looked, texts: list[str]) -> tuple[Loss, str]:
    values = {text: number_of(text) for text in texts}
    whole = sorted({int(v) for v in values.values() if v is not None and v.is_integer()})
    all_whole = all(v is not None and v.is_integer() for v in values.values())
    if all_whole and len(whole) == 2:
        return "logistic", f"two classes, {whole[0]} and {whole[1]}"
    if all_whole and 2 < len(whole) <= _CLASSES and whole[0] in (0, 1):
        counts = [looked.texts[text] for text in texts]
        in_a_row = whole[-1] - whole[0] == len(whole) - 1
        if in_a_row and min(counts) * len(whole) >= _EVEN * sum(counts):
            return "logistic", (
                f"the numbers {whole[0]} to {whole[-1]} look like classes; of amounts it is squared"
            )
    return "squared", "an amount; of classes it is logistic"
