"""The measured calls of each task by the hour of the day, as the fleet planner wants them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from offramp.loop.state import RUN
from offramp.plan.demand import lengths_from
from offramp.plan.traffic import SECONDS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from offramp.core.call import Call
    from offramp.core.json import JsonObject
    from offramp.storage.port import Store

HOUR_S, HOURS = 3600.0, 24
MINUTE_S = 60.0
LEAST_OBSERVED_S = 900.0
"""An hour of the day that was seen for less counts as seen for so long: a rate of a few seconds is none."""
PEAK_FACTOR = 3.0
"""Busiest hour over the mean, where the calls' own times do not tell."""
SLOWEST = 0.95
"""Quantile of the teacher's latencies that a specialist is to keep."""


def measure(calls: Sequence[Call], assignment: Mapping[str, str], *, days: float | None = None) -> JsonObject:
    """Measure calls by hour of the day (UTC), lengths, bursts and the teacher's latency, by task.

    Calls that specialists answered are calls of their task all the same; audits are nobody's. Lengths and
    latency are the teacher's, where it answered any.

    Args:
        calls: The recorded calls, at least one that is no audit.
        assignment: Task id by call id; the others count as task "".
        days: Length of the window where the calls' own times do not tell; then there is one window, the
            busiest hour, as many times above the mean as `PEAK_FACTOR`.
    """
    by_task: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        if "audit_of" not in call.meta:
            by_task[assignment.get(call.id, "")].append(call)
    begun, ended = min(call.at for call in calls), max(call.at for call in calls)
    seen = observed_s(begun, ended)
    tasks = {}
    for task, mine in by_task.items():
        at = np.array([call.at for call in mine])
        taught = [call for call in mine if call.route == "teacher"]
        prompt = np.array([call.usage.prompt_tokens for call in taught or mine])
        completion = np.array([call.usage.completion_tokens for call in taught or mine])
        if days is None:
            counts = np.bincount((at // HOUR_S % HOURS).astype(np.int64), minlength=HOURS)
            rates = (counts / np.maximum(seen, LEAST_OBSERVED_S)).tolist()
        else:
            rates = [PEAK_FACTOR * len(mine) / (days * SECONDS_PER_DAY)]
        tasks[task] = {
            "rates": rates,
            "lengths": [[one.prompt, one.completion, one.weight] for one in lengths_from(prompt, completion)],
            "burst": burst_of(at) if days is None else 1.0,
            "teacher_s": float(np.quantile([call.latency_s for call in taught], SLOWEST)) if taught else 0.0,
        }
    return {"window_s": HOUR_S, "tasks": tasks}


def observed_s(begun: float, ended: float) -> NDArray[np.float64]:
    """Return the seconds between two times that lie in each hour of the day, shape ``(24,)``."""
    whole, rest = divmod(ended - begun, SECONDS_PER_DAY)
    seen = np.full(HOURS, whole * HOUR_S)
    now, left = begun, rest
    while left > 0.0:
        part = min(left, HOUR_S - now % HOUR_S)
        seen[int(now // HOUR_S % HOURS)] += part
        now, left = now + part, left - part
    return seen


def burst_of(at: NDArray[np.float64]) -> float:
    """Return the variance over the mean of calls by the minute, within the hours that have any.

    1 is a Poisson stream; the mean of each hour is taken out, so that the course of the day counts as none.

    Args:
        at: Times of the calls, seconds, shape ``(n,)``.
    """
    minutes = np.floor(at / MINUTE_S).astype(np.int64)
    per_hour = int(HOUR_S / MINUTE_S)
    squares = expected = 0.0
    for hour in np.unique(minutes // per_hour):
        counts = np.bincount(minutes[minutes // per_hour == hour] - hour * per_hour, minlength=per_hour)
        squares += float(((counts - counts.mean()) ** 2).sum())
        expected += float(counts.mean()) * (per_hour - 1)
    return max(1.0, squares / expected) if expected else 1.0


def save(store: Store, measured: JsonObject) -> None:
    """Keep a measured demand beside the tasks."""
    store.put(RUN, "demand", measured)


def load(store: Store) -> JsonObject | None:
    """Read a measured demand, None before the first discovery."""
    return store.get(RUN, "demand")
