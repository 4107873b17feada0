"""Small matrix products, written out within a kernel: a call would cost more than they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from trainer.engine.compiled.arithmetic import Value
from trainer.engine.compiled.lanes import LaneVectors
from trainer.engine.compiled.looping import chunks
from trainer.graph.loops import LANES, Product

if TYPE_CHECKING:
    from trainer.engine.compiled.body import Body

CHAIN: Final = 256  # places of the inner axis that are one chain
UNROLLED: Final = 16  # as many are written out, and as many rows
Step = Callable[[Value, Value], Value]


def write_small_product(body: Body, product: Product) -> None:
    """The product in loops, in the canonical order: for every element a chain of `fma` over 256
    places of the inner axis, from 0, and the chains added in order; for one column in lanes.
    """
    _Small(body, product).write()


class _Small:
    def __init__(self, body: Body, product: Product) -> None:
        self._body = body
        self._code = body.code
        self._product = product
        self._m, self._n, self._k = (
            body.term(size) for size in (product.m, product.n, product.k)
        )  # fmt: skip

    def write(self) -> None:
        """All elements."""
        if self._product.form == "column":
            self._each(self._m, self._lanes)
        elif self._product.form == "tn" and self._n.known == 1:
            zero = self._code.whole(0)
            self._across(self._m, lambda i, width, mask: self._element(i, zero, width, mask, True))
        else:
            self._each(self._m, self._row)

    # Loops -----------------------------------------------------------------------------------

    def _each(self, count: Value, write: Callable[[Value], None]) -> None:
        """For every place, one by one."""
        code, known = self._code, count.known
        if known is not None and known * (self._k.known or UNROLLED) <= UNROLLED:
            for row in range(int(known)):
                write(code.whole(row))
            return
        with code.each(count) as place:
            write(place)

    def _across(self, count: Value, write: Callable[[Value, int, Value | None], None]) -> None:
        """For every place, in vectors where their number is known."""
        code = self._code
        if count.known is None:
            with code.each(count) as place:
                write(place, 1, None)
            return
        for start, width, mask in chunks(code, int(count.known), self._body.full):
            write(code.whole(start), width, mask)

    def _row(self, i: Value) -> None:
        turned = self._product.form[1] == "t"
        narrow = self._body.shape(self._product.b.array)[-1] == 1
        if turned and not narrow:
            with self._code.each(self._n) as j:
                self._element(i, j, 1, None, False)
        else:
            self._across(self._n, lambda j, width, mask: self._element(i, j, width, mask, False))

    # Elements --------------------------------------------------------------------------------

    def _element(
        self, i: Value, j: Value, width: int, mask: Value | None, down: bool
    ) -> None:  # fmt: skip
        """The elements from (i, j) on: a row's, or with `down` those below."""
        code = self._code

        def step(k: Value, total: Value) -> Value:
            a = self._left(i, k, width if down else 1, mask if down else None)
            b = self._right(k, j, 1 if down else width, None if down else mask)
            return code.fma(a, b, total)

        value = self._sum(step, width)
        self._body.store_at(self._product.out, (i, j), value, mask)

    def _sum(self, step: Step, width: int) -> Value:
        """The chains over the inner axis, added in order."""
        code, k = self._code, self._k
        zero = code.number(0.0, width)
        if k.known is not None and k.known <= UNROLLED:
            total = zero
            for place in range(int(k.known)):
                total = step(code.whole(place), total)
            return total
        chain, total_at = (code.array(1, width) for _ in range(2))
        if k.known is not None and k.known <= CHAIN:
            self._chain(step, code.whole(0), k, chain, width)
            return code.load(chain, width)
        code.store(zero, total_at)
        with code.each(k, CHAIN) as start:
            self._chain(step, start, k.or_less(start + CHAIN), chain, width)
            value = code.load(chain, width)
            total = start.equals(0).choose(value, code.load(total_at, width) + value)
            code.store(total, total_at)
        return code.load(total_at, width)

    def _chain(self, step: Step, start: Value, stop: Value, at: Value, width: int) -> None:
        code = self._code
        code.store(code.number(0.0, width), at)
        with code.each(stop, start=start) as k:
            code.store(step(k, code.load(at, width)), at)

    def _lanes(self, i: Value) -> None:
        """An element of one column: the places of the inner axis in lanes."""
        used = int(self._k.known or LANES)
        lanes = LaneVectors(self._code, self._body.full, greatest=False, used=used)
        lanes.clear()
        known = self._k.known
        assert known is not None  # the inner axis of a column is one of features
        for place, width, mask in chunks(self._code, int(known), self._body.full):
            k = self._code.whole(place)
            a, b = self._left(i, k, width, mask), self._right_of_column(k, width, mask)
            lanes.add_multiplied(a, b, place % LANES, mask)
        self._body.store_at(self._product.out, (i, self._code.whole(0)), lanes.total(), None)

    def _left(self, i: Value, k: Value, width: int, mask: Value | None) -> Value:
        at = (k, i) if self._product.form[0] == "t" else (i, k)
        return self._body.load_at(self._product.a, at, width, mask)

    def _right(self, k: Value, j: Value, width: int, mask: Value | None) -> Value:
        at = (j, k) if self._product.form[1] == "t" else (k, j)
        return self._body.load_at(self._product.b, at, width, mask)

    def _right_of_column(self, k: Value, width: int, mask: Value | None) -> Value:
        """Of b, which lies in memory as one row, whichever way it is read."""
        b = self._product.b
        column = self._body.shape(b.array)[-1] == 1
        zero = self._code.whole(0)
        return self._body.load_at(b, (k, zero) if column else (zero, k), width, mask)
