"""Numba's compiler pipeline for kernels, with one promise more than usual."""

from __future__ import annotations

from numba.core.compiler import CompilerBase, DefaultPassBuilder


class NoAlias(CompilerBase):  # type: ignore[misc]  # Numba has no types
    """Arrays that a kernel is given never overlap; LLVM may vectorise without asking."""

    def define_pipelines(self) -> list[object]:
        """Numba's usual passes."""
        self.state.flags.noalias = True
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]
