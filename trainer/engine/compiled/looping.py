"""How a loop is written: in vectors where its places are computed each by itself, else one by one.

Which it is changes no bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from trainer.engine.compiled.arithmetic import Value
from trainer.engine.compiled.function import Function
from trainer.engine.compiled.vectors import hoistable, vectorises
from trainer.graph.loops import (
    LANES,
    Add,
    Apply,
    For,
    If,
    Name,
    Pairwise,
    Product,
    Remark,
    Share,
    Statement,
    Whole,
)

if TYPE_CHECKING:
    from trainer.engine.compiled.body import Body

STRAIGHT: Final = 4  # as many vectors are written out one by one
FEW, UNROLLED = 8, 48  # turns of a small loop that are, and statements


def write_loop(body: Body, loop: For) -> None:
    """A loop, as quick as its statements allow, or where it is made soon in few words."""
    first, last = body.term(loop.start), body.term(loop.stop)
    length, soon = length_of(loop), body.kernel.soon
    if length is not None and length <= 0:
        return
    if length == 1:
        _one(body, loop, first)
    elif not soon and vectorises(loop, body.shape):
        with body.block():
            for term in hoistable(loop, body.shape):
                body.hoist(term)
            if length is not None:
                _in_vectors(body, loop, first, length)
            else:
                _under_masks(body, loop, first, last)
    elif not soon and length is not None and _is_small(loop, length):
        for k in range(length):
            _one(body, loop, first + k)
    else:
        _one_by_one(body, loop, first, last)


def _is_small(loop: For, length: int) -> bool:
    """Whether it is better written out."""
    return length <= FEW and _size(loop.body) * length <= UNROLLED


def _one(body: Body, loop: For, place: Value) -> None:
    """The statements at one place."""
    with body.block():
        body.env[loop.index] = place
        body.run(loop.body)


def _one_by_one(body: Body, loop: For, first: Value, last: Value) -> None:
    """Lanes that are added to are in memory meanwhile, since the place is not known."""
    added = [body.lanes[each.lanes.name] for each in loop.body if isinstance(each, Add)]
    for lanes in added:
        lanes.to_memory()
    with body.block(), body.code.each(last, start=first) as place:
        body.env[loop.index] = place
        body.run(loop.body)
    for lanes in added:
        lanes.from_memory()


def _in_vectors(body: Body, loop: For, first: Value, length: int) -> None:
    """Whole vectors, in a loop where there are many, then what is left over. Where lanes are added
    to, what comes before the first place of a new round of lanes comes by itself.
    """
    code, full = body.code, body.full
    adds = [body.lanes[each.lanes.name] for each in loop.body if isinstance(each, Add)]
    start = int(first.known or 0)  # one that is not known is that of a segment
    done = 0

    def at(place: int, width: int, mask: Value | None) -> None:
        with body.wide(loop.index, first + place, width, mask, lane=start + place):
            body.run(loop.body)

    if adds:
        done = min(length, -start % LANES)
        for place, width in _aligned(start, start + done):
            at(place - start, width, None)
    count = (length - done) // full
    if count > STRAIGHT:
        begin = first + done
        with (
            code.each(begin + count * full, full, start=begin) as turn,
            body.wide(loop.index, turn, full, None, lane=None),
        ):
            body.run(loop.body)
        for lanes in adds:
            lanes.straighten(count)
        done += count * full
    for offset, width, mask in chunks(code, length, full, done):
        at(offset, width, mask)


def _under_masks(body: Body, loop: For, first: Value, last: Value) -> None:
    """Whole vectors, of which the last ones have places that do not count."""
    code, full = body.code, body.full
    step = LANES if any(isinstance(each, Add) for each in loop.body) else full
    stop = first + ((last - first + (step - 1)) & -step)
    limit = code.splat(last, full)
    with code.each(stop, full, start=first) as place:
        mask = code.places(place, full) < limit
        with body.wide(loop.index, place, full, mask, lane=None):
            body.run(loop.body)


def length_of(loop: For) -> int | None:
    """How many places a loop has, where that is known."""
    match loop.start, loop.stop:
        case Whole(first), Whole(last):
            return last - first
        case first, Apply("add", (begin, Whole(length))) if begin == first:
            return length
    return None


def used_lanes(body: Sequence[Statement]) -> dict[str, int]:
    """How many lanes of each name are added to at most: the places of the loops around."""
    used: dict[str, int] = {}
    lengths: dict[str, int] = {}

    def look(statements: Sequence[Statement]) -> None:
        for each in statements:
            match each:
                case Add(lanes, Name(index), _):
                    used[lanes.name] = max(used.get(lanes.name, 1), lengths.get(index, LANES))
                case Add(lanes, Whole(place), _):
                    used[lanes.name] = max(used.get(lanes.name, 1), place + 1)
                case Add(lanes, _, _):
                    used[lanes.name] = LANES
                case For(index, start, _, inner):
                    length = length_of(each)
                    known = length is not None and start == Whole(0)
                    lengths[index] = min(LANES, length or 1) if known else LANES
                    look(inner)
                case If(body=inner) | Share(body=inner):
                    look(inner)

    look(body)
    return {name: min(LANES, count) for name, count in used.items()}


def _size(body: Sequence[Statement]) -> int:
    """About how many statements a body is when its loops are written out."""
    size = 0
    for each in body:
        match each:
            case For(body=inner):
                length = length_of(each)
                size += UNROLLED + 1 if length is None else _size(inner) * -(-length // FEW)
            case If() | Share() | Product() | Pairwise():
                size += UNROLLED + 1
            case Remark():
                pass
            case _:
                size += 1
    return size


def chunks(
    code: Function, length: int, full: int, done: int = 0
) -> Iterator[tuple[int, int, Value | None]]:
    """Where the vectors for so many places begin, how wide they are, and their masks: powers of
    two where two of them are enough for what is left over, else one under a mask.
    """
    while length - done >= full:
        yield done, full, None
        done += full
    left = length - done
    if left.bit_count() <= 2:
        while left:
            width = 1 << (left.bit_length() - 1)
            yield done, width, None
            done, left = done + width, left - width
    elif left:
        width = 1 << left.bit_length()
        yield done, width, code.vector("bool", (k < left for k in range(width)))


def _aligned(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Powers of two that each begin at a multiple of themselves."""
    while start < stop:
        width = start & -start
        while start + width > stop:
            width //= 2
        yield start, width
        start += width
