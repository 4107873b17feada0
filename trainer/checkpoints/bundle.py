"""The trained model in the folder of its run: what one must know of it to make other models of it.

Beside it lie its code, which needs NumPy and pandas alone, and its numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from trainer.checkpoints.disk import damaged, read_within, told_of
from trainer.checkpoints.seal import sealed, unsealed
from trainer.stored import from_json

CODE: Final = "model.py"
WEIGHTS: Final = "weights.safetensors"
ABOUT: Final = "model.json"


@dataclass(frozen=True)
class Bundle:
    """What goes into a model and comes out. `kind` is `classifier` or `regressor`; `texts` are the
    inputs with categories that are no numbers; `outputs` has the type of each column by name
    (`double`, `float`, `long`, `boolean`, `string`). `example` holds some raw rows by column,
    `predicted` what the model says of them. `epoch` is the one after which the parameters were so.
    """

    kind: str
    inputs: list[str]
    texts: list[str]
    outputs: Mapping[str, str]
    example: Mapping[str, list[Any]]
    predicted: Mapping[str, list[Any]]
    epoch: int

    def write(self, folder: Path) -> None:
        """Keeps it in the folder of the model. Raises `OSError`."""
        (folder / ABOUT).write_bytes(sealed(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> Bundle:
        """What `write` kept. Raises `CheckpointError`."""
        with told_of(folder / ABOUT):
            data = read_within(folder, ABOUT)
        try:
            return from_json(cls, unsealed(data))
        except (ValueError, RecursionError) as error:
            raise damaged(folder / ABOUT, error) from None
