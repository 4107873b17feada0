"""The loop: what it records, how it ends, and that the same spec gives the same bits."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score

import trainer
from trainer import Profile, build_graph, load_spec
from trainer.data import load_dataset
from trainer.errors import DivergedError
from trainer.randomness import stream
from trainer.training import Ended, EpochDone, Event, StepsDone, make_job, run_job

NOWHERE = Profile(runs=None)
SPLIT = {"validation": 0.25, "test": 0.25}


def job_of(path: Any, **changes: Any) -> Any:
    """A job of the reference engine, of which a call is a step."""
    spec = load_spec(path, changes)
    dataset = load_dataset(spec)
    return make_job(spec, dataset, build_graph(spec, dataset.layout), "reference")


def test_events_of_a_run(write_spec) -> None:
    """3 epochs of 2 steps: epoch 0, then steps and epochs in turn, then the end."""
    events = list(run_job(job_of(write_spec())))
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["EpochDone", *["StepsDone", "StepsDone", "EpochDone"] * 3, "Ended"]
    assert [event.first for event in events if isinstance(event, StepsDone)] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events if isinstance(event, EpochDone)] == [0, 2, 4, 6]
    trivial = {"trivial_train_loss": np.log(2), "trivial_train_accuracy": 0.5}
    assert events[-1] == Ended("FINISHED", 3, 6, trivial, "")


def test_metrics_by_epoch(write_spec) -> None:
    """train_loss is the mean of the steps' losses by rows; val_* is measured after the epoch."""
    path = write_spec({"data": {"source": "iris", "split": SPLIT, "standardize": True},
                       "model.layers": [{"units": 4, "activation": "tanh"}, {"units": 3}],
                       "sgd.batch_size": 30})  # fmt: skip
    job = job_of(path)
    steps: list[StepsDone] = []
    for event in run_job(job):
        if isinstance(event, StepsDone):
            steps.append(event)
        elif isinstance(event, EpochDone) and event.epoch == 0:
            assert sorted(event.metrics) == [
                "train_accuracy", "train_loss", "val_accuracy", "val_loss",
            ]  # fmt: skip
        elif isinstance(event, EpochDone):
            losses = [step.steps.losses[0] for step in steps]
            assert [step.steps.rows for step in steps] == [30, 30, 14]
            expected = (30 * losses[0] + 30 * losses[1] + 14 * losses[2]) / 74
            assert event.metrics["train_loss"] == pytest.approx(expected, rel=1e-15)
            norms = [step.steps.grad_norms[0] for step in steps]
            assert event.metrics["grad_norm"] == pytest.approx(np.mean(norms), rel=1e-15)
            by_parameter = np.concatenate([step.steps.parameter_norms for step in steps])
            np.testing.assert_allclose(list(event.parameter_norms.values()), by_parameter.mean(0))
            np.testing.assert_allclose((by_parameter**2).sum(1) ** 0.5, norms, rtol=1e-14)
            part = job.dataset.validation
            loss, prediction = job.session.predict(part.arrays, 1024)
            assert event.metrics["val_loss"] == loss / len(part)
            right = prediction.argmax(1) == part.y.argmax(1)
            assert event.metrics["val_accuracy"] == right.mean()
            steps = []
        else:
            assert sorted(event.summary) == [
                "best_epoch", "best_val_loss", "test_accuracy", "test_auc",
                "test_balanced_accuracy", "test_f1", "test_log_loss", "test_loss",
                "trivial_test_accuracy", "trivial_test_auc", "trivial_test_balanced_accuracy",
                "trivial_test_f1", "trivial_test_log_loss", "trivial_test_loss",
                "trivial_val_accuracy", "trivial_val_loss",
            ]  # fmt: skip


def test_examples_are_ordered_by_seed_and_epoch_alone(write_spec) -> None:
    """A third party can recompute a run: the order of epoch k is Philox's, as documented."""
    job = job_of(write_spec({"sgd.batch_size": 1}))
    seen: list[float] = []
    train = job.session.train

    def spy(arrays: Any, *rest: Any) -> Any:
        seen.append(arrays["x"].copy())
        return train(arrays, *rest)

    job.session.train = spy
    list(run_job(job))
    bits = np.random.Philox(
        key=np.array([5, 3], dtype=np.uint64), counter=np.array([0, 0, 0, 2], dtype=np.uint64)
    )
    order = np.random.Generator(bits).permutation(4)
    np.testing.assert_array_equal(seen[4], job.dataset.train.x[order])
    np.testing.assert_array_equal(order, stream(5, "order", 2).permutation(4))


def test_evaluation_does_not_depend_on_the_last_batch(write_spec) -> None:
    """The loss over 4 rows in batches of 3 is summed over rows, not over batches."""
    job = job_of(write_spec())
    whole, predictions = job.session.predict(job.dataset.train.arrays, 4)
    parts, same = job.session.predict(job.dataset.train.arrays, 3)
    assert parts == pytest.approx(whole, rel=1e-15)
    np.testing.assert_allclose(predictions, same, rtol=1e-15)


def test_stopping_between_two_steps(write_spec) -> None:
    asked = iter([False, False, False, True])
    events = list(run_job(job_of(write_spec()), stop=lambda: next(asked)))
    assert events[-1] == Ended("KILLED", 1, 2, {}, "")


# The same bits ----------------------------------------------------------------------------------


def test_the_same_spec_gives_the_same_bits(write_spec) -> None:
    path = write_spec({"data": {"source": "digits", "split": SPLIT, "standardize": True},
                       "model.dtype": "float32", "model.layers": [{"units": 32}, {"units": 10}],
                       "sgd.batch_size": 50})  # fmt: skip
    first = trainer.train(load_spec(path), profile=NOWHERE)
    second = trainer.train(load_spec(path), profile=NOWHERE)
    assert first.parameters_sha256 == second.parameters_sha256
    for name, series in first.history.items():
        np.testing.assert_array_equal(series.values, second.history[name].values)
    other = trainer.train(load_spec(path, {"seed": 6}), profile=NOWHERE)
    assert other.parameters_sha256 != first.parameters_sha256


# An oracle --------------------------------------------------------------------------------------


def test_logistic_regression_finds_scikit_learns_optimum(write_spec) -> None:
    """The loss plus decay is convex: full gradient descent ends where scikit-learn's solver does.

    With weight decay λ our optimum is that of mean loss + λ/2 |W|², scikit-learn's with
    C = 1 / (λ n).
    """
    path = write_spec({"data": {"source": "breast_cancer", "standardize": True},
                       "model.layers": [{"units": 1}],
                       "sgd": {"learning_rate": 0.5, "momentum": 0.9, "weight_decay": 0.1,
                               "batch_size": "full", "epochs": 400}})  # fmt: skip
    spec = load_spec(path)
    run = trainer.train(spec, profile=NOWHERE)
    train = load_dataset(spec).train
    oracle = LogisticRegression(C=1 / (0.1 * len(train)), tol=1e-10, max_iter=10_000)
    oracle.fit(train.x, train.y[:, 0])
    np.testing.assert_allclose(run.parameters["dense_1/W"][:, 0], oracle.coef_[0], atol=1e-6)
    np.testing.assert_allclose(run.parameters["dense_1/b"], oracle.intercept_, atol=1e-6)


def test_linear_regression_finds_the_least_squares(write_spec) -> None:
    path = write_spec({"data": {"source": {"synthetic": "linear", "rows": 50, "noise": 0.3}},
                       "model": {"dtype": "float64", "layers": [{"units": 1}], "loss": "squared"},
                       "sgd": {"learning_rate": 0.1, "momentum": 0.5, "batch_size": "full",
                               "epochs": 500}})  # fmt: skip
    spec = load_spec(path)
    run = trainer.train(spec, profile=NOWHERE)
    train = load_dataset(spec).train
    design = np.hstack([train.x, np.ones((50, 1))])
    solution = np.linalg.lstsq(design, train.y, rcond=None)[0]
    np.testing.assert_allclose(run.parameters["dense_1/W"], solution[:3], rtol=1e-10)
    np.testing.assert_allclose(run.parameters["dense_1/b"], solution[3], rtol=1e-10)
    assert run.metrics["train_r2"] == pytest.approx(r2_score(train.y, design @ solution), rel=1e-12)


# Divergence -------------------------------------------------------------------------------------

STEEP = {"data.source": {"inline": {"x": [[1.0], [2.0]], "y": [1.0, 3.0]}},
         "model": {"dtype": "float32", "layers": [{"units": 1, "init": "zeros"}],
                   "loss": "squared"},
         "sgd": {"learning_rate": 1e10, "batch_size": "full", "epochs": 50}}  # fmt: skip


def test_a_loss_that_stops_being_finite_ends_the_run_at_that_step(write_spec) -> None:
    with pytest.raises(DivergedError) as error:
        trainer.train(load_spec(write_spec(STEEP)), profile=NOWHERE)
    run = error.value.run
    assert error.value.exit_code == 4
    assert run is not None
    assert run.status == "DIVERGED"
    # the step that failed changed nothing: all that is kept is finite
    assert all(np.isfinite(value).all() for value in run.parameters.values())
    assert np.isfinite(run.history["train_loss_step"].values).all()
    assert len(run.history["train_loss_step"].values) == run.steps
    message = str(error.value)
    assert f"at step {run.steps + 1} (epoch {run.steps + 1}): the first such node is" in message
    assert "too large and the parameters ran away; try `learning_rate: 1e+09`" in message


@pytest.mark.parametrize(
    ("changes", "node", "cause"),
    [
        (
            {"data.source": {"inline": {"x": [[1e30], [2e30]], "y": [1.0, 3.0]}},
             "sgd.learning_rate": 1e-3},
            "'loss/each' = loss/error², which gives inf",
            "features as large as 2e+30; try `standardize: true`",
        ),
        (
            {"data.source": {"inline": {"x": [[1.0], [2.0]], "y": [1e25, 3e25]}},
             "sgd.learning_rate": 1e-3},
            "'loss/each' = loss/error², which gives inf ('loss/error' reaches 3e+25)",
            "a value too large for float32; try `dtype: float64`, or rescale the target",
        ),
        (
            {"data.source": {"inline": {"x": [[1.0], [2.0]], "y": [1e200, 3e200]}},
             "model.dtype": "float64", "sgd.learning_rate": 1e-3},
            "'loss/each' = loss/error², which gives inf",
            "targets or features too large to square; rescale them",
        ),
    ],
)  # fmt: skip
def test_the_first_node_and_the_likely_cause(write_spec, changes, node, cause) -> None:
    merged = {**STEEP, "model": {**STEEP["model"], "layers": [{"units": 1}]}}
    path = write_spec({**merged, **changes})
    with pytest.raises(DivergedError) as error:
        trainer.train(load_spec(path), profile=NOWHERE)
    assert node in str(error.value)
    assert str(error.value).endswith(f"likely cause: {cause}")


def test_logits_of_1000_train_on(write_spec) -> None:
    """Wildly wrong and wildly right logits have finite losses and gradients, also in float32."""
    path = write_spec({"data.source": {"inline": {"x": [[1e4], [-1e4]], "y": [0, 1]}},
                       "model": {"layers": [{"units": 1}], "loss": "logistic"},
                       "sgd": {"learning_rate": 1e-7, "batch_size": 1, "epochs": 5}})  # fmt: skip
    run = trainer.train(load_spec(path), profile=NOWHERE)
    assert run.status == "FINISHED"
    assert math.isfinite(run.metrics["train_loss"])


def test_training_in_a_thread_works_without_signals(write_spec) -> None:
    results: list[str] = []
    spec = load_spec(write_spec())
    thread = threading.Thread(
        target=lambda: results.append(trainer.train(spec, profile=NOWHERE).status)
    )
    thread.start()
    thread.join()
    assert results == ["FINISHED"]


def test_two_runs_in_one_process_give_what_each_gives_alone(write_spec) -> None:
    """Of two engines, at once, and heard by themselves."""
    profiles = [Profile(engine, runs=None) for engine in ("reference", "compiled")]
    spec = load_spec(write_spec({"sgd.epochs": 200}))
    alone = [trainer.train(spec, profile=each).parameters_sha256 for each in profiles]
    found: dict[int, str] = {}
    heard: dict[int, list[Event]] = {0: [], 1: []}

    def run(i: int) -> None:
        run = trainer.train(spec, profile=profiles[i], listen=heard[i].append)
        found[i] = run.parameters_sha256

    threads = [threading.Thread(target=run, args=[i]) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[0], found[1]] == alone
    for events in heard.values():
        assert sum(isinstance(event, EpochDone) for event in events) == 201


def test_a_listener_that_raises_ends_the_run(write_spec, folder) -> None:
    """What it raises comes out, and the folder of the run says how it ended."""
    from trainer.checkpoints.facts import read_outcome
    from trainer.checkpoints.folder import folders

    def listen(event: Event) -> None:
        if isinstance(event, StepsDone):
            raise ZeroDivisionError("enough")

    with pytest.raises(ZeroDivisionError, match="enough"):
        trainer.train(load_spec(write_spec()), profile=Profile(record=False), listen=listen)
    (path,) = folders(folder / "runs")
    outcome = read_outcome(path)
    assert outcome is not None
    assert (outcome.status, outcome.reason) == ("FAILED", "ZeroDivisionError: enough")
