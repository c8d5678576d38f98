"""A load that moves from one base to another in a day: fixed fleets beside one planned anew each hour."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import cos, pi
from typing import TYPE_CHECKING

import numpy as np
from bench.fleet.worlds import DEVICES, KIND, OBJECTIVE_SHARE, SHAPE

from offramp.plan.choose import Chooser
from offramp.plan.demand import Choice, Demand, TaskDemand, lengths_from
from offramp.plan.fleet import Fleet, Stock
from offramp.plan.fleet_plan import plan_fleet
from offramp.plan.replan import Switching, replan
from offramp.simulate.arrivals import Lengths, poisson
from offramp.simulate.policy import first_come
from offramp.simulate.run import Stream, simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.placement import Placement

HOURS = 24
TASKS = 6
PEAK_PER_S = 4.0
LOW = 0.05
"""A task's rate in its quietest hour, as a share of its busiest."""

OBJECTIVE_S = 5.0
LENGTHS = Lengths(prompt=512, completion=64, cv=1.0, largest=2048)
LLM_USD = 0.01
"""One call on the provider's LLM: dear enough that a fleet pays at every hour."""

BASES = {"day-base": SHAPE, "night-base": replace(SHAPE, name="night-base")}
START_S = 300.0
"""Both the old and the new devices are paid for so long when a plan changes."""

SIMULATED_S = 120.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of a way to run the day.

    Attributes:
        name: Of the way.
        device_hours: Paid for.
        most: Devices at once.
        starts: Engines started after the first hour.
        worst: Smallest share of any task's calls in any hour within the objective.
        within: Share of all calls within it.
    """

    name: str
    device_hours: float
    most: int
    starts: int
    worst: float
    within: float


def demand(hours: Sequence[int], base: str | None = None) -> Demand:
    """Return the calls of some hours, of all tasks or of one base's."""
    drawn = LENGTHS.draw(np.zeros(4000), np.random.default_rng(0))
    lengths = lengths_from(drawn.prompt, drawn.completion)
    tasks = [
        TaskDemand(
            task=f"{name}-{number}",
            rates=tuple(rate(name, hour) for hour in hours),
            lengths=lengths,
            objective_s=OBJECTIVE_S,
            choices=(Choice(f"{name}-{number}", name, 16, 0.8),),
            llm_usd=LLM_USD,
        )
        for name in BASES
        if base in (None, name)
        for number in range(TASKS)
    ]
    return Demand(tuple(tasks))


def rate(base: str, hour: int) -> float:
    """Return the calls a second of each of a base's tasks: one base's peak is the other's quiet hour."""
    wave = cos(2 * pi * (hour - 14) / HOURS) * (1 if base == "day-base" else -1)
    return PEAK_PER_S * (LOW + (1 - LOW) * (1 + wave) / 2)


def served(placement: Placement, hour: int) -> list[tuple[float, int]]:
    """Simulate a part of an hour; by task the share within the objective, and the calls."""
    streams = [
        Stream(task.task, poisson(rate * 0.8, SIMULATED_S, LENGTHS, seed=100 * hour + number), OBJECTIVE_S)
        for number, task in enumerate(demand([hour]).tasks)
        for rate in task.rates
    ]
    outcome = simulate(placement, streams, first_come(), shapes=BASES, devices=DEVICES)
    good = outcome.finished - outcome.at <= OBJECTIVE_S
    return [
        (float(good[outcome.stream == number].mean()), int((outcome.stream == number).sum()))
        for number in range(len(streams))
    ]


def kept(name: str, placements: Sequence[Placement], starts: int) -> Kept:
    """Run a day of placements, one an hour."""
    counts = [len(placement.devices) for placement in placements]
    overlap = sum(max(0, old - new) for old, new in pairwise(counts))
    found = [one for hour, placement in enumerate(placements) for one in served(placement, hour)]
    calls = sum(count for _, count in found)
    return Kept(
        name=name,
        device_hours=sum(counts) + overlap * START_S / 3600.0,
        most=max(counts),
        starts=starts,
        worst=min(share for share, _ in found),
        within=sum(share * count for share, count in found) / calls,
    )


def split(fleet: Fleet) -> Placement:
    """Each base has devices of its own, enough for its own busiest hour."""
    parts = [plan_fleet(demand(range(HOURS), base), fleet, BASES).placement for base in BASES]
    first, second = parts
    moved = tuple(
        replace(
            engine,
            slices=tuple(replace(part, device=part.device + len(first.devices)) for part in engine.slices),
        )
        for engine in second.engines
    )
    return replace(first, devices=first.devices + second.devices, engines=first.engines + moved)


def hourly(fleet: Fleet) -> tuple[list[Placement], int]:
    """Plan each hour from the hour before, for the demand that discovery measured at that hour of the day."""
    placements = [plan_fleet(demand([0]), fleet, BASES).placement]
    starts = 0
    for hour in range(1, HOURS):
        chooser = Chooser(demand([hour]), fleet, BASES)
        plan = replan(chooser, placements[-1], Switching(usd_per_start=0.1, horizon_h=1.0))
        starts += sum(move.starts for move in plan.moves)
        placements.append(plan.placement)
    return placements, starts


def report() -> bool:
    """Print the three ways; whether planning anew costs fewer device hours at the same objective."""
    fleet = Fleet((Stock(DEVICES[KIND]),))
    every, starts = hourly(fleet)
    found = [
        kept("static split, a base each", [split(fleet)] * HOURS, 0),
        kept("one static plan", [plan_fleet(demand(range(HOURS)), fleet, BASES).placement] * HOURS, 0),
        kept("planned anew each hour", every, starts),
    ]
    calls = 2 * TASKS * PEAK_PER_S * (1 + LOW) / 2
    print(f"\nA day of {TASKS} specialists on each of two bases ({SHAPE.name}-shaped, {KIND});")
    print(f"{calls:.0f} calls a second in all; the load moves from one base to the other and back\n")
    print("| way | device hours | devices at most | engines started | within | worst task and hour |")
    print("|---|---|---|---|---|---|")
    for one in found:
        facts = f"{one.device_hours:.1f} | {one.most} | {one.starts} | {one.within:.4f} | {one.worst:.4f}"
        print(f"| {one.name} | {facts} |")
    apart, _, anew = found
    met = anew.device_hours < apart.device_hours and anew.within >= OBJECTIVE_SHARE
    ratio = anew.device_hours / apart.device_hours
    print(f"\n{'PASS' if met else 'FAIL'}: {ratio:.2f} of the static split's device hours")
    return met
