r"""An explanation as a LaTeX document: article and amsmath, for pdflatex.

Names become letters: `W1` is W₁, `y_hat` is ŷ, `dense_1/W` is W⁽¹⁾ and the layer `dense_1` itself
h⁽¹⁾. Where two names would look alike the second is written as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from trainer.explain.explanation import Explanation, Step
from trainer.explain.explanation import Path as Term
from trainer.graph import OPS, Node
from trainer.graph.ops import Array

MAX_ROWS: Final = 6
MAX_COLUMNS: Final = 6
"""Rows and columns up to which a matrix is shown whole."""
TERMS_A_LINE: Final = 3

_HEAD: Final = r"""\documentclass{article}
\usepackage{amsmath}
\allowdisplaybreaks
\setlength{\parindent}{0pt}
\addtolength{\oddsidemargin}{-50pt}
\addtolength{\textwidth}{100pt}
"""
_GREEK: Final = re.compile(
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|"
    "upsilon|phi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega"
)
_ACCENTS: Final = {"hat": r"\hat", "bar": r"\bar", "tilde": r"\tilde"}

_WORDS: Final = {"exp": r"\exp", "log": r"\log", "tanh": r"\tanh", "min": r"\min"}
_SIGNS: Final = {
    "·": r"\cdot ", "σ": r"\sigma", "Φ": r"\Phi", "φ": r"\varphi", "∂": r"\partial ",
    "√": r"\surd ", "²": "^{2}", "ᵀ": r"^{\top}",
}  # fmt: skip
_TOKEN: Final = re.compile(r"(?P<word>[A-Za-z_][A-Za-z0-9_./]*)(?P<power>[²ᵀ]?)|(?P<sign>.)")
_PLACE: Final = re.compile(r"@([0-9])(\^\{(?:2|\\top)\})?")
_TEXT: Final = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\(<\)", ">": r"\(>\)", "|": r"\(|\)", '"': "''", "…": r"\ldots{}", "·": r"\(\cdot\)",
    "×": r"\(\times\)", "–": "--", "’": "'",
}  # fmt: skip


def write_latex(explanation: Explanation, path: Path) -> None:
    """Writes the explanation: the values forward, then the chain rule for every node.

    Raises `OSError`.
    """
    path.write_text("\n".join(_Writer(explanation).document()) + "\n", encoding="utf-8")


def escape(text: str) -> str:
    """Any text for LaTeX outside of formulas; what its fonts may not have becomes a `?`."""
    return "".join(_TEXT.get(c) or (c if c.isascii() and c.isprintable() else _letter(c))
                   for c in text)  # fmt: skip


def _letter(character: str) -> str:
    if character.isspace():
        return " "
    return character if "À" <= character <= "ÿ" and character not in "ÐÞðþ÷" else "?"


class Letters:
    """The names of an explanation's nodes as formulas write them, each one differently."""

    def __init__(self, names: Sequence[str]) -> None:
        self._known: dict[str, str] = {}
        for name in names:
            letters = _symbol(name)
            if letters in self._known.values():
                letters = rf"\mathit{{{escape(name)}}}"
            self._known[name] = letters

    def __getitem__(self, name: str) -> str:
        return self._known.get(name) or rf"\operatorname{{{escape(name)}}}"

    def raised(self, name: str, power: str) -> str:
        """The name with a power behind it, as TeX writes that, or none."""
        letters = self[name]
        if power and "^" in letters:  # TeX refuses a second superscript
            letters = rf"\left({letters}\right)"
        return letters + power

    def translate(self, symbol: str) -> str:
        """A symbol as explanations write it: `2 · h² - W1ᵀ`."""
        return "".join(
            self._word(found, symbol) if found["word"] else _SIGNS.get(found["sign"], found["sign"])
            for found in _TOKEN.finditer(symbol)
        )

    def _word(self, found: re.Match[str], symbol: str) -> str:
        word = found["word"]
        if symbol[found.end() : found.end() + 1] in ("(", "'"):  # a function, or its derivative
            return _WORDS.get(word) or rf"\operatorname{{{escape(word)}}}"
        return self.raised(word, _SIGNS.get(found["power"], ""))

    def formula(self, node: Node) -> str:
        """What the node is, in terms of its inputs."""
        row = OPS[node.op]
        text = row.latex
        if not text:
            places = [f"@{i}" for i in range(len(node.inputs))]
            text = self.translate(row.write(places, node.attributes)).replace("  ", " ")
        return _PLACE.sub(
            lambda found: self._input(node.inputs[int(found[1])], found[2] or ""), text
        )

    def _input(self, name: str, power: str) -> str:
        if name not in self._known:  # a number
            return name + power
        return self.raised(name, power)


def _symbol(name: str) -> str:
    """One name in letters."""
    stem, _, part = name.rpartition("/")
    layer = re.fullmatch(r"dense_([0-9]+)", name)
    if layer:
        return f"h^{{({layer[1]})}}"
    if stem:
        number = re.fullmatch(r"dense_([0-9]+)", stem)
        above = number[1] if number else _symbol(stem)
        return f"{_symbol(part)}^{{({above})}}"
    found = re.fullmatch(r"([A-Za-z]+?)_?([0-9]+)", name)
    if found:
        return f"{_symbol(found[1])}_{{{found[2]}}}"
    base, _, accent = name.rpartition("_")
    if accent in _ACCENTS and base:
        return f"{_ACCENTS[accent]}{{{_symbol(base)}}}"
    if _GREEK.fullmatch(name):
        return f"\\{name}"
    return name if len(name) == 1 and name.isalpha() else rf"\mathit{{{escape(name)}}}"


class _Writer:
    def __init__(self, explanation: Explanation) -> None:
        self._all = explanation
        self._letters = Letters([step.node.name for step in explanation.steps])

    def document(self) -> Iterator[str]:
        """All lines."""
        of = self._letters[self._all.of]
        yield _HEAD + rf"\title{{{escape(self._all.name)}}}"
        yield "\\author{}\n\\date{}\n\\begin{document}\n\\maketitle"
        yield rf"The gradient of \({of} = {_number(self._all.loss)}\), by the chain rule."
        yield from (rf"\par {escape(note)}" for note in self._all.notes)
        yield "\n\\section*{Forward}"
        yield from _align([self._value(step) for step in self._all.steps])
        yield "\n\\section*{Backward}"
        for step in reversed(self._all.steps):
            yield from _align(self._gradient(step))
        yield r"\end{document}"

    def _value(self, step: Step) -> str:
        name, value = self._letters[step.node.name], _array(step.value)
        if step.is_leaf:
            return f"{name} &= {value}"
        return f"{name} &= {self._letters.formula(step.node)} = {value}"

    def _gradient(self, step: Step) -> list[str]:
        """The lines of ∂e/∂b = ∂e/∂c ∂c/∂b + … = d + c = 2 + 3 = 5."""
        name = step.node.name
        left = self._partial(self._all.of, name)
        if name == self._all.of:
            return [f"{left} &= 1"]
        if not step.paths:  # only as a condition or a number of a row, where nothing is derived
            return [f"{left} &= {_array(step.gradient)}"]
        chains = [self._partial(self._all.of, term.through) + self._partial(term.through, name)
                  for term in step.paths]  # fmt: skip
        groups = [" + ".join(chains[i : i + TERMS_A_LINE])
                  for i in range(0, len(chains), TERMS_A_LINE)]  # fmt: skip
        lines = [f"{left} &= {groups[0]}", *(rf"&\quad + {group}" for group in groups[1:])]
        return lines + (self._numbers(step) if step.gradient.ndim == 0 else self._arrays(step))

    def _numbers(self, step: Step) -> list[str]:
        """`= d + c = 2 + 3 = 5`."""
        total = _number(step.gradient.item())
        if len(step.paths) == 1:
            (term,) = step.paths
            if term.local is None or max(term.local.size, term.upstream.size) > 1:
                return [f"&= {total}"]
            parts = rf"{_factor(term.upstream)} \cdot {_factor(term.local)}"
        else:
            parts = " + ".join(_number(term.term.item()) for term in step.paths)
            parts = parts.replace("+ -", "- ")
        letters = (
            f"{self._letters.translate(step.symbol)} = " if step.symbol not in ("", "1") else ""
        )
        return [f"&= {letters}{parts} = {total}"]

    def _arrays(self, step: Step) -> list[str]:
        """The terms and their sum; behind each path its derivative in letters."""
        lines = []
        if len(step.paths) > 1 and all(_is_small(term.term) for term in step.paths):
            terms = [_array(term.term) for term in step.paths]
            lines = [f"&= {terms[0]}", *(rf"&\quad + {term}" for term in terms[1:])]
        lines.append(f"&= {_array(step.gradient)}")
        return lines + [line for term in step.paths if (line := self._local(term, step))]

    def _local(self, term: Term, step: Step) -> str:
        if not term.local_symbol or term.local_symbol.startswith("∂"):
            return ""
        slope = self._partial(term.through, step.node.name)
        return rf"&\text{{with }} {slope} = {self._letters.translate(term.local_symbol)}"

    def _partial(self, above: str, below: str) -> str:
        over, under = self._letters[above], self._letters[below]
        return rf"\frac{{\partial {over}}}{{\partial {under}}}"


def _align(lines: Sequence[str]) -> list[str]:
    return [r"\begin{align*}", " \\\\\n".join(lines), r"\end{align*}"]


def _factor(value: Array) -> str:
    text = _number(value.item())
    return f"({text})" if text.startswith("-") else text


def _number(value: float) -> str:
    """At most six digits; a power of ten where Python writes one."""
    if not math.isfinite(value):
        names = {"nan": r"\mathrm{nan}", "inf": r"\infty", "-inf": r"-\infty"}
        return names[str(float(value))]
    digits, _, exponent = f"{value + 0.0:.6g}".partition("e")  # -0 is 0
    return rf"{digits} \cdot 10^{{{int(exponent)}}}" if exponent else digits


def _is_small(value: Array) -> bool:
    rows = value.shape[0] if value.ndim == 2 else 1
    return rows <= MAX_ROWS and (value.ndim == 0 or value.shape[-1] <= MAX_COLUMNS)


def _array(value: Array) -> str:
    """A number, all elements of a small array, or what a large one is like."""
    if value.ndim == 0:
        return _number(value.item())
    if _is_small(value):
        rows = [" & ".join(map(_number, row)) for row in np.atleast_2d(value).tolist()]
        return r"\begin{bmatrix} " + r" \\ ".join(rows) + r" \end{bmatrix}"
    shape = r" \times ".join(map(str, value.shape))
    low, high = _number(float(value.min())), _number(float(value.max()))
    norm = _number(float(np.linalg.norm(value.ravel())))
    return (
        rf"{shape} \text{{ values from }} {{{low}}} \text{{ to }} {{{high}}}\text{{, norm }} {norm}"
    )
