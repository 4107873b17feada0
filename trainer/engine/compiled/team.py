"""Work that is shared among threads, from within compiled code.

A kernel posts a job of so many pieces, works on them itself, and waits until all are done; other
threads, which stay until the kernel ends, take pieces as they come. Which thread takes which
piece is left to chance, so a piece must not depend on another one. A thread that sleeps, or that
never came, costs nothing: the others take its pieces. Hence a job may be as short as a few µs,
where a parallel region of OpenMP, which waits for every thread, needs fifty.

A team is an int64 array of `TEAM_SIZE`, zeros at first. Its ticket holds the number of the job
and of the pieces that nobody took yet, so that a late thread cannot take a piece of another job.
"""

from __future__ import annotations

from typing import Any, Final

from llvmlite import binding, ir
from numba import njit, types
from numba.extending import intrinsic

# Places in the team's array, far enough apart that threads do not fight over a cache line.
TICKET: Final = 0
DONE: Final = 16
JOB, BEGIN, ROWS, PIECES = 32, 33, 34, 35
TEAM_SIZE: Final = 48

ENDED: Final = -1
LEFT: Final = 2**32 - 1  # the bits of a ticket that count the pieces
SPINS: Final = 500  # looks before a waiting thread lets others run: some 10 µs

binding.initialize_native_asmparser()  # for the fences below
_INT64 = ir.IntType(64)
_yield = types.ExternalFunction("sched_yield", types.int32())


@intrinsic
def expose(typing_context: Any, values: Any) -> Any:
    """Tells LLVM that other threads, too, change the arrays among the values of a tuple, wherever
    this one waits for them.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        for k, kind in enumerate(signature.args[0]):
            if isinstance(kind, types.Array):
                array = builder.extract_value(arguments[0], k)
                data = context.make_array(kind)(context, builder, array).data
                function = ir.FunctionType(ir.VoidType(), [data.type])
                builder.asm(function, "", "r,~{memory}", [data], side_effect=True)
        return context.get_dummy_value()

    return types.void(values), generate


def _place(context: Any, builder: Any, array_type: Any, array: Any, index: int) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [ir.Constant(_INT64, index)])


def _fence(builder: Any) -> None:
    """Keeps LLVM from moving reads and writes of memory to the other side."""
    builder.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], side_effect=True)


def _atomic(index: int, operation: str) -> Any:
    """An atomic operation on one place of a team."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = _place(context, builder, signature.args[0], values[0], index)
        _fence(builder)
        match operation:
            case "load":
                value = builder.load_atomic(place, "seq_cst", 8)
            case "store":
                builder.store_atomic(values[1], place, "seq_cst", 8)
                value = context.get_dummy_value()
            case "add":
                value = builder.atomic_rmw("add", place, values[1], "seq_cst")
            case _:
                pair = builder.cmpxchg(place, values[1], values[2], "seq_cst", "seq_cst")
                value = builder.extract_value(pair, 1)
        _fence(builder)
        return value

    return generate


@intrinsic
def _ticket(typing_context: Any, team: Any) -> Any:
    return types.int64(team), _atomic(TICKET, "load")


@intrinsic
def _swap_ticket(typing_context: Any, team: Any, old: Any, new: Any) -> Any:
    return types.boolean(team, types.int64, types.int64), _atomic(TICKET, "swap")


@intrinsic
def _done(typing_context: Any, team: Any) -> Any:
    return types.int64(team), _atomic(DONE, "load")


@intrinsic
def _add_done(typing_context: Any, team: Any, value: Any) -> Any:
    return types.int64(team, types.int64), _atomic(DONE, "add")


@intrinsic
def _pause(typing_context: Any) -> Any:
    """Lets the other thread of the core run for a moment, where there is one."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        text = "pause" if builder.module.triple.startswith("x86") else ""
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.asm(kind, text, "~{memory}", [], side_effect=True)
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def post(
    typing_context: Any, team: Any, job: Any, pieces: Any, begin: Any, rows: Any
) -> Any:  # fmt: skip
    """Offers the pieces of a job, numbered from 0; the last job must be done."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        team, *numbers = values
        pieces = numbers[1]
        for index, number in zip((JOB, PIECES, BEGIN, ROWS), numbers, strict=True):
            builder.store(number, _place(context, builder, signature.args[0], team, index))
        _atomic(DONE, "store")(context, builder, signature, [team, ir.Constant(_INT64, 0)])
        before = _atomic(TICKET, "load")(context, builder, signature, [team])
        job = builder.add(builder.lshr(before, ir.Constant(_INT64, 32)), ir.Constant(_INT64, 1))
        ticket = builder.or_(builder.shl(job, ir.Constant(_INT64, 32)), pieces)
        _atomic(TICKET, "store")(context, builder, signature, [team, ticket])
        return context.get_dummy_value()

    return types.void(team, *[types.int64] * 4), generate


@njit
def take(team: Any, stay: int) -> Any:
    """The number of a piece that nobody else gets, or -1 when there is none.

    With `stay` it waits for the next job, and is -1 once the kernel has ended.
    """
    spins = 0
    while True:
        ticket = _ticket(team)
        left = ticket & LEFT
        if ticket < 0 or not (left or stay):
            return -1
        if left:
            if _swap_ticket(team, ticket, ticket - 1):
                return left - 1
        elif spins < SPINS:
            spins += 1
            _pause()
        else:
            _yield()


@njit
def finish(team: Any) -> None:
    """Says that a piece that was taken is done."""
    _add_done(team, 1)


@njit
def wait(team: Any) -> None:
    """Waits until all pieces of the job are done."""
    spins = 0
    while _done(team) != team[PIECES]:
        spins += 1
        if spins < SPINS:
            _pause()
        else:
            _yield()
