"""Who answers a call: assign, ask the specialist, defer, audit, roll back."""

from offramp.route.mix import MixWatch
from offramp.route.router import AuditMonitor, SpecialistRouter

__all__ = ["AuditMonitor", "MixWatch", "SpecialistRouter"]
