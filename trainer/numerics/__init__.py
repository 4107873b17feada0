"""Arithmetic that is the same on every CPU: elementary functions, sums, draws.

`docs/numerics.md` says which operation comes when.
"""

from typing import Final

EDITION: Final = 2
"""Of the page: a larger one where the same run has other bits."""
