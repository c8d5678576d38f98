"""A token bucket: a steady rate, with a minute's worth at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self


@dataclass(slots=True)
class Bucket:
    """What is left of a key's calls; in memory, so each gateway process has its own.

    Attributes:
        size: Most calls at once: those of a minute.
        left: Calls that could be made now.
        at: When that was reckoned, in seconds of a clock that never jumps.
    """

    size: float
    left: float
    at: float = -math.inf

    @classmethod
    def of(cls, per_minute: int) -> Self | None:
        """Make a full bucket, None where there is no limit."""
        return cls(float(per_minute), float(per_minute)) if per_minute > 0 else None

    def take(self, now: float) -> int:
        """Take one call; return 0, or the whole seconds after which there is one."""
        rate = self.size / 60.0
        self.left = min(self.size, self.left + (now - self.at) * rate)
        self.at = now
        if self.left >= 1.0:
            self.left -= 1.0
            return 0
        return max(1, math.ceil((1.0 - self.left) / rate))
