"""Work that is shared among threads, from within compiled code.

A kernel posts a job of so many pieces, works on them itself, and waits until all are done; other
threads, which stay until the kernel ends, take pieces as they come. Which thread takes which
piece is left to chance, so a piece must not depend on another one. A thread that sleeps, or that
never came, costs nothing: the others take its pieces. Hence a job may be as short as a few µs,
where a parallel region of OpenMP, which waits for every thread, needs fifty.

A team is an int64 array of `TEAM_SIZE`, zeros at first. Its ticket holds the number of the job
and of the pieces that nobody took yet, so that a late thread cannot take a piece of another job.
What is read and written in between keeps its side, since every change of a team's place is
sequentially consistent.
"""

from __future__ import annotations

from typing import Final

# Places in the team's array, far enough apart that threads do not fight over a cache line.
TICKET: Final = 0
DONE: Final = 16
JOB, CAPTURED, PIECES = 32, 33, 34
TEAM_SIZE: Final = 48

ENDED: Final = -1
SPINS: Final = 500  # looks before a waiting thread lets others run: some 10 µs

PAUSES: Final = {
    "x86": "call void @llvm.x86.sse2.pause()", "aarch64": "call void @llvm.aarch64.hint(i32 1)",
}  # fmt: skip
"""The instruction that lets the core's other thread run, by the first word of a triple."""
_TEXT: Final = f"""
declare i32 @sched_yield()

; Whoever is called with an array may keep it: other threads change it too, while this one waits.
define internal void @team.expose(ptr %array) noinline #0 {{
  ret void
}}

; Offers the pieces of a job, numbered from 0, and what they read; the last job must be done.
define internal void @team.post(ptr %team, i64 %job, i64 %pieces, ptr %captured) #0 {{
  %job.at = getelementptr inbounds i64, ptr %team, i64 {JOB}
  %captured.at = getelementptr inbounds i64, ptr %team, i64 {CAPTURED}
  %pieces.at = getelementptr inbounds i64, ptr %team, i64 {PIECES}
  %done.at = getelementptr inbounds i64, ptr %team, i64 {DONE}
  store i64 %job, ptr %job.at, align 8
  store ptr %captured, ptr %captured.at, align 8
  store i64 %pieces, ptr %pieces.at, align 8
  store atomic i64 0, ptr %done.at seq_cst, align 8
  %before = load atomic i64, ptr %team seq_cst, align 8
  %number = lshr i64 %before, 32
  %next = add i64 %number, 1
  %high = shl i64 %next, 32
  %ticket = or i64 %high, %pieces
  store atomic i64 %ticket, ptr %team seq_cst, align 8
  ret void
}}

; The number of a piece that nobody else gets, or -1 when there is none. With `stay` it waits for
; the next job, and is -1 once the kernel has ended.
define internal i64 @team.take(ptr %team, i64 %stay) #0 {{
entry:
  %stays = icmp ne i64 %stay, 0
  br label %again
again:
  %spins = phi i64 [ 0, %entry ], [ %spins, %swap ], [ %more, %spin ], [ %spins, %yield ]
  %ticket = load atomic i64, ptr %team seq_cst, align 8
  %left = and i64 %ticket, {2**32 - 1}
  %some = icmp ne i64 %left, 0
  %ended = icmp slt i64 %ticket, 0
  %hope = or i1 %some, %stays
  %no.hope = xor i1 %hope, true
  %leave = or i1 %ended, %no.hope
  br i1 %leave, label %nothing, label %look
nothing:
  ret i64 -1
look:
  br i1 %some, label %swap, label %idle
swap:
  %less = sub i64 %ticket, 1
  %pair = cmpxchg ptr %team, i64 %ticket, i64 %less seq_cst seq_cst, align 8
  %won = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %won, label %mine, label %again
mine:
  %piece = sub i64 %left, 1
  ret i64 %piece
idle:
  %fast = icmp slt i64 %spins, {SPINS}
  br i1 %fast, label %spin, label %yield
spin:
  %more = add i64 %spins, 1
  PAUSE
  br label %again
yield:
  %ignored = call i32 @sched_yield()
  br label %again
}}

; Says that a piece that was taken is done.
define internal void @team.finish(ptr %team) #0 {{
  %done.at = getelementptr inbounds i64, ptr %team, i64 {DONE}
  %before = atomicrmw add ptr %done.at, i64 1 seq_cst, align 8
  ret void
}}

; Waits until all pieces of the job are done.
define internal void @team.wait(ptr %team) #0 {{
entry:
  %done.at = getelementptr inbounds i64, ptr %team, i64 {DONE}
  %pieces.at = getelementptr inbounds i64, ptr %team, i64 {PIECES}
  br label %again
again:
  %spins = phi i64 [ 0, %entry ], [ %more, %spin ], [ %more, %yield ]
  %done = load atomic i64, ptr %done.at seq_cst, align 8
  %pieces = load i64, ptr %pieces.at, align 8
  %all = icmp eq i64 %done, %pieces
  br i1 %all, label %over, label %not.yet
not.yet:
  %more = add i64 %spins, 1
  %fast = icmp slt i64 %more, {SPINS}
  br i1 %fast, label %spin, label %yield
spin:
  PAUSE
  br label %again
yield:
  %ignored = call i32 @sched_yield()
  br label %again
over:
  ret void
}}
"""


def team_text(triple: str) -> str:
    """The functions of a team for a kind of machine."""
    family = next((name for name in PAUSES if triple.startswith(name)), None)
    text = _TEXT.replace("PAUSE", PAUSES[family] if family else "")
    declared = {
        "x86": "declare void @llvm.x86.sse2.pause()",
        "aarch64": "declare void @llvm.aarch64.hint(i32)",
    }
    return text + (declared[family] + "\n" if family else "")
