"""What an explanation says is true: every value's gradient, every path, every symbol."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from conftest import TINY
from derivatives import relative_error

from trainer import build_graph
from trainer.data.preparing.layout import Layout
from trainer.errors import GraphError
from trainer.explain.explanation import LARGEST_JACOBIAN, Explanation, Path, Step, explain_graph
from trainer.graph import OPS, Graph, GraphBuilder, Node
from trainer.graph.initialisers import initial_parameters
from trainer.graph.ops import BATCH, LEAVES, Array
from trainer.spec import Sketch, Spec
from trainer.spec.expressions import Expression, Name, Number, parse_equation
from trainer.spec.lifting import lift_model

LAYERS, NETS, SCALARS, COLUMNS = 70, 80, 50, 20

# Random specs -----------------------------------------------------------------------------------


def of_layers(random: np.random.Generator) -> tuple[Graph, dict[str, Array], str]:
    """A network of one to four layers, any activations, each loss."""
    activations = ["identity", "sigmoid", "tanh", "relu", "leaky_relu", "softplus", "gelu"]
    features, outputs = int(random.integers(1, 5)), int(random.integers(1, 4))
    layers = [
        {"units": int(random.integers(1, 6)), "activation": str(random.choice(activations)),
         "bias": bool(random.integers(2))}
        for _ in range(random.integers(0, 4))
    ]  # fmt: skip
    loss = str(random.choice(["squared", "logistic"]))
    last = "softmax" if loss == "squared" and random.integers(2) else "identity"
    layers.append({"units": outputs, "activation": last})
    values = TINY | {"model": {"layers": layers, "loss": loss, "dtype": "float64"}}
    spec = Spec.model_validate(values)
    return _with_values(build_graph(spec, Layout.plain(features, outputs)), random, "loss")


class Program:
    """Random equations on vectors of 3 and numbers, with weights that are used several times."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.parameters: dict[str, Any] = {}
        self.equations: dict[str, str] = {}
        self.vectors, self.numbers = ["x"], ["sum(x)"]

    def pick(self, names: list[str]) -> str:
        return names[self.random.integers(len(names))]

    def weight(self, shape: list[int]) -> str:
        """A new parameter of this shape, or an old one."""
        same = [name for name, how in self.parameters.items() if how["shape"] == shape]
        if same and self.random.integers(2):
            return self.pick(same)
        name = f"p_{len(self.parameters)}"
        self.parameters[name] = {"shape": shape}
        return name

    def add(self) -> None:
        name, vector = f"v{len(self.equations)}", bool(self.random.integers(2))
        (u, v), (s, t) = ([self.pick(x), self.pick(x)] for x in (self.vectors, self.numbers))
        if vector:
            text = self.pick([
                f"{u} + {v}", f"{u} * {v}", f"{u} - {s}", f"{s} * {v}", f"tanh({u})",
                f"softmax({u} + {v})", f"log_softmax({u})", f"{self.weight([3, 3])} @ {u}",
                f"{u} @ {self.weight([3, 3])} + {self.weight([3])}", f"gelu({u}) / (1 + {v} ** 2)",
                f"{self.weight([3, 3])} @ {self.weight([3])} - {u}", f"relu({u} + 0.1)",
                f"leaky_relu(tanh({u})) ** 3", f"minimum({u}, {v} + 0.05)",
                f"({self.weight([3, 3])} @ {self.weight([3, 3])}) @ {u}",
            ])  # fmt: skip
        else:
            text = self.pick([
                f"dot({u}, {v})", f"sum({u})", f"mean({u} * {v})", f"norm({u} + 0.5)",
                f"{s} * {t}", f"sigmoid({s})", f"{s} / (1 + square({t}))", f"softplus({s} - {t})",
                f"exp(tanh({s}))",
                f"log(1 + {s} ** 2)", f"(1 + tanh({s}) ** 2) ** tanh({t})",
                f"{self.weight([3])} @ {u} + {self.weight([])}", f"-{s}", f"tanh({s})",
            ])  # fmt: skip
        self.equations[name] = text
        (self.vectors if vector else self.numbers).append(name)

    def model(self) -> dict[str, Any]:
        """The equations, and an output that takes what nothing else took."""
        terms = [f"tanh({n})" for n in self.numbers] + [f"sum(tanh({v}))" for v in self.vectors]
        used = " ".join([*self.equations.values(), *terms])
        parameters = {n: how for n, how in self.parameters.items() if re.search(rf"\b{n}\b", used)}
        equations = self.equations | {"out": " + ".join(terms)}
        return {"parameters": parameters, "equations": equations, "output": "out"}


def of_equations(random: np.random.Generator) -> tuple[Graph, dict[str, Array], str]:
    program = Program(random)
    for _ in range(random.integers(1, 9)):
        program.add()
    model = program.model() | {"inputs": {"x": 3}, "loss": "squared", "dtype": "float64"}
    spec = Spec.model_validate(TINY | {"model": model})
    return _with_values(build_graph(spec, Layout.plain(3, 1)), random, "loss")


def of_numbers(random: np.random.Generator) -> tuple[Graph, dict[str, Array], str]:
    """A sketch on numbers, with one function or operator an equation."""
    positive, names = ["a", "b", "c"], ["a", "b", "c"]
    equations: dict[str, str] = {}
    for i in range(random.integers(1, 8)):
        s, t = names[random.integers(len(names))], names[random.integers(len(names))]
        p, q = positive[random.integers(len(positive))], positive[random.integers(len(positive))]
        forms = [
            (f"{s} + {t}", False), (f"{s} - {t}", False), (f"{s} * {t}", False),
            (f"{s} / {p}", False), (f"tanh({s})", False), (f"sigmoid({s})", True),
            (f"-{s}", False), (f"{s} ** 2", False), (f"exp({s})", True), (f"{p} + {q}", True),
            (f"log({p})", False), (f"sqrt({p})", True), (f"softplus({s})", True),
            (f"{s} + 1", False), (f"3 * {s}", False), (f"{p} / {q}", True), (f"1 - {s}", False),
            (f"relu({s})", False), (f"minimum({s}, {t})", False),
        ]  # fmt: skip
        text, above = forms[random.integers(len(forms))]
        equations[f"v{i}"] = text
        names.append(f"v{i}")
        if above:
            positive.append(f"v{i}")
    last = names[-1]
    equations["e"] = f"{last} * {names[random.integers(len(names))]}"
    model = {"inputs": {"a": 0.7, "b": 1.3, "c": 0.4}, "equations": equations, "output": "e"}
    sketch = Sketch.model_validate({"name": "s", "model": model})
    _, builder = lift_model(sketch.model)
    return _with_values(builder.build(), random, "e")


def of_columns(random: np.random.Generator) -> tuple[Graph, dict[str, Array], str]:
    """Columns of the input beside a row of a table, and a branch by the sign of each."""
    width, rows, units = (int(n) for n in random.integers(1, 5, 3))
    builder = GraphBuilder()
    x = builder.leaf("input", "x", (BATCH, width + 2))
    code = x.apply("columns", name="code", start=width + 1, stop=width + 2)
    table = builder.leaf("parameter", "table", (rows, units), init="he_uniform")
    measured = x.apply("columns", name="measured", start=1, stop=width + 1)
    found = table.apply("lookup", code * float(rows), name="found")
    h = found.apply("concat", measured - 0.8, name="h")
    branch = h.apply("where", h.apply("tanh"), h.apply("sign") * h.apply("square"), name="branch")
    h.apply("softplus").apply("concat", branch).apply("sum", name="e", axes=(0, 1))
    return _with_values(builder.build(), random, "e")


def _with_values(
    graph: Graph, random: np.random.Generator, of: str
) -> tuple[Graph, dict[str, Array], str]:
    """The graph with random values for one example; those of numbers are near 1."""
    feeds = initial_parameters(graph, int(random.integers(1000)))
    feeds = {name: value + random.normal(size=value.shape) * 0.1 for name, value in feeds.items()}
    for node in graph.leaves("input"):
        shape = tuple(1 if dim == BATCH else int(dim) for dim in node.shape)
        feeds[node.name] = random.uniform(0.3, 1.5, shape)
    return graph, feeds, of


KINDS: dict[str, tuple[Callable[..., tuple[Graph, dict[str, Array], str]], int]] = {
    "layers": (of_layers, LAYERS), "equations": (of_equations, NETS),
    "numbers": (of_numbers, SCALARS), "columns": (of_columns, COLUMNS),
}  # fmt: skip


def cases(kind: str) -> Iterator[tuple[Graph, dict[str, Array], str]]:
    make, count = KINDS[kind]
    for seed in range(count):
        yield make(np.random.default_rng([len(kind), seed]))


# What is checked --------------------------------------------------------------------------------


def result(graph: Graph, feeds: Mapping[str, Array], of: str, replaced: Mapping[str, Array]) -> Any:
    """The value of `of`, with other values in the places of some nodes."""
    values: dict[str, Any] = {}
    for node in graph:
        if node.name in replaced:
            values[node.name] = replaced[node.name]
        elif node.op == "constant":
            values[node.name] = np.asarray(node.attributes["value"])
        elif node.op in LEAVES:
            values[node.name] = feeds[node.name]
        else:
            inputs = [values[name] for name in node.inputs]
            values[node.name] = OPS[node.op].forward(*inputs, **node.attributes)
        if node.name == of:
            return values
    raise AssertionError(of)


def check_gradients(explanation: Explanation, graph: Graph, feeds: dict[str, Array]) -> None:
    """Each gradient is the effect of a small change to that node's value alone: complex steps."""
    of, h = explanation.of, 1e-30
    plain = result(graph, feeds, of, {})
    scale = max(1.0, *(float(np.abs(step.gradient).max()) for step in explanation.steps))
    for step in explanation.steps:
        value = np.asarray(plain[step.node.name], dtype=complex)
        np.testing.assert_array_equal(step.value.ravel(), value.real.ravel())
        found = np.zeros(value.size)
        for i in range(value.size):
            moved = value.copy()
            moved.reshape(-1)[i] += 1j * h
            found[i] = result(graph, feeds, of, {step.node.name: moved})[of].imag.item() / h
        error = np.abs(step.gradient.ravel() - found).max()
        assert error <= 1e-10 * scale, (step.node.name, step.node.formula, error)


def check_paths(explanation: Explanation, graph: Graph) -> None:
    """A gradient is the sum of its terms; a term is upstream · local."""
    for step in explanation.steps:
        if step.node.name != explanation.of:
            terms = [path.term for path in step.paths] or [np.zeros(step.value.shape)]
            total = np.sum(terms, axis=0)
            assert total.shape == step.gradient.shape
            assert relative_error(total, step.gradient) <= 1e-12, step.node.name
        consumers = [(n.name, i) for n in graph for i, name in enumerate(n.inputs)
                     if name == step.node.name and n.name in explanation.index
                     and OPS[n.op].vjps[i] is not None]  # fmt: skip
        assert [(path.through, path.position) for path in step.paths] == consumers
        for path in step.paths:
            through = explanation.index[path.through]
            np.testing.assert_array_equal(path.upstream, through.gradient)
            expected = product(path, step, through)
            assert path.term.shape == step.gradient.shape
            assert relative_error(path.term.ravel(), expected.ravel()) <= 1e-12, (
                step.node.name, path)  # fmt: skip


def product(path: Path, step: Step, through: Step) -> Array:
    """upstream · local: for each element and summed over what was repeated, or of matrices."""
    assert path.local is not None
    op = through.node.op
    if op == "transpose":
        return path.upstream.T
    if op == "matmul":
        if path.position == 0:
            return np.atleast_1d(path.upstream) @ path.local
        if path.local.ndim == 2:
            return path.local @ path.upstream
        return np.outer(path.local, path.upstream)
    if op in ("softmax", "log_softmax"):
        return np.atleast_1d(path.upstream) @ path.local
    if op in ("concat", "columns", "lookup"):
        return placed(path, step, through)
    if OPS[op].kernel is None:
        return np.asarray(_spread(path.upstream, step, through) * path.local)
    each = np.asarray(path.upstream * path.local)
    assert path.local.shape == through.value.shape
    if step.value.size == 1:
        return np.asarray(each.sum())
    while each.ndim > step.value.ndim:
        each = each.sum(axis=0)
    return each


def placed(path: Path, step: Step, through: Step) -> Array:
    """A gradient at the places that the values came from: local tells them."""
    upstream = np.atleast_1d(path.upstream)
    if through.node.op == "concat":
        left = path.position == 0
        return (upstream[: step.value.size] if left else upstream[-step.value.size :]) * path.local
    out = np.zeros(np.shape(path.local))
    out[path.local == 1] = upstream if np.any(path.local) else []
    return out


def _spread(upstream: Array, step: Step, through: Step) -> Array:
    """A gradient of a sum, given to all that was summed."""
    axes = through.node.attributes["axes"]
    if upstream.ndim == 0 or len(axes) == len(step.node.shape):
        return upstream
    if step.node.shape[0] == BATCH:
        return upstream
    return np.expand_dims(upstream, axes)


@pytest.mark.parametrize("kind", KINDS)
def test_random_specs(kind: str) -> None:
    for graph, feeds, of in cases(kind):
        explanation = explain_graph(graph, feeds, of)
        check_gradients(explanation, graph, feeds)
        check_paths(explanation, graph)


BACKWARD = {"positive", "leaky_slope", "normal_cdf", "normal_pdf", "count", "expand_like",
            "pad_columns", "scatter"}  # fmt: skip


def test_every_op_of_a_forward_pass_is_explained() -> None:
    seen = {node.op for kind in KINDS for graph, _, _ in cases(kind) for node in graph}
    assert seen == (OPS.keys() - BACKWARD) | {"input", "parameter", "constant"}


def test_a_wrong_rule_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The derivative of sigmoid without its last factor; and one of a product's two."""
    for op, rules in {
        "sigmoid": (lambda g, o, x: g * o,),
        "mul": (lambda g, o, x, y: g * y, lambda g, o, x, y: g * y),
        "matmul": (lambda g, o, a, b: g @ b.T, lambda g, o, a, b: -(a.T @ g)),
    }.items():
        with monkeypatch.context() as patch:
            patch.setitem(OPS, op, dataclasses.replace(OPS[op], vjps=rules))
            kind = "layers" if op == "matmul" else "equations"
            wrong = 0
            for graph, feeds, of in cases(kind):
                if op in {node.op for node in graph}:
                    try:
                        check_gradients(explain_graph(graph, feeds, of), graph, feeds)
                    except AssertionError:
                        wrong += 1
            assert wrong > 12, op


# Symbols ----------------------------------------------------------------------------------------

WRITTEN = [("·", "*"), ("²", " ** 2"), ("σ(", "sigmoid("), ("min(", "minimum(")]
FORMS: dict[str, Callable[..., float]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "/": lambda a, b: a / b, "**": lambda a, b: a**b, "neg": lambda a: -a,
    **{name: lambda *a, f=OPS[name].forward: float(f(*map(np.asarray, a)))
       for name in ("sigmoid", "tanh", "exp", "log", "sqrt", "softplus", "minimum", "relu")},
}  # fmt: skip


def meaning(symbol: str, explanation: Explanation) -> float:
    """The number that a symbol stands for."""

    def value(expression: Expression) -> float:
        if isinstance(expression, Number):
            return expression.value
        if isinstance(expression, Name):
            return float(explanation.index[expression.name].value)
        return FORMS[expression.function](*map(value, expression.arguments))

    text = re.sub(r"√(\w+)", r"sqrt(\1)", symbol)
    for old, new in WRITTEN:
        text = text.replace(old, new)
    for inner in re.findall(r"\[(.*?) > 0\]", text):  # 1 where it is so, else 0
        text = text.replace(f"[{inner} > 0]", str(int(value(parse_equation(inner)) > 0)))
    return value(parse_equation(text))


def test_symbols_mean_the_numbers() -> None:
    written = 0
    for graph, feeds, of in cases("numbers"):
        explanation = explain_graph(graph, feeds, of)
        for step in explanation.steps:
            for path in step.paths:
                assert path.local is not None
                found = meaning(path.local_symbol, explanation)
                assert found == pytest.approx(float(path.local), rel=1e-12), path
                if path.symbol:
                    found = meaning(path.symbol, explanation)
                    assert found == pytest.approx(float(path.term), rel=1e-12, abs=1e-12), path
            if step.symbol:
                written += 1
                found = meaning(step.symbol, explanation)
                assert found == pytest.approx(float(step.gradient), rel=1e-12, abs=1e-12), step
    assert written > 200


# Values by hand ---------------------------------------------------------------------------------


def sketch(**model: Any) -> Explanation:
    made = Sketch.model_validate({"name": "s", "model": model})
    lifted, builder = lift_model(made.model)
    graph = builder.build()
    feeds = {
        name: np.array(value, dtype=float).reshape(1, -1) for name, value in model["inputs"].items()
    }
    return explain_graph(graph, feeds | initial_parameters(graph, 0), lifted.node.node.name)


def test_two_paths() -> None:
    """∂e/∂b = d + c = 2 + 3 = 5."""
    found = sketch(
        inputs={"a": 2.0, "b": 1.0}, output="e",
        equations={"c": "a + b", "d": "b + 1", "e": "c * d"},
    )  # fmt: skip
    b = found.index["b"]
    assert (found.loss, b.symbol, float(b.gradient)) == (6.0, "d + c", 5.0)
    assert [(p.through, float(p.upstream), p.local_symbol, float(p.term)) for p in b.paths] == [
        ("c", 2.0, "1", 2.0), ("d", 3.0, "1", 3.0),
    ]  # fmt: skip
    assert [found.index[name].is_leaf for name in "abcde"] == [True, True, False, False, False]
    shown = found.as_json()
    assert shown["loss"] == 6.0
    assert [node["name"] for node in shown["nodes"]] == ["a", "b", "c", "d", "e"]


def test_a_product_of_matrices() -> None:
    """e = Σᵢ (W x)ᵢ: ∂e/∂x = Wᵀ 1, and the local derivative is the other factor."""
    W, x = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [0.5, -1.0]
    found = sketch(
        inputs={"x": x}, parameters={"W": {"values": W}}, output="e",
        equations={"h": "W @ x", "e": "sum(h)"},
    )  # fmt: skip
    (path,) = found.index["x"].paths
    assert path.local is not None
    np.testing.assert_array_equal(path.local, W)
    np.testing.assert_array_equal(found.index["x"].gradient, [9.0, 12.0])
    np.testing.assert_array_equal(found.index["W"].gradient, [x, x, x])


def test_a_node_may_have_any_name() -> None:
    found = sketch(
        inputs={"_root": 2.0, "one": 1.0}, output="sum",
        equations={"mul": "_root * one", "sum": "mul + _root"},
    )  # fmt: skip
    assert float(found.index["_root"].gradient) == 2.0


def test_a_large_softmax_has_no_matrix() -> None:
    units = LARGEST_JACOBIAN + 1
    builder = GraphBuilder()
    z = builder.leaf("input", "z", (BATCH, units))
    chosen = z.apply("softmax", name="p") * builder.leaf("input", "t", (BATCH, units))
    chosen.apply("sum", name="e", axes=(1,), keepdims=True)
    random = np.random.default_rng(0)
    feeds = {name: random.normal(size=(1, units)) for name in "zt"}
    graph = builder.build()
    found = explain_graph(graph, feeds, "e")
    check_gradients(found, graph, feeds)
    assert found.index["z"].paths[0].local is None


def test_only_one_number_is_explained() -> None:
    builder = GraphBuilder()
    builder.leaf("parameter", "W", (2, 2)).apply("tanh", name="h")
    graph = builder.build()
    node: Node = graph["h"]
    assert node.shape == (2, 2)
    with pytest.raises(GraphError, match="'h'"):
        explain_graph(graph, {"W": np.ones((2, 2))}, "h")
