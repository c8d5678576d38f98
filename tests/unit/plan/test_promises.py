"""Whole plans in the simulator: what they promise, they keep."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.plan.fleets import SHAPES, TABLE, stocks, task

from offramp.plan.demand import Demand, TaskDemand
from offramp.plan.fleet import Fleet
from offramp.plan.fleet_plan import FleetPlan, plan_fleet
from offramp.simulate.arrivals import Arrivals
from offramp.simulate.policy import first_come
from offramp.simulate.results import Summary, summarise
from offramp.simulate.run import Stream, simulate

CALLS = 1500


def arrivals(wanted: TaskDemand, *, seed: int) -> Arrivals:
    """Draw calls of a task at its busiest rate, in groups as large as it is bursty."""
    generator = np.random.default_rng(seed)
    rate = max(wanted.rates)
    group = round(wanted.burst)
    at = np.sort(np.repeat(generator.uniform(0, CALLS / rate, CALLS // group), group))
    weights = np.array([one.weight for one in wanted.lengths])
    rows = generator.choice(len(weights), size=len(at), p=weights / weights.sum())
    lengths = [wanted.lengths[row] for row in rows]
    return Arrivals(
        at, np.array([one.prompt for one in lengths]), np.array([one.completion for one in lengths])
    )


def run(plan: FleetPlan, demand: Demand) -> Summary:
    streams = [
        Stream(one.specialist, arrivals(wanted, seed=seed), wanted.objective_s, name=wanted.task)
        for seed, (one, wanted) in enumerate(zip(plan.tasks, demand.tasks, strict=True))
    ]
    outcome = simulate(plan.placement, streams, first_come(), shapes=SHAPES, devices=TABLE)
    return summarise(outcome, plan.placement)


@pytest.mark.parametrize("kind", ["l4", "a100-80gb"])
def test_every_task_of_a_plan_meets_its_objective(kind: str) -> None:
    """99 % are promised at the busiest rate of every task at once; 98 % of 1,500 calls are asked for."""
    demand = Demand(
        (
            task("a", 1.0, objective_s=8.0, usd=0.5, bases=("4b",)),
            task("b", 0.7, objective_s=4.0, usd=0.5, bases=("1.7b",), burst=3.0),
            task("c", 2.0, objective_s=3.0, usd=0.5, bases=("0.6b",)),
            task("d", 0.5, objective_s=8.0, usd=0.5, bases=("4b",), burst=2.0),
        )
    )
    plan = plan_fleet(demand, Fleet(stocks(kind)), SHAPES)
    assert all(one.specialist for one in plan.tasks)
    found = run(plan, demand)
    assert {one.name: one.within for one in found.classes if one.within < 0.98} == {}
    assert found.overflow <= plan.placement.overflow
    assert sum(one.refused for one in found.classes) == 0
