"""Watches the mix of tasks under a group certificate, which holds for the certified mix only."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offramp.core.deployment import Deployment

WINDOW = 500


class MixWatch:
    """Total-variation distance between the certified mix and the last calls.

    Args:
        deployment: A group's deployment; for a single task the watch never fires.
        window: Calls it looks back on; with fewer seen it has no opinion.
    """

    def __init__(self, deployment: Deployment, *, window: int = WINDOW) -> None:
        self._mix = deployment.mix if deployment.scope == "group" else {}
        self._tolerance = deployment.mix_tolerance
        self._last: deque[str] = deque(maxlen=window)
        self._counts: Counter[str] = Counter()
        self._chance = sum(math.sqrt(p * (1 - p) / (2 * math.pi * window)) for p in self._mix.values())

    def observe(self, task: str) -> None:
        """Count one call of the group, answered or not."""
        if not self._mix:
            return
        if len(self._last) == self._last.maxlen:
            self._counts[self._last[0]] -= 1
        self._last.append(task)
        self._counts[task] += 1

    @property
    def distance(self) -> float:
        """Total variation between the window and the certified mix, 0 before the window is full."""
        if not self._mix or len(self._last) < (self._last.maxlen or 0):
            return 0.0
        total = len(self._last)
        tasks = self._mix.keys() | self._counts.keys()
        return sum(abs(self._mix.get(task, 0.0) - self._counts[task] / total) for task in tasks) / 2

    @property
    def voided(self) -> bool:
        """Whether the mix has left the certified one by more than the tolerance, and not by chance.

        A window of the certified mix itself lies at ``sum sqrt(p (1 - p) / (2 pi n))`` on average (the
        mean absolute deviation of each share, by the normal approximation); that is allowed on top.
        """
        return self.distance > self._tolerance + self._chance
