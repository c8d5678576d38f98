"""A home applied to from the outside, with and without a supervisor there."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest
from tests.unit.enforce.hosts import PACE, Host, engine, until

from offramp.core.errors import BadInput, EngineError, UserError
from offramp.enforce.host import apply, stop

WATCHING = replace(PACE, attempts=0)


async def test_engines_outlive_the_command_that_started_them_and_are_stopped_by_another(host: Host) -> None:
    records = await apply(host.state, host.wanted(engine("a")), PACE)
    assert records["a"].state == "healthy"
    assert set(host.alive()) == {"a"}
    await stop(host.state, PACE)
    assert host.alive() == {}
    assert host.journal("end") == ["end a"]


async def test_a_supervisor_that_is_there_is_handed_what_is_wanted(host: Host) -> None:
    told = asyncio.Event()
    watching = asyncio.create_task(
        apply(host.state, host.wanted(engine("a")), WATCHING, watch=True, told=lambda _: told.set())
    )
    await told.wait()
    records = await apply(host.state, host.wanted(engine("a"), engine("b", device=1)), PACE)
    assert {name: record.state for name, record in records.items()} == {"a": "healthy", "b": "healthy"}
    with pytest.raises(UserError, match="Another supervisor"):
        await apply(host.state, host.wanted(engine("a")), PACE, watch=True)
    await stop(host.state, PACE)
    assert host.alive() == {}
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching


async def test_a_supervisor_that_does_not_get_there_or_ends_is_said(host: Host) -> None:
    with host.state.held(), pytest.raises(EngineError, match=r"did not get there in 0.2 s"):
        await apply(host.state, host.wanted(engine("a")), replace(PACE, start_s=0.2))
    with contextlib.ExitStack() as holding:
        holding.enter_context(host.state.held())
        applying = asyncio.create_task(apply(host.state, host.wanted(engine("b")), PACE))
        await until(
            lambda: (found := host.state.wanted()) is not None and found.placement.engines[0].name == "b"
        )
    with pytest.raises(EngineError, match="ended meanwhile"):
        await applying


async def test_what_cannot_be_expressed_changes_nothing(host: Host) -> None:
    await apply(host.state, host.wanted(engine("a")), PACE)
    with pytest.raises(BadInput, match="not cut"):
        await apply(host.state, host.wanted(engine("a"), engine("b"), backend="mig"), PACE)
    assert set(host.alive()) == {"a"}
