"""Small placements and shapes for tests of the simulator."""

from __future__ import annotations

from offramp.core.placement import (
    Adapter,
    EngineMemory,
    PlacedDevice,
    PlacedEngine,
    Placement,
    Role,
    Slice,
)
from offramp.plan.devices import Device
from offramp.plan.memory import kv_bytes
from offramp.plan.shape import read_shape

BASE = read_shape(
    {
        "model_type": "qwen3",
        "num_hidden_layers": 28,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
    name="base",
)
DEVICE = Device("gpu", "gpu", "a test's", 80 * 2**30, 2e12, 312e12, 2.0, "made up")


def engine(
    name: str = "one",
    *,
    kv_tokens: int = 1_000_000,
    slots: int = 32,
    adapters: tuple[str, ...] = (),
    loaded: int = 0,
    share: float = 1.0,
    devices: tuple[int, ...] = (0,),
) -> PlacedEngine:
    memory = EngineMemory(2**30, len(adapters) * 2**26, 2**30, kv_tokens * kv_bytes(BASE, 1) // len(devices))
    return PlacedEngine(
        name=name,
        base="base",
        role=Role.SMALL,
        slices=tuple(Slice(device, share) for device in devices),
        memory=memory,
        slots=slots,
        context=4096,
        adapters=tuple(Adapter(one, 16) for one in adapters),
        loaded=loaded,
    )


def placement(*engines: PlacedEngine, devices: int = 1) -> Placement:
    there = tuple(PlacedDevice("gpu", index=index) for index in range(devices))
    return Placement(there, engines, overflow=0.01, price_per_hour=2.0 * devices)
