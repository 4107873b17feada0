"""The pictures of a run, as PNG files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from threadpoolctl import threadpool_limits

from trainer.report.classification import confusion, roc_calibration
from trainer.report.curves import gradient_norms, learning_curves
from trainer.report.outcome import measure
from trainer.report.regression import predictions
from trainer.report.style import save, styled
from trainer.report.weights import weights
from trainer.training import Job
from trainer.training.history import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASSES: Final = 1000  # of more, a confusion matrix has more cells than a picture has pixels


def draw_pictures(job: Job, history: History, folder: Path) -> list[Path]:
    """Draws what a training did and what came out of it, and returns the files.

    `learning_curves.png`, `gradient_norms.png`, `weights.png`, and by loss `confusion.png` (not
    for several labels) and `roc_calibration.png` (logistic) or `predictions.png` (others), of 990
    by 495 pixels. `job`
    is taken as the training left it, after any number of steps, and not changed. What it did not
    come to is not drawn, nor what is made of more than `CLASSES` classes. `folder` must be there.
    The same run gives the same bytes.

    Raises `OSError` where a file cannot be written.
    """
    # one thread adds in the same order each time
    with threadpool_limits(limits=1, user_api="blas"), styled():
        return [
            save(figure, folder / f"{name}.png")
            for name, figure in _figures(job, history)
            if figure is not None
        ]


def _figures(job: Job, history: History) -> Iterator[tuple[str, Figure | None]]:
    """Names and figures, one by one, so that one at a time is in memory."""
    yield "learning_curves", learning_curves(job, history)
    yield "gradient_norms", gradient_norms(job, history)
    yield "weights", weights(job)
    outcome = measure(job)
    if outcome is None:
        return
    if job.spec.model.loss == "logistic":
        if job.dataset.outputs > CLASSES:
            return
        if not job.spec.model.multi_label:
            yield "confusion", confusion(job, outcome)
        yield "roc_calibration", roc_calibration(job, outcome)
    else:
        yield "predictions", predictions(job, outcome)
