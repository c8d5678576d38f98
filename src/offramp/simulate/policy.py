"""Who goes next when an engine has a free slot: the border to the dispatcher, and two baselines."""

from __future__ import annotations

import heapq
from collections import defaultdict
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from offramp.simulate.engine import Job


class Policy(Protocol):
    """The order of waiting requests."""

    def push(self, job: Job, now: float) -> None:
        """Take a request that arrived."""

    def pop(self, models: Iterable[str], now: float) -> Job | None:
        """Return the request that an engine which serves ``models`` gets next, None where none waits."""


class Ordered:
    """One fixed order over everything that waits."""

    def __init__(self, key: Callable[[Job], tuple[float, ...]]) -> None:
        """Order by ``key``, smallest first; equal ones by their arrival."""
        self._key = key
        self._waiting: dict[str, list[tuple[tuple[float, ...], int, Job]]] = defaultdict(list)

    def push(self, job: Job, now: float) -> None:  # noqa: ARG002 - the order does not depend on the hour
        """Take a request."""
        heapq.heappush(self._waiting[job.model], (self._key(job), job.index, job))

    def pop(self, models: Iterable[str], now: float) -> Job | None:  # noqa: ARG002
        """Return the first of those that ask for one of ``models``."""
        heads = [(self._waiting[model][0][:2], model) for model in models if self._waiting.get(model)]
        return heapq.heappop(self._waiting[min(heads)[1]])[2] if heads else None


def first_come() -> Ordered:
    """First come, first served."""
    return Ordered(lambda job: (job.at,))


def strict() -> Ordered:
    """The most urgent class first, always; the others get what is left, which may be nothing."""
    return Ordered(lambda job: (job.rank, job.at))


def deadlines() -> Ordered:
    """Earliest deadline first."""
    return Ordered(lambda job: (job.deadline,))


POLICIES = {"first-come": first_come, "strict": strict, "deadlines": deadlines}
"""Names on the command line."""
