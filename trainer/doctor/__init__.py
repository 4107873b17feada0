"""What is installed here and whether it works: `train doctor`."""

from trainer.doctor.examine import examine, summary
from trainer.doctor.finding import Finding

__all__ = ["Finding", "examine", "summary"]
