"""The fleets that are compared: specialists of one base on A100s, placed by hand in one way each.

Placed by hand, not by the planner: what is measured here is sharing itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.placement import (
    Adapter,
    EngineMemory,
    PlacedDevice,
    PlacedEngine,
    Placement,
    Role,
    Slice,
)
from offramp.plan.devices import load_devices
from offramp.plan.memory import EngineFootprint, adapter_bytes, fixed_bytes, weight_bytes
from offramp.plan.shape import read_shape
from offramp.simulate.policy import first_come
from offramp.simulate.results import Summary, summarise
from offramp.simulate.run import Stream, simulate

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.simulate.arrivals import Arrivals
    from offramp.simulate.policy import Policy
    from offramp.simulate.run import Outcome

BASE = "qwen3-4b"
KIND = "a100-80gb"
RANK = 16
CONTEXT = 16_384
SLOTS = 64
OBJECTIVE_SHARE = 0.99
DEVICES = load_devices()
SHAPE = read_shape(
    {
        "model_type": "qwen3",
        "num_hidden_layers": 36,
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
    name=BASE,
)


@dataclass(frozen=True, slots=True)
class Load:
    """One specialist's traffic.

    Attributes:
        name: Of the specialist.
        arrivals: Its requests.
        objective_s: What is allowed from arrival to the last token.
    """

    name: str
    arrivals: Arrivals
    objective_s: float


def shared(names: list[str], gpus: int) -> Placement:
    """Every GPU has one base with all adapters."""
    engines = [_engine(f"{BASE}.{gpu}", gpu, tuple(names), share=1.0) for gpu in range(gpus)]
    return _placement(engines, gpus)


def own_gpus(counts: dict[str, int]) -> Placement:
    """Every specialist has GPUs of its own, its adapter merged into the base (no adapter's cost)."""
    engines: list[PlacedEngine] = []
    for name, count in counts.items():
        for replica in range(count):
            engines.append(
                _engine(name if count == 1 else f"{name}.{replica}", len(engines), (), 1.0, base=name)
            )
    return _placement(engines, len(engines))


def slices(names: list[str], per_gpu: int, copies: int) -> Placement:
    """Separate merged models on equal slices of GPUs, ``per_gpu`` on each, all of them ``copies`` times."""
    engines: list[PlacedEngine] = []
    for copy in range(copies):
        for name in names:
            gpu = len(engines) // per_gpu
            engines.append(_engine(f"{name}.{copy}", gpu, (), 1.0 / per_gpu, base=name))
    return _placement(engines, -(-len(engines) // per_gpu))


def run(placement: Placement, loads: list[Load]) -> Summary:
    """Simulate loads first come, first served."""
    streams = [Stream(load.name, load.arrivals, load.objective_s) for load in loads]
    return summarise(served(placement, streams), placement)


def served(placement: Placement, streams: list[Stream], policy: Callable[[], Policy] = first_come) -> Outcome:
    """Simulate streams, first come, first served where nothing else is said."""
    shapes = {engine.base: SHAPE for engine in placement.engines}
    return simulate(placement, streams, policy(), shapes=shapes, devices=DEVICES)


def _placement(engines: list[PlacedEngine], gpus: int) -> Placement:
    devices = tuple(PlacedDevice(KIND, index=index) for index in range(gpus))
    return Placement(devices, tuple(engines), price_per_hour=gpus * DEVICES[KIND].price_per_hour)


def _engine(name: str, gpu: int, adapters: tuple[str, ...], share: float, base: str = BASE) -> PlacedEngine:
    weights, fixed = weight_bytes(SHAPE), fixed_bytes(SHAPE, EngineFootprint(sequences=SLOTS))
    slots = len(adapters) * adapter_bytes(SHAPE, RANK)
    kv = round(0.95 * share * DEVICES[KIND].memory) - weights - fixed - slots
    return PlacedEngine(
        name=name,
        base=base,
        role=Role.SMALL,
        slices=(Slice(gpu, share),),
        memory=EngineMemory(weights, slots, fixed, kv),
        slots=SLOTS,
        context=CONTEXT,
        adapters=tuple(Adapter(one, RANK) for one in adapters),
        loaded=len(adapters),
    )
