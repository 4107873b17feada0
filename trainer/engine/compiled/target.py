"""The CPU that kernels are made for, and the way from LLVM's text to code that can be called.

LLVM selects instructions and allocates registers; what is computed in which order is in the text.
Hence no pass that may change a result is run, and another CPU means other instructions for the
same operations.
"""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from functools import cache
from typing import Final

from llvmlite import binding as llvm

from trainer.errors import TrainerError

VARIABLE: Final = "TRAINER_CPU"
_FMA: Final = """
define double @f(double %a, double %b, double %c) {
  %r = call double @llvm.fma.f64(double %a, double %b, double %c)
  ret double %r
}
declare double @llvm.fma.f64(double, double, double)
"""


@dataclass(frozen=True)
class Target:
    """A kind of CPU: LLVM's triple, name and features."""

    triple: str
    cpu: str
    features: str

    @property
    def vector_bytes(self) -> int:
        """How wide vectors are written: 64 where it has registers of 512 bits, else 32. Narrower
        registers take several.
        """
        return 64 if "zmm" in _assembly_of_wide(self) else 32


@cache
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@cache
def initialise_all() -> None:
    """Lets LLVM make code for other kinds of CPU than this machine's, too."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def host_target() -> Target:
    """The CPU of this machine, or the one that `TRAINER_CPU` names, as LLVM does: `haswell`.

    Raises `TrainerError` for a CPU that cannot fuse a multiplication and an addition: without that
    the same bits would take a hundred times as long.
    """
    _initialise()
    named = os.environ.get(VARIABLE)
    triple = llvm.get_process_triple()
    if named:
        # LLVM ends the process for a name that it does not know, unless told that it has 64 bits
        target = Target(triple, named, "+64bit" if triple.startswith("x86_64") else "")
    else:
        features = llvm.get_host_cpu_features().flatten()
        target = Target(triple, llvm.get_host_cpu_name(), features)
    if not can_fuse(target):
        what = f"the CPU '{named}' ({VARIABLE}), if LLVM knows it," if named else "this CPU"
        raise TrainerError(
            f"{what} cannot fuse a multiplication and an addition, which compiled kernels need: "
            "x86-64-v3 (of about 2013) and later can, and 64-bit ARM; --engine reference trains "
            "without",
            code="TR-M007",
        )
    return target


@cache
def can_fuse(target: Target) -> bool:
    """Whether the CPU has an instruction for a fused multiply-add."""
    return "fmadd" in assembly(_FMA, target)


@cache
def _assembly_of_wide(target: Target) -> str:
    text = """
define <8 x double> @f(ptr %a) {
  %r = load <8 x double>, ptr %a, align 8
  %s = fadd <8 x double> %r, %r
  ret <8 x double> %s
}
"""
    return assembly(text, target)


def make_object(text: str, target: Target, passes: tuple[str, ...] = (), level: int = 1) -> bytes:
    """The object file of LLVM's text; `level` is that of code generation.

    Raises `RuntimeError` with LLVM's words where the text is wrong, which is a mistake of ours.
    """
    _initialise()
    collecting = gc.isenabled()
    gc.disable()  # many small objects, none of them in cycles
    try:
        machine = _machine(target, level)
        made: bytes = machine.emit_object(_module(text, machine, passes))
        return made
    finally:
        if collecting:
            gc.enable()


def assembly(text: str, target: Target, passes: tuple[str, ...] = (), level: int = 1) -> str:
    """The same as assembly, to be read."""
    _initialise()
    machine = _machine(target, level)
    made: str = machine.emit_assembly(_module(text, machine, passes))
    return made


class Code:
    """An object file in memory, ready to be called; it stays as long as this object does."""

    def __init__(self, data: bytes, target: Target) -> None:
        _initialise()
        machine = _machine(target, 1)
        empty = llvm.parse_assembly("")
        empty.triple = machine.triple
        empty.data_layout = str(machine.target_data)
        self._engine = llvm.create_mcjit_compiler(empty, machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(data))
        self._engine.finalize_object()

    def address(self, function: str) -> int:
        """Where a function of the object file begins."""
        found = int(self._engine.get_function_address(function))
        if not found:
            raise RuntimeError(f"the code has no function '{function}'")
        return found


def _machine(target: Target, level: int) -> llvm.TargetMachine:
    found = llvm.Target.from_triple(target.triple)
    return found.create_target_machine(
        cpu=target.cpu, features=target.features, opt=level, jit=True,
        reloc="default", codemodel="jitdefault",
    )  # fmt: skip


def _module(text: str, machine: llvm.TargetMachine, passes: tuple[str, ...]) -> llvm.ModuleRef:
    module = llvm.parse_assembly(text)
    module.verify()  # LLVM ends the process for what is wrong and not noticed here
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    if passes:
        options = llvm.create_pipeline_tuning_options(speed_level=1)
        options.loop_vectorization = options.slp_vectorization = False
        builder = llvm.create_pass_builder(machine, options)
        manager = llvm.create_new_module_pass_manager()
        for name in passes:
            getattr(manager, f"add_{name}_pass")()
        manager.run(module, builder)
    return module
