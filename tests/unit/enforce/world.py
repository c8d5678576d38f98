"""Placements that the tests of enforce share."""

from __future__ import annotations

from dataclasses import replace

from offramp.core.placement import Adapter, EngineMemory, PlacedDevice, PlacedEngine, Placement, Role, Slice

GIB = 1 << 30

SMALL = PlacedEngine(
    "qwen3-4b.0",
    "/models/qwen3-4b",
    Role.SMALL,
    (Slice(0, 0.4),),
    EngineMemory(weights=8 * GIB, adapters=GIB // 2, fixed=2 * GIB, kv=6 * GIB),
    slots=32,
    context=8192,
    adapters=(
        Adapter("intent-v1", 16, "/models/adapters/intent-v1"),
        Adapter("sql-v2", 8, "/models/adapters/sql-v2"),
        Adapter("tools-v1", 16, "/models/adapters/tools-v1"),
    ),
    loaded=2,
)
TINY = PlacedEngine(
    "gemma-1b.0",
    "/models/gemma-1b",
    Role.SMALL,
    (Slice(0, 0.2),),
    EngineMemory(weights=2 * GIB, adapters=0, fixed=GIB, kv=3 * GIB),
    slots=16,
    context=4096,
)
LLM = PlacedEngine(
    "llama-70b.0",
    "meta-llama/Llama-3.3-70B-Instruct",
    Role.LLM,
    (Slice(1, 1.0), Slice(2, 1.0)),
    EngineMemory(weights=70 * GIB, adapters=0, fixed=4 * GIB, kv=40 * GIB),
    slots=8,
    context=32768,
)
SHARED = Placement(
    (PlacedDevice("h100"), PlacedDevice("h200", index=1), PlacedDevice("h200", index=2)), (SMALL, TINY, LLM)
)
CUT = Placement(
    (PlacedDevice("h100", profiles=("3g.40gb", "2g.20gb", "2g.20gb")), *SHARED.devices[1:]),
    (
        replace(SMALL, slices=(Slice(0, 3 / 7, 0),)),
        replace(TINY, slices=(Slice(0, 2 / 7, 1),)),
        replace(TINY, name="gemma-1b.1", slices=(Slice(0, 2 / 7, 2),)),
        LLM,
    ),
)
