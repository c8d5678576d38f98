"""The light mode: servers instead of engines, for millions of requests, and the closed forms to check it."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def first_come_waits(
    at: NDArray[np.float64], service_s: NDArray[np.float64], servers: int
) -> NDArray[np.float64]:
    """Return each request's wait, seconds, where ``servers`` of them run at once, first come first served.

    Args:
        at: Arrivals, not decreasing, shape ``(n,)``.
        service_s: Seconds of service of each, shape ``(n,)``.
        servers: At least 1.
    """
    free = [0.0] * servers
    waits = np.empty(len(at))
    replace = heapq.heapreplace
    for index, (arrival, seconds) in enumerate(zip(at.tolist(), service_s.tolist(), strict=True)):
        start = max(arrival, free[0])
        replace(free, start + seconds)
        waits[index] = start - arrival
    return waits


def shared_responses(at: NDArray[np.float64], service_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each request's response, seconds, where all present share one server equally.

    Time is counted in service that every one present has received: a request leaves when this has grown by
    its own need, so one heap is enough.

    Args:
        at: Arrivals, not decreasing, shape ``(n,)``.
        service_s: Seconds each would take alone, shape ``(n,)``.
    """
    present: list[tuple[float, int]] = []
    responses = np.empty(len(at))
    now = received = 0.0
    for index, (arrival, seconds) in enumerate(zip(at.tolist(), service_s.tolist(), strict=True)):
        while present and now + (present[0][0] - received) * len(present) <= arrival:
            now += (present[0][0] - received) * len(present)
            received, leaver = heapq.heappop(present)
            responses[leaver] = now - at[leaver]
        if present:
            received += (arrival - now) / len(present)
        now = arrival
        heapq.heappush(present, (received + seconds, index))
    while present:
        now += (present[0][0] - received) * len(present)
        received, leaver = heapq.heappop(present)
        responses[leaver] = now - at[leaver]
    return responses


def erlang_c(load: float, servers: int) -> float:
    """Return the probability that a request waits (M/M/c), by the recursion of Erlang B.

    Args:
        load: Arrival rate times mean service, in servers; at or above ``servers`` everyone waits.
        servers: At least 1.
    """
    if load >= servers:
        return 1.0
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def erlang_wait_s(rate: float, service_s: float, servers: int) -> float:
    """Return the mean wait, seconds, of M/M/c; infinite where it is overloaded."""
    load = rate * service_s
    return erlang_c(load, servers) * service_s / (servers - load) if load < servers else math.inf


def shared_response_s(rate: float, service_s: float) -> float:
    """Return the mean response, seconds, of M/G/1 with processor sharing; infinite where it is overloaded."""
    load = rate * service_s
    return service_s / (1 - load) if load < 1 else math.inf
