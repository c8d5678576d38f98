"""Who goes next when an engine has a free slot: the scheduler that serves, and three baselines."""

from __future__ import annotations

import heapq
from collections import defaultdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from offramp.simulate.scheduled import Scheduled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from offramp.simulate.engine import Job, SimulatedEngine


class Policy(Protocol):
    """The order of waiting requests."""

    def start(self, engines: Sequence[SimulatedEngine]) -> None:
        """Take note of the engines, which are asked for by their position from now on."""

    def push(self, job: Job, able: Sequence[int], now: float) -> Iterable[int]:
        """Take a request that arrived.

        Args:
            job: The request.
            able: Engines that could hold it, the emptiest first.
            now: The time.

        Returns:
            Engines that may have something to `pop` now.
        """

    def pop(self, engine: int, models: Iterable[str], now: float) -> Job | None:
        """Return the request that an engine which serves ``models`` gets next, None where none waits."""

    def ended(self, job: Job, engine: int, now: float) -> Iterable[int]:
        """Take note that an engine answered a request; returns what `push` does, besides that engine."""


class Ordered:
    """One fixed order over everything that waits."""

    def __init__(self, key: Callable[[Job], tuple[float, ...]]) -> None:
        """Order by ``key``, smallest first; equal ones by their arrival."""
        self._key = key
        self._waiting: dict[str, list[tuple[tuple[float, ...], int, Job]]] = defaultdict(list)

    def start(self, engines: Sequence[SimulatedEngine]) -> None:
        """Need nothing of the engines."""

    def push(self, job: Job, able: Sequence[int], now: float) -> Iterable[int]:
        """Take a request; it is for the emptiest engine, if that has room."""
        del now
        heapq.heappush(self._waiting[job.model], (self._key(job), job.index, job))
        return able[:1]

    def pop(self, engine: int, models: Iterable[str], now: float) -> Job | None:
        """Return the first of those that ask for one of ``models``."""
        del engine, now
        heads = [(self._waiting[model][0][:2], model) for model in models if self._waiting.get(model)]
        return heapq.heappop(self._waiting[min(heads)[1]])[2] if heads else None

    def ended(self, job: Job, engine: int, now: float) -> Iterable[int]:
        """Go by order alone."""
        del job, engine, now
        return ()


def first_come() -> Ordered:
    """First come, first served."""
    return Ordered(lambda job: (job.at,))


def strict() -> Ordered:
    """The most urgent class first, always; the others get what is left, which may be nothing."""
    return Ordered(lambda job: (job.rank, job.at))


def deadlines() -> Ordered:
    """Earliest deadline first."""
    return Ordered(lambda job: (job.deadline,))


POLICIES: Mapping[str, Callable[[], Policy]] = MappingProxyType(
    {"first-come": first_come, "strict": strict, "deadlines": deadlines, "schedule": Scheduled}
)
"""Names on the command line."""
