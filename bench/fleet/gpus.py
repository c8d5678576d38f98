"""GPUs needed so that 99 % of every specialist's calls are within their objective, by how they are shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from bench.fleet import planned
from bench.fleet.worlds import DEVICES, KIND, OBJECTIVE_SHARE, SHAPE, Load, own_gpus, run, shared, slices

from offramp.plan.compute import request_time
from offramp.simulate.arrivals import Arrivals, read_trace

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.core.placement import Placement

SLACK = 3.0
"""An objective is this many times what the 99th percentile of a specialist's calls takes alone."""

MOST = 64


def split(trace: Arrivals, specialists: int, *, seed: int) -> list[Load]:
    """Deal the requests of a trace, lengths and all, to specialists whose shares fall as 1 / rank."""
    weights = 1.0 / np.arange(1, specialists + 1)
    generator = np.random.default_rng(seed)
    owner = generator.choice(specialists, size=len(trace), p=weights / weights.sum())
    loads = []
    for number in range(specialists):
        part = trace.where(owner == number)
        loads.append(Load(f"s{number:02d}", part, objective_of(part)))
    return loads


def objective_of(arrivals: Arrivals) -> float:
    """Return seconds: a multiple of what a long call takes alone on the device."""
    prompt, completion = (int(np.percentile(column, 99)) for column in (arrivals.prompt, arrivals.completion))
    alone = request_time(SHAPE, DEVICES[KIND], prompt=prompt, completion=completion)
    return SLACK * alone.latency_s


def least_shared(loads: list[Load]) -> int:
    """Count GPUs with one base and all adapters on each."""
    names = [load.name for load in loads]
    return next(
        (gpus for gpus in range(1, MOST) if run(shared(names, gpus), loads).within >= OBJECTIVE_SHARE), MOST
    )


def least_own(loads: list[Load]) -> int:
    """Count GPUs where every specialist has its own; each is sized alone, as they do not meet."""
    total = 0
    for load in loads:
        total += next(
            (
                gpus
                for gpus in range(1, MOST)
                if run(_replicas(load.name, gpus), [load]).within >= OBJECTIVE_SHARE
            ),
            MOST,
        )
    return total


def least_slices(loads: list[Load], per_gpu: int) -> int:
    """Count GPUs with equal slices, every specialist as often as the busiest one needs."""
    names = [load.name for load in loads]
    for copies in range(1, MOST):
        placement = slices(names, per_gpu, copies)
        if run(placement, loads).within >= OBJECTIVE_SHARE:
            return len(placement.devices)
    return MOST


def _replicas(name: str, gpus: int) -> Placement:
    return own_gpus({name: gpus})


def report(folder: Path, *, specialists: int, seconds: float, loads: tuple[float, ...]) -> bool:
    """Print GPUs by trace and load; whether sharing needs at most half of one model per GPU everywhere."""
    print(f"\nGPUs ({KIND}, {SHAPE.name}) for 99 % within objective, {specialists} specialists\n")
    heads = "one model per GPU | equal slices (4) | shared base | ratio | planned | worst task within"
    print(f"| trace | load | requests/s | {heads} |")
    print("|---|---|---|---|---|---|---|---|---|")
    met = True
    for name in ("azure2023_conv", "azure2023_code"):
        trace = read_trace(folder / f"{name}.csv.gz").between(0.0, seconds)
        for factor in loads:
            part = split(trace.faster(factor), specialists, seed=1)
            own, sliced, together = least_own(part), least_slices(part, 4), least_shared(part)
            rate = len(trace) / seconds * factor
            fleet = planned.plan(part, seconds / factor)
            counts = f"{own} | {sliced} | {together} | {own / together:.1f}"
            counts += f" | {len(fleet.devices)} | {run(fleet, part).within:.1%}"
            print(f"| {name} | x{factor:g} | {rate:.1f} | {counts} |", flush=True)
            met &= own >= 2 * together
    print(f"\n{'PASS' if met else 'FAIL'}: at most half the GPUs of one model per GPU, in every row")
    return met
