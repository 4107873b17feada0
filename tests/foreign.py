"""Kernels for another CPU, run by emulation: built for AArch64 and run by `qemu-aarch64`."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.engine.compiled.engine import CompiledEngine
from trainer.engine.compiled.kernels import Kernel
from trainer.engine.compiled.lowering import PASSES, PRODUCTS, lower, slots_of
from trainer.engine.compiled.multiply import products_text
from trainer.engine.compiled.target import Target, initialise_all, make_object
from trainer.engine.compiled.team import TEAM_SIZE
from trainer.graph.graph import Graph
from trainer.graph.ops import Array

AARCH64: Final = Target("aarch64-unknown-linux-gnu", "neoverse-n1", "")
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
MISSING: Final = [tool for tool in (COMPILER, EMULATOR) if shutil.which(tool) is None]

PROGRAM: Final = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
{declared}
static int64_t number(FILE *f) {{ int64_t x; if (fread(&x, 8, 1, f) != 1) exit(3); return x; }}
int main(int count, char **names) {{
  FILE *in = fopen(names[1], "rb"), *out = fopen(names[2], "wb");
  static int64_t work[4096], sizes[4096], team[{team}];
  int64_t kernel = number(in), arrays = number(in), numbers = number(in);
  work[0] = (int64_t)team;
  for (int64_t k = 1; k <= arrays; k++) {{
    sizes[k] = number(in);
    void *data = aligned_alloc(64, (sizes[k] + 127) / 64 * 64);
    if (sizes[k] && fread(data, 1, sizes[k], in) != (size_t)sizes[k]) exit(4);
    work[k] = (int64_t)data;
  }}
  for (int64_t k = 0; k < numbers; k++) work[1 + arrays + k] = number(in);
  void *products[] = {{ {products} }};
  for (int k = 0; k < {forms}; k++) work[1 + arrays + numbers + k] = (int64_t)products[k];
  int64_t (*kernels[])(int64_t *) = {{ {kernels} }};
  int64_t result = kernels[kernel](work);
  fwrite(&result, 8, 1, out);
  for (int64_t k = 1; k <= arrays; k++) fwrite((void *)work[k], 1, sizes[k], out);
  fclose(out);
  return 0;
}}
"""


class ForeignKernels:
    """What `Compiled` is for this CPU's machine code."""

    def __init__(self, kernels: Mapping[str, Kernel], dtype: str, target: Target = AARCH64) -> None:
        initialise_all()
        self.kernels = kernels
        self._folder = Path(tempfile.mkdtemp())
        text = lower([kernel.function for kernel in kernels.values()], dtype, target)
        forms = [f"product_{form}" for form in PRODUCTS]
        declared = [f"int64_t {name}(int64_t *);" for name in kernels]
        declared += [f"void {name}();" for name in forms]
        program = PROGRAM.format(
            declared="\n".join(declared), team=TEAM_SIZE, forms=len(forms),
            products=", ".join(forms), kernels=", ".join(kernels),
        )  # fmt: skip
        files = {
            "kernels.o": make_object(text, target, PASSES),
            "products.o": make_object(products_text(dtype, target), target),
            "main.c": program.encode(),
        }
        for name, data in files.items():
            (self._folder / name).write_bytes(data)
        command = [COMPILER, "-O1", "-static", "-no-pie", "-w", "-o", "kernels", *files]
        subprocess.run(command, cwd=self._folder, check=True)

    def call(
        self, name: str, arrays: Sequence[Array], numbers: Sequence[int], _pool: Any, _helpers: int
    ) -> int:
        function = self.kernels[name].function
        assert len(slots_of(function)) == 1 + len(arrays) + len(numbers) + len(PRODUCTS)
        given = self._folder / "in"
        with given.open("wb") as file:
            file.write(
                struct.pack("<3q", list(self.kernels).index(name), len(arrays), len(numbers))
            )
            for array in arrays:
                file.write(struct.pack("<q", array.nbytes))
                file.write(array.tobytes())
            file.write(struct.pack(f"<{len(numbers)}q", *numbers))
        command = [EMULATOR, "./kernels", "in", "out"]
        subprocess.run(command, cwd=self._folder, check=True, env={"PATH": os.environ["PATH"]})
        data = (self._folder / "out").read_bytes()
        (result,), at = struct.unpack_from("<q", data), 8
        for array in arrays:
            found = np.frombuffer(data, array.dtype, array.size, at).reshape(array.shape)
            array[...] = found
            at += array.nbytes
        return int(result)


def foreign_engine(graph: Graph, *sizes: int, **options: Any) -> CompiledEngine:
    """The compiled engine, with its kernels built for AArch64 and emulated."""
    engine = CompiledEngine(graph, *sizes, **options)
    engine.__dict__["usual"] = ForeignKernels(engine.usual.kernels, engine.dtype.name)
    return engine
