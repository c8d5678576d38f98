"""Which device holds the specialists, what they need of it, what that costs, and which limit binds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from offramp.plan.compute import RequestTime, request_time
from offramp.plan.cost import Costs, estimate_costs
from offramp.plan.memory import (
    EMBEDDED,
    EngineFootprint,
    Memory,
    fixed_bytes,
    kv_bytes,
    slots_bytes,
    weight_bytes,
)
from offramp.plan.traffic import check
from offramp.plan.words import percent, size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from offramp.core.json import JsonObject
    from offramp.plan.devices import Device
    from offramp.plan.prices import Prices
    from offramp.plan.shape import ModelShape
    from offramp.plan.traffic import Candidate, TaskTraffic, Traffic

OVERFLOW = 0.001
"""Probability that more requests are in the system than the KV budget holds, in the busiest hour."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer for one device.

    Attributes:
        device: Name of the device.
        replicas: How many of them are needed (0: nothing to run).
        memory: What one of them has to hold.
        memory_there: Bytes it has.
        fits: Whether the one goes into the other.
        adapters: Adapter slots.
        concurrency: Mean number of requests at once on one device in the busiest hour (Little's law).
        concurrency_planned: What the KV budget is made for; more come with probability ``OVERFLOW``.
        latency_s: Mean seconds of one specialist's answer then.
        load: Share of the devices' time in use in the busiest hour, at their largest batch.
        load_cap: Share that may be planned for.
        costs: Money for 30 days.
        binding: The limit that decides, in words.
        assumptions: What was assumed, in words.
    """

    device: str
    replicas: int
    memory: Memory
    memory_there: int
    fits: bool
    adapters: int
    concurrency: float
    concurrency_planned: int
    latency_s: float
    load: float
    load_cap: float
    costs: Costs
    binding: str
    assumptions: tuple[str, ...]

    def to_dict(self) -> JsonObject:
        """As JSON; ``memory`` and ``costs`` are objects of their own."""
        plain = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in ("memory", "costs", "assumptions")
        }
        return {
            **plain,
            "memory": self.memory.to_dict(),
            "costs": self.costs.to_dict(),
            "assumptions": list(self.assumptions),
        }


@dataclass(frozen=True, slots=True)
class _Served:
    """One task with its candidate and its calls per second in the busiest hour."""

    task: TaskTraffic
    candidate: Candidate
    rate: float

    @property
    def prompt(self) -> int:
        given = self.candidate.prompt_tokens
        return math.ceil(self.task.input_tokens) if given is None else given

    @property
    def completion(self) -> int:
        given = self.candidate.completion_tokens
        return math.ceil(self.task.output_tokens) if given is None else given

    def time(self, device: Device, batch: int) -> RequestTime:
        measured, base = self.candidate.seconds_per_call, self.candidate.base
        if measured is not None or base is None:
            seconds = measured or 0.0
            return RequestTime(batch=1, latency_s=seconds, device_s=seconds)
        return request_time(
            base,
            device,
            prompt=self.prompt,
            completion=self.completion,
            batch=batch,
            adapters=self.candidate.rank > 0,
        )

    def kv(self) -> int:
        base = self.candidate.base
        return 0 if base is None else kv_bytes(base, self.prompt + self.completion)


def plan(traffic: Traffic, candidates: tuple[Candidate, ...], device: Device, prices: Prices) -> Plan:
    """Plan one kind of device for the given candidates.

    Args:
        traffic: The observed calls.
        candidates: The specialists to serve, at most one per task; tasks without one stay with the teacher.
        device: What they run on.
        prices: The teacher's prices.

    Returns:
        The plan; one that does not fit or does not pay says so.

    Raises:
        BadInput: The candidates do not belong to the traffic.
        NotFound: The teacher has no price.
    """
    check(traffic, candidates)
    by_task = {candidate.task: candidate for candidate in candidates}
    served = [
        _Served(task, by_task[task.task], traffic.peak_rate(task))
        for task in traffic.tasks
        if task.task in by_task
    ]
    engine = EMBEDDED if device.kind == "cpu" else EngineFootprint()
    standing = _standing(candidates, engine)
    batch = _largest_batch(served, device, room=device.memory - standing.total)
    busy = sum(item.rate * item.time(device, batch).device_s for item in served)
    needed = any(item.candidate.needs_device for item in served)
    replicas = max(1, math.ceil(busy / device.utilisation_cap)) if needed else 0
    concurrency, latency = _in_system(served, device, replicas=replicas, largest=batch)
    planned = poisson_quantile(concurrency, 1 - OVERFLOW) if needed else 0
    memory = _with_kv(standing, served, planned)
    costs = estimate_costs(
        traffic,
        candidates,
        {item.task.task: item.time(device, batch).device_s for item in served},
        device,
        prices,
        replicas=replicas,
    )
    load = busy / replicas if replicas else 0.0
    return Plan(
        device=device.name,
        replicas=replicas,
        memory=memory,
        memory_there=device.memory,
        fits=memory.total <= device.memory,
        adapters=len(_ranks(candidates)),
        concurrency=concurrency,
        concurrency_planned=planned,
        latency_s=latency,
        load=load,
        load_cap=device.utilisation_cap,
        costs=costs,
        binding=_binding(memory, device, replicas=replicas, load=load, costs=costs),
        assumptions=_assumptions(traffic, device, served),
    )


def poisson_quantile(mean: float, probability: float) -> int:
    """Smallest n with P(N <= n) >= ``probability`` for N Poisson distributed with this mean.

    The number of requests in a system with Poisson arrivals and no queue has this distribution, whatever the
    distribution of their durations (M/G/infinity).
    """
    # Further up the sum would start from exp(-mean) = 0; Cornish and Fisher's expansion is within a request.
    if mean > 500:
        z = NormalDist().inv_cdf(probability)
        return math.ceil(mean + z * math.sqrt(mean) + (z * z - 1) / 6)
    n, term = 0, math.exp(-mean)
    total = term
    while total < probability and n < 10_000:
        n += 1
        term *= mean / n
        total += term
    return n


def _bases(candidates: Iterable[Candidate]) -> dict[str, ModelShape]:
    return {c.base.name: c.base for c in candidates if c.base is not None}


def _ranks(candidates: Iterable[Candidate]) -> dict[str, tuple[str, int]]:
    """Base and rank of each specialist that has an adapter."""
    return {c.specialist: (c.base.name, c.rank) for c in candidates if c.base is not None and c.rank}


def _standing(candidates: tuple[Candidate, ...], engine: EngineFootprint) -> Memory:
    """Everything but the KV cache. Each base is one engine; specialists are counted once."""
    bases = _bases(candidates)
    ranks = _ranks(candidates).values()
    own = {c.specialist: c.memory_bytes for c in candidates}
    fixed = sum(fixed_bytes(base, engine) for base in bases.values())
    if own and not bases:
        fixed = engine.context
    return Memory(
        weights=sum(weight_bytes(base) for base in bases.values()) + sum(own.values()),
        adapters=sum(
            slots_bytes(base, [rank for owner, rank in ranks if owner == name])
            for name, base in bases.items()
        ),
        fixed=fixed,
        kv=0,
        kv_per_token=max((kv_bytes(base, 1) for base in bases.values()), default=0),
    )


def _with_kv(standing: Memory, served: list[_Served], planned: int) -> Memory:
    rate = sum(item.rate for item in served)
    mean_kv = sum(item.rate * item.kv() for item in served) / rate if rate else 0.0
    return Memory(
        standing.weights,
        standing.adapters,
        standing.fixed,
        math.ceil(planned * mean_kv),
        standing.kv_per_token,
    )


def _largest_batch(served: list[_Served], device: Device, *, room: int) -> int:
    largest = max((item.kv() for item in served), default=0)
    if not largest:
        return 1
    return max(1, min(device.max_batch, room // largest))


def _in_system(served: list[_Served], device: Device, *, replicas: int, largest: int) -> tuple[float, float]:
    """Mean requests at once on one device, and mean latency: the batch that reproduces itself."""
    rate = sum(item.rate for item in served)
    if not rate or not replicas:
        return 0.0, 0.0
    batch, concurrency = 1, 0.0
    # The latency grows with the batch, so the batch only grows and stops at the largest.
    while True:
        concurrency = sum(item.rate * item.time(device, batch).latency_s for item in served) / replicas
        wanted = min(largest, max(1, math.ceil(concurrency)))
        if wanted <= batch:
            return concurrency, concurrency * replicas / rate
        batch = wanted


def _binding(memory: Memory, device: Device, *, replicas: int, load: float, costs: Costs) -> str:
    if not replicas:
        return "nothing to place: no task has a candidate"
    if memory.total > device.memory:
        parts = {
            "weights": memory.weights,
            "adapters": memory.adapters,
            "fixed": memory.fixed,
            "KV": memory.kv,
        }
        listed = ", ".join(f"{name} {size(part)}" for name, part in parts.items())
        return f"memory: {size(memory.total)} needed, {size(device.memory)} there ({listed})"
    if replicas > 1:
        cap = percent(device.utilisation_cap)
        return f"compute: the busiest hour needs {replicas} devices at {cap} load each"
    if not costs.worth_it:
        return "money: at this volume the saving does not pay for the device and the training"
    shares = {"memory": memory.total / device.memory, "compute": load / device.utilisation_cap}
    nearest = max(shares, key=lambda name: shares[name])
    return f"none; the nearest is {nearest}, {percent(shares[nearest])} of what may be used"


def _assumptions(traffic: Traffic, device: Device, served: list[_Served]) -> tuple[str, ...]:
    measured = sum(item.candidate.seconds_per_call is not None for item in served)
    return (
        f"busiest hour {traffic.peak_factor:g} times the mean; Poisson arrivals within it",
        f"device seconds measured for {measured} of {len(served)} candidates, the roofline's for the others",
        f"device time planned up to {percent(device.utilisation_cap)}; it is paid for around the clock",
        f"{device.title}: {device.source}",
    )
