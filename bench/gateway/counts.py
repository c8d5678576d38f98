"""What became of the calls that a gateway records, as it tells; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_DROPPED = ("drop", "lost", "failed")


@dataclass(frozen=True, slots=True)
class Count:
    """What became of the calls of one gateway.

    Attributes:
        asked: Calls that reached the upstream.
        stored: Calls found in its store.
        dropped: Calls that it says it did not record.
    """

    asked: int
    stored: int
    dropped: int

    @property
    def complete(self) -> bool:
        """Whether every call is either stored or counted as dropped."""
        return self.stored + self.dropped == self.asked


def dropped_in(status: Any) -> int:
    """Sum the numbers of a JSON document whose key speaks of dropped, lost or failed calls."""
    if isinstance(status, list):
        return sum(dropped_in(one) for one in status)
    if not isinstance(status, dict):
        return 0
    total = 0
    for key, value in status.items():
        if isinstance(value, int | float) and any(word in key for word in _DROPPED):
            total += int(value)
        else:
            total += dropped_in(value)
    return total
