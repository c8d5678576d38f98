"""The gateway: passes every call on byte for byte, and lets a specialist answer where the router says so."""

from offramp.gateway.app import Gateway, Limits
from offramp.gateway.counters import Counters, Metric

__all__ = ["Counters", "Gateway", "Limits", "Metric"]
