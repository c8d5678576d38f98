"""What plans predict beside what the simulator finds, on the same arrivals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from bench.fleet.worlds import DEVICES, KIND, RANK, SHAPE

from offramp.core.placement import Adapter, PlacedDevice, PlacedEngine, Placement, Role, Slice
from offramp.plan.demand import lengths_from
from offramp.plan.fleet import Stock
from offramp.plan.load import Group, Member
from offramp.plan.sizing import Part, Terms, size
from offramp.simulate.arrivals import Arrivals
from offramp.simulate.policy import first_come
from offramp.simulate.results import summarise
from offramp.simulate.run import Stream, simulate

TERMS = Terms()
TASKS = 3
FOREVER = 1e5
CASES = (
    (1.0, 700, 100, 1),
    (5.0, 700, 100, 1),
    (10.0, 700, 100, 1),
    (10.0, 200, 20, 1),
    (30.0, 200, 20, 1),
    (2.0, 2000, 300, 1),
    (2.0, 3000, 30, 1),
    (1.0, 700, 100, 2),
    (5.0, 700, 100, 2),
    (10.0, 200, 20, 2),
    (2.0, 3000, 30, 2),
)
"""Calls a second, mean prompt and completion (log-normal, as wide as their mean), engines on the device."""


def drawn(prompt: float, completion: float, count: int, generator: np.random.Generator) -> Arrivals:
    """Draw lengths of that many calls, without times."""
    spread = np.log(2.0)
    means = np.log([prompt, completion]) - spread / 2
    columns = np.clip(generator.lognormal(means, np.sqrt(spread), (count, 2)), 1, 8000).astype(np.int64).T
    return Arrivals(np.zeros(count), columns[0], columns[1])


def report(calls: int) -> bool:
    """Print predictions beside simulations; whether 98 % of the calls are within what 99 % were promised."""
    print(f"\nPredicted 99th percentiles beside simulated, {SHAPE.name} on {KIND}, {calls:,} calls\n")
    print(
        "| calls/s | prompt | completion | engines | predicted s | simulated s | ratio | within | works | - |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    met = True
    for number, (rate, prompt, completion, engines) in enumerate(CASES):
        met &= _row(rate, prompt, completion, engines, calls=calls, seed=number)
    print(f"\n{'PASS' if met else 'FAIL'}: at least 98 % within the predicted 99th percentile, no overflow")
    return met


def _row(rate: float, prompt: int, completion: int, engines: int, *, calls: int, seed: int) -> bool:
    generator = np.random.default_rng(seed)
    pool = drawn(prompt, completion, 4000, generator)
    lengths = lengths_from(pool.prompt, pool.completion)
    members = tuple(
        Member(f"t{one}", f"s{one}", RANK, (rate / TASKS,), lengths, FOREVER) for one in range(TASKS)
    )
    share = 1.0 / engines
    found = size(
        Group("g", SHAPE, SHAPE.name, members), Stock(DEVICES[KIND]), Part(share, engines - 1.0), TERMS
    )
    name = f"| {rate:g} | {prompt} | {completion} | {engines} |"
    if found is None:
        print(f"{name} more than it carries | | | | | |")
        return True
    promised = found.latency_s[0][1]
    placed, streams = [], []
    for engine in range(engines):
        mine = [replace(one, specialist=f"{engine}.{one.specialist}") for one in members]
        placed.append(
            PlacedEngine(
                name=f"e{engine}",
                base=SHAPE.name,
                role=Role.SMALL,
                slices=(Slice(0, share),),
                memory=found.memory,
                slots=found.slots,
                context=4 * found.context,
                adapters=tuple(Adapter(one.specialist, RANK) for one in mine),
                loaded=TASKS,
            )
        )
        for one in mine:
            at = np.sort(generator.uniform(0, calls / rate, generator.poisson(calls / TASKS)))
            rows = generator.integers(0, len(pool.at), len(at))
            arrivals = Arrivals(at, pool.prompt[rows], pool.completion[rows])
            streams.append(Stream(one.specialist, arrivals, promised, name="all"))
    placement = Placement((PlacedDevice(KIND),), tuple(placed), overflow=TERMS.overflow)
    outcome = simulate(placement, streams, first_come(), shapes={SHAPE.name: SHAPE}, devices=DEVICES)
    summary = summarise(outcome, placement)
    whole = summary.classes[0]
    print(
        f"{name} {promised:.2f} | {whole.p99_s:.2f} | {promised / whole.p99_s:.2f} | {whole.within:.2%} "
        f"| {found.duty:.0%} | {summary.busiest:.0%} |",
        flush=True,
    )
    return whole.within >= 0.98 and summary.overflow <= TERMS.overflow
