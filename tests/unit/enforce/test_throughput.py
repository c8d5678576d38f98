"""An engine whose speed is known, measured over real HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.unit.enforce.hosts import Host, engine

from offramp.core.errors import BadInput, EngineError
from offramp.enforce.throughput import (
    Profile,
    Questions,
    Step,
    add_profile,
    batches_of,
    measure,
    read_profiles,
)

if TYPE_CHECKING:
    from pathlib import Path

STEP_S, PREFILL_S = 0.01, 0.0005
SLACK = 4.0
"""How much longer things may take on a machine that has other things to do."""


async def test_an_engines_speed_is_found(host: Host) -> None:
    speed = ("--fake-step-s", str(STEP_S), "--fake-prefill-s", str(PREFILL_S))
    questions = Questions("a", prompt=200, completion=8, batches=(4, 1), repeats=2)
    said: list[str] = []
    async with host.applied(host.wanted(engine("a"), extra=speed)):
        url = f"http://127.0.0.1:{host.ports['a']}"
        found = await measure(url, questions, device="l4", told=said.append)
    assert 1 / (SLACK * PREFILL_S) <= found.prefill_tokens_per_s <= SLACK / PREFILL_S
    assert [step.batch for step in found.decode] == [1, 4]
    for step in found.decode:
        assert STEP_S <= step.step_s <= SLACK * STEP_S
    # Sequences that are decoded together cost one step together.
    assert found.decode[1].tokens_per_s > 1.5 * found.decode[0].tokens_per_s
    assert (found.model, found.device, len(said)) == ("a", "l4", 3)


async def test_what_cannot_be_asked_is_said(host: Host) -> None:
    with pytest.raises(EngineError, match="could not be asked"):
        await measure("http://127.0.0.1:9/v1", Questions("a"))
    async with host.applied(host.wanted(engine("a"))):
        url = f"http://127.0.0.1:{host.ports['a']}/elsewhere"
        with pytest.raises(EngineError, match="answered 404"):
            await measure(url, Questions("a"), key="secret")
    with pytest.raises(BadInput, match="measure nothing"):
        await measure("http://127.0.0.1:9", Questions("a", prompt=4))


def test_profiles_are_kept_by_model_and_device(tmp_path: Path) -> None:
    file = tmp_path / "profiles.json"
    first = Profile("a", "l4", 1000.0, 0.01, (Step(1, 0.01, 100.0, 0.02),), 1024, 64, 1.0)
    assert read_profiles(file) == ()
    add_profile(file, first)
    other, newer = replace(first, device="h100"), replace(first, at=2.0)
    add_profile(file, other)
    add_profile(file, newer)
    assert read_profiles(file) == (other, newer)
    file.write_text("[]")
    with pytest.raises(BadInput, match="holds no profiles"):
        add_profile(file, first)


def test_requests_at_once_are_numbers_from_one_on() -> None:
    assert batches_of(["1", "8"]) == (1, 8)
    for words in (["1", "two"], ["0"]):
        with pytest.raises(BadInput):
            batches_of(words)
