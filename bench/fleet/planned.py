"""The planner's own fleet for the loads that `bench.fleet.gpus` searches fleets for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from bench.fleet.worlds import BASE, DEVICES, KIND, OBJECTIVE_SHARE, RANK, SHAPE

from offramp.plan.demand import Choice, Demand, TaskDemand, lengths_from
from offramp.plan.fleet import Fleet, Stock
from offramp.plan.fleet_plan import plan_fleet

if TYPE_CHECKING:
    from bench.fleet.worlds import Load

    from offramp.core.placement import Placement

WINDOW_S = 60.0
BIN_S = 5.0
"""About how long a call lasts: what comes within that time is in the engine together."""
DEAR_USD = 100.0
"""A call on the LLM costs so much that every task gets a specialist, whatever devices that takes."""


def plan(loads: list[Load], seconds: float) -> Placement:
    """Plan for the calls of loads as they were measured: rates by minute, lengths, bursts by five seconds.

    Args:
        loads: What arrives.
        seconds: How long it was watched.
    """
    tasks = []
    for load in loads:
        at = load.arrivals.at
        windows = max(1, int(np.ceil(seconds / WINDOW_S)))
        counts = np.histogram(at, bins=windows, range=(0.0, windows * WINDOW_S))[0]
        choice = Choice(load.name, BASE, RANK, 1.0, audit_share=0.0)
        tasks.append(
            TaskDemand(
                task=load.name,
                rates=tuple(float(one) / WINDOW_S for one in counts),
                lengths=lengths_from(load.arrivals.prompt, load.arrivals.completion),
                objective_s=load.objective_s,
                choices=(choice,),
                burst=burst(at, seconds),
                llm_usd=DEAR_USD,
            )
        )
    fleet = Fleet((Stock(DEVICES[KIND]),), within=OBJECTIVE_SHARE)
    return plan_fleet(Demand(tuple(tasks), WINDOW_S), fleet, {BASE: SHAPE}).placement


def burst(at: np.ndarray, seconds: float) -> float:
    """Return the variance over the mean of the calls in five seconds."""
    counts = np.bincount((at / BIN_S).astype(np.int64), minlength=max(1, int(seconds / BIN_S)))
    return max(1.0, float(counts.var() / counts.mean())) if counts.any() else 1.0
