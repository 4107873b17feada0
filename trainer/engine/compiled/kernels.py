"""From a graph to the functions of its kernels, as loop programs.

A kernel runs many steps. Its arrays are arguments: the examples, the parameters and states, one
buffer for each value that outlives its loop. Elementwise ops are the `kernel` of their row in the
table of ops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trainer.engine.compiled.names import Names
from trainer.engine.compiled.schedule import plan
from trainer.engine.compiled.writer import Writer
from trainer.engine.cut import Cut, cut_graph
from trainer.engine.steps import inputs_of
from trainer.graph.graph import Graph
from trainer.graph.loops import (
    ArrayArgument,
    Element,
    For,
    Function,
    If,
    Let,
    Name,
    Return,
    Share,
    Statement,
    Store,
    Term,
    Whole,
    apply,
    least,
)
from trainer.graph.ops import Shape
from trainer.graph.walking import statements

FEW_ROWS: Final = 8  # full batches of no more rows get code of their own
DOUBLE: Final = "float64"
STEP, FIRST, LAST, BEGIN, ROWS, BATCH_SIZE, N, SHARD = (
    Name(text, "int")
    for text in ("step", "first", "last", "begin", "rows", "batch_size", "n", "shard")
)


@dataclass(frozen=True)
class Kernel:
    """A function, and what it is to be given.

    `inputs` are the graph's inputs in the order of the first arguments, then come the parameters
    and states `leaves`, then `buffers`, work arrays by argument and shape, then what the function
    itself says. `values` are the nodes at which a step is cut, for the kernels of its parts. A
    kernel that is `shared` has jobs, whose pieces other threads may do.
    """

    function: Function
    inputs: tuple[str, ...]
    leaves: tuple[str, ...]
    buffers: Mapping[str, Shape]
    values: tuple[str, ...] = ()

    @property
    def shared(self) -> bool:
        """Whether threads can share its work."""
        return any(isinstance(each, Share) for each in statements(self.function.body))


class _Maker:
    """Puts a kernel together: its arguments, and what one or two writers wrote."""

    def __init__(self, graph: Graph, names: Names) -> None:
        self._graph = graph
        self._names = names
        self._dtype = graph.nodes[0].dtype

    def array(self, name: str, shape: Shape, dtype: str = "") -> ArrayArgument:
        """An argument."""
        return ArrayArgument(name, shape, dtype or self._dtype)

    def make(
        self, name: str, inputs: Sequence[str], leaves: Sequence[str],
        buffers: Mapping[str, Shape], after: Sequence[ArrayArgument], numbers: Sequence[str],
        body: Sequence[Statement], values: Sequence[str] = (),
    ) -> Kernel:  # fmt: skip
        """The kernel of this name."""
        given = [self.array(self._names.of(x), self._graph[x].shape) for x in (*inputs, *leaves)]
        given += [self.array(buffer, shape) for buffer, shape in buffers.items()]
        function = Function(name, (*given, *after), tuple(numbers), tuple(body))
        return Kernel(function, tuple(inputs), tuple(leaves), dict(buffers), tuple(values))


def leaves_of(graph: Graph) -> tuple[str, ...]:
    """The parameters and states, in order."""
    return tuple(node.name for node in graph if node.op in ("parameter", "state"))


def training_kernel(graph: Graph, batch_size: int, full: bool = False, shards: int = 1) -> Kernel:
    """`train(*inputs, *leaves, *buffers, *rates, losses, norms, parameter_norms, predictions; rows,
    batch_size, first, last)`: the steps first … last; returns how many were done.

    A rate is an array with a value for each step. It stops before a step whose loss or gradient
    norm is not finite; that changes nothing. With `full` it is called `train_full` and takes full
    batches alone: loops over a few rows are then of known length, and vanish.
    """
    names = Names()
    inputs, rates = inputs_of(graph)
    outputs = graph.outputs
    trained = [node.name for node in graph.trainable]
    norms = [outputs[f"grad_norm/{name}"] for name in trained]
    maker = _Maker(graph, names)
    for name in (*inputs, *leaves_of(graph)):
        names.of(name)
    step: list[Statement] = [
        Let(names.of(name), Element(names.of(name, "_rates"), (STEP - FIRST,))) for name in rates
    ]
    if shards == 1:
        checked = [outputs["loss"], outputs["grad_norm"], *norms, outputs["prediction"]]
        schedule = plan(graph, checked, list(graph.updates.values()))
        w = Writer(graph, schedule, batch_size, full, names=names)
        size: Term = Whole(batch_size) if full else least(BATCH_SIZE, ROWS - BEGIN)
        w.add(Let(BEGIN.text, STEP * BATCH_SIZE))
        if not full:
            w.add(Let(N.text, size))
        w.steps(schedule.steps[: schedule.checked])
        _record(w, graph, norms, STEP - FIRST)
        w.copy_rows("predictions", outputs["prediction"], BEGIN - FIRST * BATCH_SIZE)
        w.steps(schedule.steps[schedule.checked :], graph.updates)
        buffers = dict(w.buffers)
        step += w.body
    else:
        cut = cut_graph(graph)
        written, buffers = _sharded(graph, cut, batch_size, shards, names, norms)
        step += written
    body: list[Statement] = [For(STEP.text, FIRST, LAST, tuple(step)), Return(LAST - FIRST)]
    after = [maker.array(names.of(name, "_rates"), ("B",)) for name in rates]
    after += [maker.array("losses", ("B",), DOUBLE), maker.array("norms", ("B",), DOUBLE)]
    after += [maker.array("parameter_norms", ("B", len(trained)), DOUBLE)]
    after += [maker.array("predictions", graph[outputs["prediction"]].shape)]
    return maker.make(
        "train_full" if full else "train", inputs, leaves_of(graph), buffers, after,
        ("rows", "batch_size", "first", "last"), body,
    )  # fmt: skip


def _record(w: Writer, graph: Graph, norms: Sequence[str], done: Term) -> None:
    """Leaves where the loss or the norm is not finite, else keeps them as those of step `done`."""
    loss, norm = w.scalar(graph.outputs["loss"]), w.scalar(graph.outputs["grad_norm"])
    good = apply("and", apply("isfinite", loss), apply("isfinite", norm))
    w.add(If(apply("not", good), (Return(done),)))
    w.add(Store("losses", (done,), loss), Store("norms", (done,), norm))
    w.add(*(
        Store("parameter_norms", (done, Whole(k)), w.scalar(name)) for k, name in enumerate(norms)
    ))  # fmt: skip


def _sharded(
    graph: Graph, cut: Cut, batch_size: int, shards: int, names: Names, norms: Sequence[str]
) -> tuple[list[Statement], dict[str, Shape]]:
    """A step whose batch is cut into shards: each one's values times its part of the rows are
    added in order, before anything is done with them.
    """
    part = -(-batch_size // shards)
    g = _gradient_writer(graph, cut, part, names)
    prediction = graph.outputs["prediction"]
    g.copy_rows("predictions", prediction, BEGIN - FIRST * BATCH_SIZE)
    start, held = Name("start", "int"), Name("held", "int")
    share = Name("shard_part")
    sums = {name: names.of(name, "_summed") for name in cut.values}
    buffers = {sums[name]: graph[name].shape for name in cut.values}
    g.add(Let(share.text, apply("real", N) / apply("real", held)))
    first: list[Statement] = []
    others: list[Statement] = []
    for name in cut.values:
        shape = graph[name].shape
        at = g.places(shape)
        cell, part_of = Element(sums[name], tuple(at)), g.element(name, shape, at) * share
        first += g.nest(shape, [Store(cell.array, cell.at, part_of)])
        others += g.nest(shape, [Store(cell.array, cell.at, cell + part_of)])
    g.add(If(SHARD < 1, tuple(first)), If(Whole(0) < SHARD, tuple(others)))
    shard: list[Statement] = [
        Let(BEGIN.text, start + SHARD * part),
        Let(N.text, least(part, held - SHARD * part)),
        If(Whole(0) < N, tuple(g.body)),
    ]
    u = _update_writer(cut, batch_size, names, norms, sums, STEP - FIRST)
    step = [
        Let(start.text, STEP * BATCH_SIZE),
        Let(held.text, least(BATCH_SIZE, ROWS - start)),
        For(SHARD.text, Whole(0), Whole(shards), tuple(shard)),
        *u.body,
    ]
    return step, {**g.buffers, **buffers, **u.buffers}


def _gradient_writer(graph: Graph, cut: Cut, batch_size: int, names: Names) -> Writer:
    """What a batch, or a shard of one, gives: the values of the cut and the predictions."""
    schedule = plan(graph, [*cut.values, graph.outputs["prediction"]])
    w = Writer(graph, schedule, batch_size, names=names)
    w.steps(schedule.steps)
    return w


def _update_writer(
    cut: Cut, batch_size: int, names: Names, norms: Sequence[str], sums: Mapping[str, str],
    done: Term,
) -> Writer:  # fmt: skip
    """What is done with the values of the cut, which are in `sums`: norms, and the update."""
    graph = cut.update
    checked = [graph.outputs["loss"], graph.outputs["grad_norm"], *norms]
    schedule = plan(graph, checked, list(graph.updates.values()))
    w = Writer(graph, schedule, batch_size, names=names, aliases=sums)
    w.steps(schedule.steps[: schedule.checked])
    _record(w, graph, norms, done)
    w.steps(schedule.steps[schedule.checked :], graph.updates)
    return w


def gradients_kernel(graph: Graph, batch_size: int) -> Kernel:
    """`gradients(*inputs, *leaves, *buffers, *values, predictions; begin, n)`: what n rows from
    `begin` on give, at most `batch_size`: the values of the cut, and the predictions.
    """
    names, cut = Names(), cut_graph(graph)
    inputs, prediction = inputs_of(graph)[0], graph.outputs["prediction"]
    maker = _Maker(graph, names)
    for name in (*inputs, *leaves_of(graph)):
        names.of(name)
    w = _gradient_writer(graph, cut, batch_size, names)
    outs = {name: names.of(name, "_out") for name in cut.values}
    for name, out in outs.items():
        w.copy(out, name)
    w.copy_rows("predictions", prediction, Whole(0))
    after = [maker.array(out, graph[name].shape) for name, out in outs.items()]
    after += [maker.array("predictions", graph[prediction].shape)]
    return maker.make(
        "gradients", inputs, leaves_of(graph), w.buffers, after, ("begin", "n"),
        [*w.body, Return(N)], cut.values,
    )  # fmt: skip


def update_kernel(graph: Graph, batch_size: int) -> Kernel:
    """`update(*leaves, *buffers, *values, *rates, losses, norms, parameter_norms)`: the update by
    the values of the cut; returns 0 and changes nothing where the loss or the norm is not finite,
    else 1.
    """
    names, cut = Names(), cut_graph(graph)
    rates = inputs_of(graph)[1]
    trained = [node.name for node in graph.trainable]
    norms = [graph.outputs[f"grad_norm/{name}"] for name in trained]
    maker = _Maker(graph, names)
    for name in leaves_of(graph):
        names.of(name)
    given = {name: names.of(name, "_given") for name in cut.values}
    w = _update_writer(cut, batch_size, names, norms, given, Whole(0))
    body: list[Statement] = [
        Let(names.of(name), Element(names.of(name, "_rates"), (Whole(0),))) for name in rates
    ]
    after = [maker.array(array, graph[name].shape) for name, array in given.items()]
    after += [maker.array(names.of(name, "_rates"), ("B",)) for name in rates]
    after += [maker.array("losses", ("B",), DOUBLE), maker.array("norms", ("B",), DOUBLE)]
    after += [maker.array("parameter_norms", ("B", len(trained)), DOUBLE)]
    return maker.make(
        "update", (), leaves_of(graph), w.buffers, after, (),
        [*body, *w.body, Return(Whole(1))], cut.values,
    )  # fmt: skip


def evaluation_kernel(graph: Graph, batch_size: int) -> Kernel:
    """`evaluate(*inputs, *leaves, *buffers, losses, predictions; rows, batch_size, first, last)`:
    the mean losses of the batches first … last, and the predictions.
    """
    names = Names()
    outputs = graph.outputs
    loss, prediction = outputs["eval/loss"], outputs["eval/prediction"]
    needed = graph.ancestors([loss, prediction])
    inputs = [name for name in inputs_of(graph)[0] if name in needed]
    maker = _Maker(graph, names)
    for name in (*inputs, *leaves_of(graph)):
        names.of(name)
    schedule = plan(graph, [loss, prediction])
    w = Writer(graph, schedule, batch_size, names=names)
    w.add(Let(BEGIN.text, STEP * BATCH_SIZE), Let(N.text, least(BATCH_SIZE, ROWS - BEGIN)))
    w.steps(schedule.steps)
    w.add(Store("losses", (STEP - FIRST,), w.scalar(loss)))
    w.copy_rows("predictions", prediction, BEGIN - FIRST * BATCH_SIZE)
    body: list[Statement] = [For(STEP.text, FIRST, LAST, tuple(w.body)), Return(LAST - FIRST)]
    after = [maker.array("losses", ("B",), DOUBLE)]
    after += [maker.array("predictions", graph[prediction].shape)]
    return maker.make(
        "evaluate", inputs, leaves_of(graph), w.buffers, after,
        ("rows", "batch_size", "first", "last"), body,
    )  # fmt: skip


def values_kernel(
    graph: Graph, fetch: Sequence[str], share: bool = False, batch_size: int = 1
) -> Kernel:
    """`values(*leaves, *buffers, *outputs; n)`: the nodes `fetch`, once, of n rows; inputs count
    as leaves.
    """
    names = Names()
    leaves = tuple(node.name for node in graph if node.op in ("parameter", "state", "input"))
    for name in leaves:
        names.of(name)
    schedule = plan(graph, fetch)
    w = Writer(graph, schedule, batch_size, share=share, names=names, scalars=True)
    w.add(Let(BEGIN.text, Whole(0)))
    w.steps(schedule.steps)
    maker = _Maker(graph, names)
    outs = [names.of(f"out{k}") for k in range(len(fetch))]
    for out, name in zip(outs, fetch, strict=True):
        w.copy(out, name)
    after = [maker.array(out, graph[name].shape) for out, name in zip(outs, fetch, strict=True)]
    body = [*w.body, Return(Whole(0))]
    return maker.make("values", leaves, (), w.buffers, after, ("n",), body)


def kernels_of(
    graph: Graph, batch_size: int, evaluation_rows: int, shards: int = 1, full: bool = True
) -> dict[str, Kernel]:
    """The kernels of a training graph, by the names of their functions.

    The batch sizes decide how matrix products are computed; any batch may have fewer rows. With
    `full` small batches have code of their own for those that lack no row.
    """
    kernels = {"train": training_kernel(graph, batch_size, shards=shards)}
    if full and batch_size <= FEW_ROWS and shards == 1:
        kernels["train_full"] = training_kernel(graph, batch_size, full=True)
    return kernels | {"evaluate": evaluation_kernel(graph, evaluation_rows)}
