"""Lanes in registers: 32 sums that run apart, as a few vectors."""

from __future__ import annotations

from collections.abc import Iterator

from trainer.engine.compiled.arithmetic import Value
from trainer.engine.compiled.function import Function
from trainer.graph.loops import LANES


class LaneVectors:
    """The lanes of a sum (or of greatest values), in memory of the function's own, which LLVM
    keeps in registers, in vectors of at most `width`.

    No more than the first `used` are ever added to: the others hold what changes nothing, and
    need not be there.
    """

    def __init__(
        self, code: Function, width: int, greatest: bool, used: int = LANES
    ) -> None:  # fmt: skip
        self._code = code
        held = 1 << (min(used, LANES) - 1).bit_length()
        self.width = min(width, held)
        self._greatest = greatest
        self._array: Value | None = None  # of all, while they are added to one at a time
        self._vectors = [code.array(1, self.width) for _ in range(held // self.width)]

    def nothing(self, width: int) -> Value:
        """What changes nothing when it is added, in so many lanes."""
        return self._code.number(-float("inf") if self._greatest else 0.0, width)

    def clear(self) -> None:
        """Begins anew."""
        for place in self._vectors:
            self._code.store(self.nothing(self.width), place)

    def add(self, value: Value, lane: int) -> None:
        """To the lanes from `lane` on, as many as the value has."""
        vector, within = divmod(lane, self.width)
        self._into(self._vectors[vector], self._padded(value, within))

    def add_and_rotate(self, value: Value) -> None:
        """To the first vector, which then becomes the last: the next one is added to the next."""
        code, vectors = self._code, self._vectors
        self._into(vectors[0], value)
        if len(vectors) > 1:
            held = [code.load(place, self.width) for place in vectors]
            for place, moved in zip(vectors, [*held[1:], held[0]], strict=True):
                code.store(moved, place)

    def straighten(self, turns: int) -> None:
        """Undoes the rotation of so many turns."""
        code, vectors = self._code, self._vectors
        back = -turns % len(vectors)
        if back:
            held = [code.load(place, self.width) for place in vectors]
            for place, moved in zip(vectors, [*held[back:], *held[:back]], strict=True):
                code.store(moved, place)

    def add_multiplied(self, a: Value, b: Value, lane: int, mask: Value | None) -> None:
        """`fma(a, b, lanes)` from the lane on, where the mask says so; the others stay."""
        code, width = self._code, a.lanes
        vector, within = divmod(lane, self.width)
        place = self._vectors[vector]
        old = code.load(place, self.width)
        part = old
        if width < self.width:
            part = code.shuffle(old, None, range(within, within + width))
        new = code.fma(a, b, part)
        if mask is not None:
            new = mask.choose(new, part)
        code.store(new if width == self.width else self._put(old, new, within), place)

    def _put(self, vector: Value, part: Value, within: int) -> Value:
        code, width = self._code, self.width
        if part.lanes == 1:
            return code.replaced(vector, within, part)
        wide = code.shuffle(part, None, [min(k, part.lanes - 1) for k in range(width)])
        inside = range(within, within + part.lanes)
        return code.shuffle(
            vector, wide, [width + k - within if k in inside else k for k in range(width)]
        )

    def to_memory(self) -> None:
        """Keeps the lanes in an array, for who adds to one at a time, until `from_memory`."""
        self._array = self._code.array(LANES)
        for place, in_array in self._in_array(self._array):
            self._code.store(self._code.load(place, self.width), in_array)

    def from_memory(self) -> None:
        """Takes the lanes back."""
        assert self._array is not None
        for place, in_array in self._in_array(self._array):
            self._code.store(self._code.load(in_array, self.width), place)
        self._array = None

    def add_at(self, value: Value, place: Value) -> None:
        """A number, at a place that is known, or that is not while the lanes are in memory.

        Raises `ValueError` for one that is not known otherwise.
        """
        code = self._code
        if self._array is not None:
            at = code.at(self._array, place & (LANES - 1))
            code.store(self.combined(code.load(at), value), at)
        elif place.known is not None:
            self.add(value, int(place.known) % LANES)
        else:
            raise ValueError("the place is not known")

    def combined(self, a: Value, b: Value) -> Value:
        """The sum of two values, or the greater one."""
        if self._greatest:
            return (b > a).choose(b, a)
        return a + b

    def total(self) -> Value:
        """The lanes' one number, by halves."""
        code = self._code
        vectors = [code.load(place, self.width) for place in self._vectors]
        while len(vectors) > 1:
            half = len(vectors) // 2
            pairs = zip(vectors[:half], vectors[half:], strict=True)
            vectors = [self.combined(a, b) for a, b in pairs]
        [value] = vectors
        lanes = self.width
        while lanes > 1:
            lanes //= 2
            low = code.shuffle(value, None, range(lanes))
            high = code.shuffle(value, None, range(lanes, 2 * lanes))
            value = self.combined(low, high)
        return value

    def _in_array(self, array: Value) -> Iterator[tuple[Value, Value]]:
        for k, place in enumerate(self._vectors):
            yield place, self._code.at(array, k * self.width)

    def _into(self, place: Value, value: Value) -> None:
        code = self._code
        code.store(self.combined(code.load(place, self.width), value), place)

    def _padded(self, value: Value, within: int) -> Value:
        """The value at its place in a vector, with what changes nothing around it."""
        if value.lanes == self.width:
            return value
        code, width = self._code, self.width
        if value.lanes == 1:
            return code.replaced(self.nothing(width), within, value)
        wide = code.shuffle(value, None, [min(k, value.lanes - 1) for k in range(width)])
        inside = range(within, within + value.lanes)
        places = [k - within if k in inside else width for k in range(width)]
        return code.shuffle(wide, self.nothing(width), places)
