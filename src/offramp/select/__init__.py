"""Which candidate is to answer a task: the ladder, and the choice on validation data."""

from offramp.select.choose import KINDS, Trial, choose, expected_coverage
from offramp.select.groups import Unit, units_of

__all__ = ["KINDS", "Trial", "Unit", "choose", "expected_coverage", "units_of"]
