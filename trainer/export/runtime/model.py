"""Which functions a program uses where models differ; here those of the example."""

from __future__ import annotations

from trainer.export.runtime.answers import of_numbers
from trainer.export.runtime.columns import unchanged
from trainer.export.runtime.plain_cells import check_plain, plain_numbers
from trainer.export.runtime.scales import unscaled

numbers = plain_numbers
expand = unchanged
scaled = unscaled
check = check_plain
answer = of_numbers
