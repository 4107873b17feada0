"""What a table holds that people should know before they train on it.

`columns` tells of each column by itself, and what is odd is told by `findings` (constant, empty and
numbering columns, rare classes), `copying` (columns that say the same), `telling` (columns that say
the target) and `rows` (rows that stand twice, parts that differ). All look at the table as a spec
reads it, so that what is told is what trains.
"""

from trainer.survey.columns import ColumnFacts, PartFacts
from trainer.survey.findings import Finding, FindingKind
from trainer.survey.looking import Survey, survey, survey_table

__all__ = ["ColumnFacts", "Finding", "FindingKind", "PartFacts", "Survey", "survey", "survey_table"]
