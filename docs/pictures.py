"""Renews the pictures of the documentation that are photographs: `python docs/pictures.py`.

They are what the tests in `tests/browser/` saw last and kept in `.screenshots/`, so run these
before; and the picture of a cross-validation, which is trained here. Drawings (`*.svg`) are made by
`train explain --svg` and `docs/house.py`, and tests compare them.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from PIL import Image

from trainer import Profile, crossval, load_spec

ROOT: Final = Path(__file__).parents[1]
IMAGES: Final = ROOT / "docs" / "images"
COLOURS: Final = 128

PHOTOGRAPHS: Final = {
    "charts": ("view_charts", 1200, 666),
    "compare": ("compare", 1200, 666),
    "explain": ("explain_two_paths", 1100, 462),
    "service_editor": ("service_mistakes", 1050, 585),
    "service_job": ("service_running", 1050, 675),
}
"""By picture: what the tests call it, and its width and height here; what is below that is cut."""


def photographs() -> None:
    """Small copies of what the browser showed."""
    for name, (seen, width, height) in PHOTOGRAPHS.items():
        shot = Image.open(ROOT / ".screenshots" / f"{seen}.png").convert("RGB")
        small = shot.resize(
            (width, round(shot.height * width / shot.width)), Image.Resampling.LANCZOS
        )
        cut = small.crop((0, 0, width, height)).quantize(COLOURS)
        cut.save(IMAGES / f"{name}.png", optimize=True)


def folds() -> None:
    """The picture that a cross-validation leaves: docs/crossval.md."""
    with TemporaryDirectory() as runs:
        spec = load_spec(ROOT / "configs" / "iris.yaml")
        crossval(spec, 5, profile=Profile(runs=Path(runs), record=False))
        (picture,) = Path(runs).glob("*/files/plots/folds.png")
        (IMAGES / "folds.png").write_bytes(picture.read_bytes())


if __name__ == "__main__":
    photographs()
    folds()
