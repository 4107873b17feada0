"""What an op is: one `Op` holds all that any part of this package knows of it.

Shapes are tuples of numbers and `BATCH`, the number of examples, which is known only when a
batch arrives. Forward functions take and return NumPy arrays of one dtype; they also accept
complex numbers where `analytic` is true, for the complex-step check of the gradient rules
(Squire and Trapp, SIAM Review 40, 1998).

A gradient rule is a vector-Jacobian product (vjp): from `g`, the gradient of the loss with
respect to the op's output, it writes the gradient with respect to one input, as graph nodes.
Its arguments are `g`, the output and the inputs. `None` stands for a derivative that is zero
wherever it exists. Rules of elementwise ops need not think of broadcasting: differentiation
sums over broadcast axes in one place (`autodiff.unbroadcast`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

import numpy as np

from trainer.graph.loops import Element, Statement, Term

if TYPE_CHECKING:
    from trainer.graph.graph import Expr

BATCH: Final = "B"
Dim: TypeAlias = int | str
Shape: TypeAlias = tuple[Dim, ...]
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Axes: TypeAlias = tuple[int, ...]
Vjp: TypeAlias = "Callable[..., Expr]"

LEAVES: Final = frozenset({"input", "parameter", "state", "constant"})
LEAKY_SLOPE: Final = 0.01


class ShapeError(ValueError):
    """Inputs of an op do not fit together; the builder adds where."""


# How a kernel computes what is not elementwise ------------------------------------------------

Read: TypeAlias = Callable[[int, Sequence[Term]], Term]
"""`read(1, [i, j])`: the element of the second input at these places."""


Every: TypeAlias = Callable[[Callable[[Term], list[Statement]]], Statement]
"""`every(body)`: a loop over the places of a row."""


@dataclass(frozen=True)
class Places:
    """One element, from elements of the inputs at other places than its own.

    `element(read, shapes, at, **attributes)` is it for the places `at`, the loops' variables;
    `shapes` are those of the inputs. One that `flips` is the transpose of its input, which a
    matrix product reads without it.
    """

    element: Callable[..., Term]
    flips: bool = False


@dataclass(frozen=True)
class Rows:
    """Whole rows at a time; threads may share them.

    `statements(x, y, every)` are those for one row: `x` and `y` are an element of the input and
    of the output at the place of a loop, and `every(body)` is the loop over the places j of the
    row whose body is `body(j)`.
    """

    statements: Callable[[Element, Element, Every], list[Statement]]


@dataclass(frozen=True)
class InOrder:
    """All of it at once, by one thread.

    `statements(read, out, sizes)`: `out` is the array's name, `sizes` has for each input the
    lengths of its axes.
    """

    statements: Callable[[Read, str, Sequence[Sequence[Term]]], list[Statement]]


Form: TypeAlias = Literal["sum", "mean", "count", "repeat", "product"] | Places | Rows | InOrder
"""`sum` and `mean` are over the attribute `axes`, `repeat` along it, `count` its places; `product`
is a matrix product."""


# The other parts ------------------------------------------------------------------------------


class OnnxWriter(Protocol):
    """What collects ONNX nodes; names of tensors go in and come out."""

    @property
    def dtype(self) -> str:
        """The dtype of the graph."""

    def apply(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Adds one of ONNX's operators and returns its output."""

    def constant(self, value: Any, dtype: Any = None) -> str:
        """A constant, by default of the graph's dtype."""

    def cast(self, x: str, dtype: Any) -> str:
        """The same numbers in another dtype."""


@dataclass(frozen=True)
class Local:
    """The derivative with respect to one input, as an explanation shows it.

    `value(out, *inputs)` are the numbers for one example, `symbol` the letters, with `{0}` and
    `{1}` for the inputs. A `jacobian` is the matrix ∂out_i / ∂in_j; others are multiplied with
    the gradient of the output as the rule does.
    """

    value: Callable[..., Array]
    symbol: str
    jacobian: bool = False


@dataclass(frozen=True)
class Op:
    """One op, for everyone who asks.

    For the graph: `shape(*shapes, **attributes)` gives the output's shape or raises `ShapeError`;
    `forward(*arrays, **attributes)` the output; `vjps` holds one gradient rule per input.
    `analytic` says that the forward also takes complex numbers. `init` is set on activations,
    the ops that a layer of the spec can name: it is the initialiser that such a layer's weights
    get unless the spec says more.

    For readers: `formula` writes the op with `{0}`, `{1}` for its inputs and `{start}` for an
    attribute. `latex` is set where a textbook prints it otherwise, with `@0`, `@1`.
    `locals` are the derivatives as explanations show them, one an input; without them they are
    what the rules make of a gradient of 1. `undoes` names the op whose gradient this one is.

    For what compiles and exports: an elementwise op has a `kernel`, its forward for one element;
    `ZERO`, `ONE` and `SLOPE` are constants of the graph's dtype, functions those of
    `numerics/elementary.py`. From it come the loops, the NumPy program and ONNX nodes. Any
    other op has a `form`, how loops compute it, of how many of its inputs it `reads` the values
    (of the others it needs the shape; all, if it does not say), and `onnx(writer, *inputs,
    **attributes)`, which adds its nodes. `program` is its expression in NumPy with `{0}` and
    `{axes}`; without one, programs hold a copy of the function `forward` and call that.
    """

    name: str
    formula: str
    shape: Callable[..., Shape]
    forward: Callable[..., Array]
    vjps: tuple[Vjp | None, ...]
    analytic: bool = True
    init: str | None = None
    latex: str = ""
    locals: tuple[Local, ...] = ()
    undoes: str = ""
    kernel: str | None = None
    form: Form | None = None
    reads: int | None = None
    onnx: Callable[..., str] | None = None
    program: str = ""

    @property
    def arity(self) -> int:
        """The number of inputs."""
        return len(self.vjps)

    @property
    def is_transpose(self) -> bool:
        """Whether it only turns rows into columns."""
        return isinstance(self.form, Places) and self.form.flips

    def write(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        """The formula with these names in the places of the inputs."""
        return self.formula.format(*inputs, **attributes)


def show_shape(shape: Shape) -> str:
    """`(B, 16)`, `(3,)`, `()`: a shape as error messages print it."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
