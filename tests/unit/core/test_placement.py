from __future__ import annotations

import json
from dataclasses import replace

import pytest

from offramp.core.errors import BadInput
from offramp.core.placement import (
    Adapter,
    EngineMemory,
    PlacedDevice,
    PlacedEngine,
    Placement,
    Reserve,
    Role,
    Slice,
)

ENGINE = PlacedEngine(
    "small.0",
    "qwen3-4b",
    Role.SMALL,
    (Slice(0, 0.5),),
    EngineMemory(weights=8, adapters=1, fixed=2, kv=4),
    slots=16,
    context=4096,
    adapters=(Adapter("s-1", 12), Adapter("s-2", 8, "/adapters/s-2")),
    loaded=2,
)
PLACEMENT = Placement(
    (PlacedDevice("h100-80gb", profiles=("3g.40gb", "4g.40gb")), PlacedDevice("l4", "node-1")),
    (ENGINE, replace(ENGINE, name="llm.0", role=Role.LLM, adapters=(), slices=(Slice(1, 1.0, 0),))),
    Reserve(slots=2, kv=8, share=0.25, wait_s=1.0, probability=0.01),
    overflow=1e-3,
    price_per_hour=3.5,
)


def test_a_placement_survives_json() -> None:
    assert Placement.from_dict(json.loads(json.dumps(PLACEMENT.to_dict()))) == PLACEMENT
    alone = replace(PLACEMENT, reserve=None)
    assert Placement.from_dict(json.loads(json.dumps(alone.to_dict()))) == alone


def test_slots_are_padded_to_the_next_rank_that_the_engine_knows() -> None:
    assert ENGINE.rank == 16
    assert replace(ENGINE, adapters=()).rank == 0
    assert replace(ENGINE, adapters=(Adapter("s", 600),)).rank == 600


def test_engines_of_a_device_and_their_memory() -> None:
    assert [engine.name for engine in PLACEMENT.on(1)] == ["llm.0"]
    assert ENGINE.memory.total == 15


@pytest.mark.parametrize(
    ("engines", "match"),
    [
        ((ENGINE, ENGINE), "two engines of one name"),
        ((replace(ENGINE, slices=()),), "on no device"),
        ((replace(ENGINE, slices=(Slice(2),)),), "there are 2 devices"),
        ((replace(ENGINE, slices=(Slice(0, 0.0),)),), "share 0 of device 0"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(engines: tuple[PlacedEngine, ...], match: str) -> None:
    with pytest.raises(BadInput, match=match):
        replace(PLACEMENT, engines=engines)
