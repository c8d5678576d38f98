"""Small models and the LLM on engines of their own on one device: what a flood of one does to the other.

One A100, half of its compute each: a 4B base with ten adapters and 32 slots, and a 14B LLM with 16. Bandwidth
is nobody's own. Arrivals are those of `reserve`, with rates that both engines bear: 10 small calls a second,
60 more for a minute, and 0.3 LLM calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from bench.fleet import reserve, worlds
from bench.fleet.worlds import DEVICES, KIND, RANK

from offramp.core.placement import Adapter, EngineMemory, PlacedDevice, PlacedEngine, Placement, Role, Slice
from offramp.plan.memory import EngineFootprint, adapter_bytes, fixed_bytes, weight_bytes
from offramp.simulate.policy import first_come
from offramp.simulate.run import simulate
from offramp.simulate.scheduled import Scheduled

if TYPE_CHECKING:
    from offramp.plan.shape import ModelShape
    from offramp.simulate.policy import Policy
    from offramp.simulate.run import Outcome, Stream

SMALL_RATE, FLOOD_RATE, LLM_RATE = 10.0, 60.0, 0.3
SHAPES = {reserve.BASE: reserve.SHAPE, worlds.BASE: worlds.SHAPE}


def report() -> bool:
    """Print both; whether LLM calls never wait for a slot of their own engine."""
    print(f"\nTwo engines on one {KIND}, half of its compute each: {worlds.BASE} and {reserve.BASE}\n")
    print("| policy | small p95 s | small refused | small within 5 s | LLM p50 / p99 s | LLM waits p99 s |")
    print("|---|---|---|---|---|---|")
    seeds = range(1, reserve.SEEDS + 1)
    alone = reserve.row([_run([reserve.llm(LLM_RATE, seed=seed)], first_come()) for seed in seeds])
    p50, p99 = np.percentile(alone.llm, (50, 99))
    print(f"| no small calls | | | | {p50:.1f} / {p99:.1f} | {np.percentile(alone.waited, 99):.1f} |")
    met = True
    for name, make in (("first come, first served", first_come), ("scheduler", Scheduled)):
        found = reserve.row([_run(_flooded(seed), make()) for seed in seeds])
        p50, p99 = np.percentile(found.llm, (50, 99))
        wait = float(np.percentile(found.waited, 99))
        print(
            f"| {name} | {np.percentile(found.small, 95):.1f} | {found.refused:.0%} | {found.within:.0%} "
            f"| {p50:.1f} / {p99:.1f} | {wait:.1f} |"
        )
        met &= wait < 1.0
    return met


def _flooded(seed: int) -> list[Stream]:
    calm = reserve.small(SMALL_RATE, seed=seed)
    burst = reserve.small(FLOOD_RATE, seed=seed + 50, start=100.0, end=160.0)
    return [*calm, *burst, reserve.llm(LLM_RATE, seed=seed)]


def _run(streams: list[Stream], policy: Policy) -> Outcome:
    names = reserve.SPECIALISTS
    engines = (
        _engine(worlds.SHAPE, Role.SMALL, 32, names, kv=8 << 30),
        _engine(reserve.SHAPE, Role.LLM, 16, (), kv=16 << 30),
    )
    placement = Placement((PlacedDevice(KIND),), engines, price_per_hour=DEVICES[KIND].price_per_hour)
    return simulate(placement, streams, policy, shapes=SHAPES, devices=DEVICES)


def _engine(shape: ModelShape, role: Role, slots: int, names: tuple[str, ...], *, kv: int) -> PlacedEngine:
    fixed = fixed_bytes(shape, EngineFootprint(sequences=slots))
    adapters = len(names) * adapter_bytes(shape, RANK)
    return PlacedEngine(
        name=shape.name,
        base=shape.name,
        role=role,
        slices=(Slice(0, 0.5),),
        memory=EngineMemory(weight_bytes(shape), adapters, fixed, kv),
        slots=slots,
        context=16_384,
        adapters=tuple(Adapter(name, RANK) for name in names),
        loaded=len(names),
    )
