"""The likely set-up mistakes, each found by a check of its own."""

from offramp.app.doctor.examine import examine
from offramp.app.doctor.finding import Finding, Level

__all__ = ["Finding", "Level", "examine"]
