"""What a table holds that people should know before they train on it.

`columns` tells of each column by itself, `findings` of what is odd about them: constant, copied or
numbering columns, those that tell the target, rare classes, parts that differ. Both look at the
table as a spec reads it, so that what is told is what trains.
"""

from trainer.survey.columns import ColumnFacts
from trainer.survey.findings import Finding, FindingKind
from trainer.survey.looking import Survey, survey, survey_table

__all__ = ["ColumnFacts", "Finding", "FindingKind", "Survey", "survey", "survey_table"]
