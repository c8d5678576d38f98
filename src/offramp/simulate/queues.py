"""The light mode: servers instead of engines, for millions of requests."""

from __future__ import annotations

import heapq
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
