"""What memory holds, as far as the code of one block knows: what was stored need not be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from trainer.engine.compiled.arithmetic import Value
from trainer.engine.compiled.function import Function

Place: TypeAlias = tuple[str, int, int]  # array, offset, width


class Memory:
    """Values at known places of arrays, in the block that is being written."""

    def __init__(self, code: Function) -> None:
        self._code = code
        self._block = code.block
        self._held: dict[Place, Value] = {}

    def find(self, place: Place) -> Value | None:
        """The numbers at a place, if the block has them; one out of a vector, too."""
        held = self._fresh()
        found = held.get(place)
        if found is None and place[2] == 1:
            array, offset, _ = place
            for (other, start, width), value in held.items():
                if other == array and start <= offset < start + width:
                    return self._code.lane(value, offset - start)
        return found

    def note(self, place: Place, value: Value) -> None:
        """The numbers at a place were read."""
        self._fresh()[place] = value

    def write(self, place: Place, value: Value) -> None:
        """The numbers at a place are others now."""
        array, offset, width = place
        held = self._fresh()
        for other in list(held):
            name, start, length = other
            if name == array and start < offset + width and offset < start + length:
                del held[other]
        held[place] = value

    def forget(self, array: str) -> None:
        """Some numbers of an array may have changed."""
        held = self._fresh()
        for place in [place for place in held if place[0] == array]:
            del held[place]

    def _fresh(self) -> dict[Place, Value]:
        """What the block has: nothing of another one, whose values may not be there."""
        if self._code.block != self._block:
            self._block, self._held = self._code.block, {}
        return self._held


def offset_of(at: Sequence[Value], shape: Sequence[int | str]) -> int | None:
    """The offset of an element in its array; None where that is not known."""
    total = 0
    for axis, value in enumerate(at):
        if axis:
            size = shape[axis]
            if not isinstance(size, int):
                return None
            total *= size
        if value.known is None:
            return None
        total += int(value.known)
    return total
