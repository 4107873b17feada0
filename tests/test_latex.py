"""The LaTeX document of an explanation: what it says, and that TeX can read it."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_explanations import BACKWARD, KINDS, cases, sketch

from trainer.explain.explanation import Explanation, explain_graph
from trainer.explain.latex import Letters, escape, write_latex
from trainer.graph import OPS, GraphBuilder, Node

PDFLATEX = shutil.which("pdflatex")

TWO_PATHS: dict[str, Any] = {
    "inputs": {"a": 2.0, "b": 1.0}, "output": "e",
    "equations": {"c": "a + b", "d": "b + 1", "e": "c * d"},
}  # fmt: skip


def written(explanation: Explanation, folder: Path) -> str:
    write_latex(explanation, folder / "made.tex")
    return (folder / "made.tex").read_text(encoding="utf-8")


def faults(text: str) -> list[str]:
    """What TeX would stumble over: braces, environments, bare characters, double superscripts."""
    found = [] if text.isascii() else [c for c in text if ord(c) > 255]
    plain = text.replace(r"\\", "  ")
    open_, depth = [], 0
    for token in re.findall(r"\\begin\{\w+\*?\}|\\end\{\w+\*?\}|\\.|[{}&_^$#%]|.", plain):
        if token.startswith(r"\begin"):
            open_.append(token[7:-1])
        elif token.startswith(r"\end{"):
            if not open_ or open_.pop() != token[5:-1]:
                found.append(token)
        elif token == r"\(":
            open_.append("math")
        elif token == r"\)":
            if not open_ or open_.pop() != "math":
                found.append(token)
        elif token in "{}":
            depth += 1 if token == "{" else -1
            if depth < 0:
                found.append("}")
        elif token in ("$", "#", "%") or (token in "&_^" and not set(open_) & {"align*", "math"}):
            found.append(token)
    found += [f"{open_}"] if open_ else []
    found += ["{"] * depth
    found += re.findall(r"\^\{[^{}]*\}(?:\^|²)", plain)
    found += ["[]"] if plain.count(r"\left(") != plain.count(r"\right)") else []
    return found


def compiles(folder: Path) -> None:
    """pdflatex makes a document of it, where it is installed."""
    if PDFLATEX is None:
        return
    done = subprocess.run(
        [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "made.tex"],
        cwd=folder, capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    assert done.returncode == 0, [line for line in done.stdout.splitlines() if line[:1] == "!"]
    assert (folder / "made.pdf").stat().st_size > 1000


def test_two_paths(tmp_path: Path) -> None:
    text = written(sketch(**TWO_PATHS), tmp_path)
    assert (
        r"""
\begin{align*}
a &= 2 \\
b &= 1 \\
c &= a + b = 3 \\
d &= b + 1 = 2 \\
e &= c \cdot d = 6
\end{align*}
"""
        in text
    )
    assert r"""
\frac{\partial e}{\partial b} &= \frac{\partial e}{\partial c}\frac{\partial c}{\partial b} """ \
        r"""+ \frac{\partial e}{\partial d}\frac{\partial d}{\partial b} \\
&= d + c = 2 + 3 = 5
""" in text  # fmt: skip
    assert faults(text) == []
    compiles(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_random_specs_can_be_read_by_tex(kind: str, tmp_path: Path) -> None:
    for i, (graph, feeds, of) in enumerate(cases(kind)):
        text = written(explain_graph(graph, feeds, of, f"{kind}_{i}"), tmp_path)
        assert faults(text) == [], i
        assert text.count(r"\begin{align*}") >= len({n.name for n in graph.parameters})
        if i < 2:
            compiles(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a", "a"),
        ("W1", "W_{1}"),
        ("b_12", "b_{12}"),
        ("y_hat", r"\hat{y}"),
        ("sigma", r"\sigma"),
        ("sigma_2", r"\sigma_{2}"),
        ("loss", r"\mathit{loss}"),
        ("my_w", r"\mathit{my\_w}"),
        ("_a", r"\mathit{\_a}"),
        ("dense_1", "h^{(1)}"),
        ("dense_2/W", "W^{(2)}"),
        ("dense_1/product", r"\mathit{product}^{(1)}"),
        ("hidden/b", r"b^{(\mathit{hidden})}"),
        ("h/add.2", r"\mathit{add.2}^{(h)}"),
        ("W1/mul", r"\mathit{mul}^{(W_{1})}"),
    ],
)
def test_letters(name: str, expected: str) -> None:
    assert Letters([name])[name] == expected
    assert faults(rf"\begin{{align*}}{expected}\end{{align*}}") == []


def test_names_stay_different() -> None:
    letters = Letters(["w1", "w_1", "dense_1", "h"])
    assert letters["w1"] == "w_{1}"
    assert letters["w_1"] == r"\mathit{w\_1}"
    assert len({letters[name] for name in ("w1", "w_1", "dense_1", "h")}) == 4


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("d + c", "d + c"),
        ("2 · c", r"2 \cdot  c"),
        ("1 - h²", "1 - h^{2}"),
        ("1 - dense_1²", r"1 - \left(h^{(1)}\right)^{2}"),
        ("W1ᵀ", r"W_{1}^{\top}"),
        ("dense_1/Wᵀ", r"\left(W^{(1)}\right)^{\top}"),
        ("σ(y_hat) - y", r"\sigma(\hat{y}) - y"),
        ("exp(exp)", r"\exp(\mathit{exp})"),
        ("leaky_relu'(c)", r"\operatorname{leaky\_relu}'(c)"),
        ("[c > 0]", "[c > 0]"),
        ("d / (a + b)²", "d / (a + b)^{2}"),
        ("Φ(c) + c · φ(c)", r"\Phi(c) + c \cdot  \varphi(c)"),
        ("unknown", r"\operatorname{unknown}"),
    ],
)
def test_symbols(symbol: str, expected: str) -> None:
    names = ["a", "b", "c", "d", "h", "dense_1", "dense_1/W", "W1", "y_hat", "y", "exp"]
    assert Letters(names).translate(symbol) == expected


def test_every_op_has_a_formula() -> None:
    """Each op is written as its row says, or as its formula."""
    letters = Letters(["u_1", "v", "w"])
    for name in OPS:
        inputs = ("u_1", "v", "w")[: OPS[name].arity]
        attributes = {"start": 2, "stop": 5}
        text = letters.formula(Node("out", name, inputs, (), "float64", attributes))
        shown = [f"{{{i}}}" in OPS[name].formula for i in range(len(inputs))]
        assert all(shown) or name in BACKWARD
        assert all(letters[source] in text for source in compress(inputs, shown)), name
        assert "@" not in text
        assert faults(rf"\begin{{align*}}{text}\end{{align*}}") == []


def test_arrays_small_and_large(tmp_path: Path) -> None:
    W = np.arange(6.0).reshape(2, 3) / 4
    small = written(sketch(
        inputs={"x": [1.0, -2.0]}, parameters={"W": {"values": W.tolist()}}, output="e",
        equations={"h": "x @ W", "e": "norm(h)"},
    ), tmp_path)  # fmt: skip
    assert r"W &= \begin{bmatrix} 0 & 0.25 & 0.5 \\ 0.75 & 1 & 1.25 \end{bmatrix}" in small
    assert faults(small) == []
    compiles(tmp_path)
    large = written(sketch(
        inputs={"x": [1.0] * 30}, output="e", equations={"e": "sum(x * 1e-9)"},
    ), tmp_path)  # fmt: skip
    assert r"x &= 30 \text{ values from } {1} \text{ to } {1}\text{, norm } 5.47723" in large
    assert r"10^{-9}" in large
    assert faults(large) == []
    compiles(tmp_path)


def test_awkward_texts(tmp_path: Path) -> None:
    """A title and notes may hold anything; numbers need not be finite."""
    text = r"50% of_x & {y} #1 $2 \alpha ~ ^ <a|b> größe ✓ 数 “q” · … " + '"q"\t\n\n\x07'
    builder = GraphBuilder()
    builder.leaf("input", "a", ()).apply("log", name="e")
    found = explain_graph(builder.build(), {"a": np.array(0.0)}, "e", text, (text,))
    made = written(found, tmp_path)
    assert r"e &= \log(a) = -\infty" in made
    assert r"50\% of\_x \& \{y\} \#1 \$2 \textbackslash{}alpha" in made
    compiles(tmp_path)
    assert escape("größe ✓ ÷") == "größe ? ?"


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_latex(sketch(**TWO_PATHS), tmp_path / "none" / "made.tex")


@pytest.mark.parametrize(
    "text",
    [r"\begin{align*}a", "a}", "{a", r"\begin{align*}x^{(1)}^{2}\end{align*}", "a_b", "50%",
     r"\begin{align*}\begin{bmatrix}\end{align*}\end{bmatrix}", r"\left(a", "✓"],
)  # fmt: skip
def test_faults_are_noticed(text: str) -> None:
    assert faults(text) != []
