"""The computation graph: plain immutable data, and a builder that checks shapes as it grows.

A `Graph` is a list of `Node`s in topological order: a node's inputs stand before it. Every
question about a graph (evaluate it, differentiate it, print it, compile it) is one small
function that walks this list once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from trainer.errors import GraphError
from trainer.graph.ops import BATCH, LEAVES, OPS, Shape, ShapeError, show_shape

__all__ = ["BATCH", "Edge", "Expr", "Graph", "GraphBuilder", "Node", "Shape"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Edge:
    """The forward edge a backward node comes from: `node`'s input number `position`."""

    node: str
    position: int


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the graph.

    `op` is a row of `ops.OPS`, or a leaf: `input` (fed at each step), `parameter` (trained),
    `state` (kept between steps, such as momentum) or `constant`. A dimension of `shape` is a
    number or `BATCH`. `place` is the path in the spec that asked for the node; `via` is set on
    backward nodes, so that each term of a sum over paths can be told apart.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: Shape
    dtype: str
    attributes: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    place: str = ""
    via: Edge | None = None

    @property
    def formula(self) -> str:
        """The node as a textbook writes it, in terms of the names of its inputs."""
        if self.op == "constant":
            return f"{self.attributes['value']:g}"
        if self.op in LEAVES:
            return self.op
        return OPS[self.op].write(self.inputs, self.attributes)


@dataclass(frozen=True)
class Graph:
    """An immutable, topologically ordered list of nodes.

    `outputs` maps a role (`loss`, `prediction`, `gradient/<parameter>`, …) to the node that
    plays it. `updates` maps a parameter or state to the node that holds its value after a step.

    Raises `GraphError` when a name is used twice, an input is missing or stands later (which
    is also how a cycle shows), or an output or update names no node.
    """

    nodes: tuple[Node, ...]
    outputs: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    updates: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index: dict[str, int] = {}
        everywhere = {node.name for node in self.nodes}
        for position, node in enumerate(self.nodes):
            if node.name in index:
                raise GraphError(
                    f"two nodes are named '{node.name}': names must differ", code="TR-G016"
                )
            for source in node.inputs:
                if source == node.name:
                    raise GraphError(
                        f"node '{node.name}' takes itself: a graph has no cycles", code="TR-G016"
                    )
                if source not in index and source in everywhere:
                    raise GraphError(
                        f"node '{node.name}' takes '{source}', which comes after it: "
                        "a graph has no cycles, and inputs stand before the nodes that take them",
                        code="TR-G016",
                    )
                if source not in index:
                    raise GraphError(
                        f"node '{node.name}' takes '{source}', which does not exist", code="TR-G016"
                    )
            index[node.name] = position
        for role, name in [*self.outputs.items(), *self.updates.items()]:
            if name not in index:
                raise GraphError(f"'{role}' is node '{name}', which does not exist", code="TR-G016")
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "outputs", MappingProxyType(dict(self.outputs)))
        object.__setattr__(self, "updates", MappingProxyType(dict(self.updates)))

    def __getitem__(self, name: str) -> Node:
        return self.nodes[self._index[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def leaves(self, op: str) -> tuple[Node, ...]:
        """The nodes of one kind of leaf, in order: `input`, `parameter`, `state`, `constant`."""
        return tuple(node for node in self.nodes if node.op == op)

    @property
    def parameters(self) -> tuple[Node, ...]:
        """The parameters, in the order of their declaration."""
        return self.leaves("parameter")

    @property
    def trainable(self) -> tuple[Node, ...]:
        """The parameters that are not frozen (attribute `frozen`), in order."""
        return tuple(node for node in self.parameters if not node.attributes.get("frozen"))

    @property
    def learned(self) -> tuple[Node, ...]:
        """What a model consists of, in order: the parameters, and the states with the attribute
        `statistic`, such as the running averages of a batch normalisation.
        """
        return tuple(
            node for node in self.nodes
            if node.op == "parameter" or (node.op == "state" and node.attributes.get("statistic"))
        )  # fmt: skip

    def ancestors(self, targets: Sequence[str]) -> set[str]:
        """The names of `targets` and of all nodes that they depend on."""
        needed = set(targets)
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
        return needed

    def unused(self) -> tuple[Node, ...]:
        """Nodes on which no output or update depends: leftovers, most likely a mistake."""
        needed = self.ancestors([*self.outputs.values(), *self.updates.values()])
        return tuple(node for node in self.nodes if node.name not in needed)


class Expr:
    """A node in a builder, with the operators of arithmetic: `x * y` adds a node `mul`.

    Gradient rules and layers are written with it, so that they read like the calculus.
    Numbers become constants.
    """

    __slots__ = ("builder", "node")

    def __init__(self, builder: GraphBuilder, node: Node) -> None:
        self.builder = builder
        self.node = node

    @property
    def shape(self) -> Shape:
        """The node's shape."""
        return self.node.shape

    def apply(
        self, op: str, *others: Expr | float, name: str | None = None, **attributes: Any
    ) -> Expr:
        """The op's result with this node as its first input."""
        return self.builder.add(op, self, *others, name=name, **attributes)

    def __add__(self, other: Expr | float) -> Expr:
        return self.apply("add", other)

    def __sub__(self, other: Expr | float) -> Expr:
        return self.apply("sub", other)

    def __rsub__(self, other: float) -> Expr:
        return self.builder.constant(other).apply("sub", self)

    def __mul__(self, other: Expr | float) -> Expr:
        return self.apply("mul", other)

    def __rmul__(self, other: float) -> Expr:
        return self.builder.constant(other).apply("mul", self)

    def __truediv__(self, other: Expr | float) -> Expr:
        return self.apply("div", other)

    def __neg__(self) -> Expr:
        return self.apply("neg")

    def __matmul__(self, other: Expr) -> Expr:
        return self.apply("matmul", other)

    @property
    def T(self) -> Expr:  # the transpose, as a textbook writes it
        """The transposed matrix."""
        return self.apply("transpose")


class GraphBuilder:
    """Collects nodes in order; each is checked when it is added.

    `GraphBuilder(dtype)` starts empty; `GraphBuilder.extend(graph)` starts from a graph, whose
    nodes are kept as they are.
    """

    def __init__(self, dtype: str = "float64") -> None:
        self.dtype = dtype
        self.outputs: dict[str, str] = {}
        self.updates: dict[str, str] = {}
        self._nodes: dict[str, Node] = {}
        self._counters: dict[str, int] = {}
        self._constants: dict[float, Expr] = {}
        self._place = ""
        self._prefix = ""
        self._stem = ""
        self._via: Edge | None = None

    @classmethod
    def extend(cls, graph: Graph) -> GraphBuilder:
        """A builder that continues `graph`."""
        builder = cls(graph.nodes[0].dtype if graph.nodes else "float64")
        builder._nodes = {node.name: node for node in graph.nodes}
        builder._constants = {
            node.attributes["value"]: Expr(builder, node) for node in graph.leaves("constant")
        }
        builder.outputs = dict(graph.outputs)
        builder.updates = dict(graph.updates)
        return builder

    def build(self) -> Graph:
        """The graph of all nodes added so far."""
        return Graph(tuple(self._nodes.values()), self.outputs, self.updates)

    def __getitem__(self, name: str) -> Expr:
        return Expr(self, self._nodes[name])

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Nodes added inside belong to this path of the spec; errors name it."""
        before, self._place = self._place, place
        try:
            yield
        finally:
            self._place = before

    @contextmanager
    def inside(self, stem: str) -> Iterator[None]:
        """Unnamed nodes added inside are called `stem/op`."""
        before, self._stem = self._stem, f"{stem}/"
        try:
            yield
        finally:
            self._stem = before

    @contextmanager
    def backward(self, prefix: str, via: Edge | None) -> Iterator[None]:
        """Unnamed nodes added inside are called after `prefix` and remember `via`."""
        before = self._prefix, self._via
        self._prefix, self._via = prefix, via
        try:
            yield
        finally:
            self._prefix, self._via = before

    def leaf(self, op: str, name: str, shape: Shape, **attributes: Any) -> Expr:
        """Adds an `input`, a `parameter` or a `state`."""
        assert op in LEAVES
        return self._append(name, op, (), shape, attributes)

    def constant(self, value: float) -> Expr:
        """The scalar constant; the same number is the same node."""
        value = float(value)
        known = self._constants.get(value)
        if known is None:
            name = self._unique(f"{value:g}")
            known = self._append(name, "constant", (), (), {"value": value})
            self._constants[value] = known
        return known

    def add(
        self, op: str, *inputs: Expr | float, name: str | None = None, **attributes: Any
    ) -> Expr:
        """Adds one node and returns it.

        Raises `GraphError` when the shapes of the inputs do not fit the op; the message names
        the place in the spec, the op, the inputs and their shapes.
        """
        terms = [term if isinstance(term, Expr) else self.constant(term) for term in inputs]
        name = name or self._unique(self._prefix or f"{self._stem}{op}")
        where = f"{self._place}: node '{name}'" if self._place else f"node '{name}'"
        row = OPS.get(op)
        if row is None:
            raise GraphError(f"{where}: there is no op '{op}'", code="TR-G016")
        if len(terms) != row.arity:
            takes = f"{row.arity} input{'s' * (row.arity != 1)}"
            raise GraphError(f"{where}: {op} takes {takes}, not {len(terms)}", code="TR-G016")
        try:
            shape = row.shape(*(term.shape for term in terms), **attributes)
        except ShapeError as error:
            sources = " and ".join(f"'{t.node.name}' {show_shape(t.shape)}" for t in terms)
            raise GraphError(f"{where}: {op} of {sources}: {error}", code="TR-G007") from None
        return self._append(name, op, tuple(t.node.name for t in terms), shape, attributes)

    def _append(
        self,
        name: str,
        op: str,
        inputs: tuple[str, ...],
        shape: Shape,
        attributes: Mapping[str, Any],
    ) -> Expr:
        if name in self._nodes:
            place = f"{self._place}: " if self._place else ""
            raise GraphError(
                f"{place}two nodes are named '{name}': names must differ", code="TR-G016"
            )
        frozen = MappingProxyType(dict(attributes)) if attributes else _NOTHING
        node = Node(name, op, inputs, shape, self.dtype, frozen, self._place, self._via)
        self._nodes[name] = node
        return Expr(self, node)

    def _unique(self, stem: str) -> str:
        """`stem`, or `stem.2`, `stem.3`, … when it is taken; the same calls give the same names."""
        name = stem
        while name in self._nodes:
            self._counters[stem] = self._counters.get(stem, 1) + 1
            name = f"{stem}.{self._counters[stem]}"
        return name
