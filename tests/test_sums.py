"""Sums of kernels: in the order of the page, whatever is cut, and as exact as pairwise ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from plain import POOL, PlainKernels, compiled, same_bits

from trainer.engine.compiled import writer
from trainer.engine.compiled.engine import allocate
from trainer.engine.compiled.kernels import values_kernel
from trainer.graph import Graph, GraphBuilder
from trainer.graph.ops import BATCH, Array
from trainer.numerics import sums

SHAPES = [
    (1,), (2,), (31,), (32,), (33,), (100,), (2047,), (2048,), (2049,), (9000,),
    (1, 1), (1, 40), (40, 1), (5000, 1), (3, 7), (64, 3), (65, 3), (63, 33), (130, 40), (200, 10),
    (70, 100), (700, 5), (129, 64),
]  # fmt: skip
DTYPES = ["float32", "float64"]


def summed(x: Array, axes: Sequence[int]) -> Array:
    """The sum over axes by NumPy, in the order of the page: what stands outside of kernels."""
    if len(axes) == x.ndim:
        return np.asarray(sums.total(x), x.dtype)
    return sums.column_sums(x) if tuple(axes) == (0,) else sums.row_sums(x)


def run(graph: Graph, fetch: list[str], feeds: dict[str, Array], rows: int = 1, **how: Any) -> Any:
    """The nodes `fetch`, by machine code, which has the bits of plain Python."""
    dtype = graph.nodes[0].dtype
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "JOB_NUMBERS", 1)
        kernel = values_kernel(graph, fetch, batch_size=rows, **how)
    results = []
    for kind in (compiled, PlainKernels):
        code = kind({"values": kernel}, dtype)
        arrays = [feeds[name] for name in kernel.inputs]
        count = len(arrays[0])
        buffers = allocate(kernel.buffers, rows, np.dtype(dtype))
        shapes = [[count if d == BATCH else int(d) for d in graph[n].shape] for n in fetch]
        outputs = [np.empty(shape, dtype) for shape in shapes]
        code.call("values", [*arrays, *buffers, *outputs], (count,), POOL, 2)
        results.append(outputs)
    for machine, plain in zip(*results, strict=True):
        same_bits(machine, plain)
    return results[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_are_those_of_the_page(shape: tuple[int, ...], dtype: str) -> None:
    """Of squares, over everything and over each axis, in one loop; alone and shared by threads."""
    builder = GraphBuilder(dtype)
    square = builder.leaf("parameter", "x", shape).apply("square")
    axes = [tuple(range(len(shape))), *([(0,), (1,)] if len(shape) == 2 else [])]
    fetch = [square.apply("sum", axes=each).node.name for each in axes]
    x = np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)
    for share in (False, True):
        found = run(builder.build(), fetch, {"x": x}, share=share)
        for value, each in zip(found, axes, strict=True):
            if 1 not in shape or len(each) == len(shape):
                same_bits(value, summed(x * x, each))
            np.testing.assert_allclose(value, (x * x).sum(axis=each), 1e-5, 1e-5)


@pytest.mark.parametrize("full", [5, 64, 200, 5000])
@pytest.mark.parametrize("columns", [1, 3, 40])
def test_sums_over_a_batch_know_its_rows_alone(columns: int, full: int) -> None:
    """A batch may have any number of rows up to a full one, and the bits are those of its rows."""
    builder = GraphBuilder("float32")
    product = builder.leaf("input", "x", (BATCH, columns)).apply("mul", 3.0)
    total = product.apply("mean", axes=(0, 1)).node.name
    each = product.apply("sum", axes=(0,)).node.name
    graph = builder.build()
    rng = np.random.default_rng(columns)
    for rows in sorted({1, 2, full // 3 + 1, full - 1, full}):
        x = rng.standard_normal((rows, columns)).astype(np.float32)
        three = x * np.float32(3)
        mean, by_column = run(graph, [total, each], {"x": x}, full, share=True)
        expected = np.float32(sums.total(three)) / np.float32(rows * columns)
        same_bits(mean, np.asarray(expected))
        column = np.asarray([sums.total(three[:, 0])]) if columns == 1 else sums.column_sums(three)
        same_bits(by_column, column.astype(np.float32))


def test_softmax_of_wide_rows() -> None:
    """The greatest of a row, and its sum, in lanes."""
    builder = GraphBuilder("float64")
    builder.leaf("parameter", "x", (3, 71)).apply("log_softmax", name="out")
    x = np.random.default_rng(0).standard_normal((3, 71)) * 30
    (found,) = run(builder.build(), ["out"], {"x": x})
    shifted = x - x.max(axis=1, keepdims=True)
    expected = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found, expected, rtol=0, atol=100 * 2**-50)  # of terms up to 100


@pytest.mark.parametrize("columns", [1, 16])
def test_as_exact_as_pairwise_sums(columns: int) -> None:
    """Gradients of biases over 60,000 rows in float32: at most twice the error of pairwise sums."""
    rows = 60_000
    x = np.random.default_rng(7).standard_normal((rows, columns)).astype(np.float32)
    builder = GraphBuilder("float32")
    name = builder.leaf("input", "x", (BATCH, columns)).apply("sum", axes=(0,)).node.name
    graph = builder.build()
    kernel = values_kernel(graph, [name], batch_size=rows)
    out = np.empty(columns, np.float32)
    buffers = allocate(kernel.buffers, rows, np.dtype(np.float32))
    compiled({"values": kernel}, "float32").call("values", [x, *buffers, out], (rows,), POOL, 0)
    exact = x.astype(np.longdouble).sum(axis=0)
    pairwise = np.array([np.ascontiguousarray(x[:, j]).sum() for j in range(columns)])
    size = np.sqrt(rows)  # of a sum of so many normal numbers
    ours, theirs = (np.sqrt(np.mean(((s - exact) / size) ** 2)) for s in (out, pairwise))
    assert ours <= max(2 * theirs, 2.0**-24)
