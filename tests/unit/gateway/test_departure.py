from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from offramp.gateway.departure import Departure

if TYPE_CHECKING:
    from offramp.upstream.asgi import Message


class _Client:
    """Leaves when it is told to."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}


async def test_a_client_that_stays_changes_nothing() -> None:
    async with Departure(_Client().receive) as departure:
        await asyncio.sleep(0)
    assert not departure.gone


async def test_a_client_that_leaves_ends_the_block_and_no_more() -> None:
    client = _Client()
    reached = False
    async with Departure(client.receive) as departure:
        client.left.set()
        await asyncio.sleep(10)
        reached = True
    await asyncio.sleep(0)
    assert departure.gone
    assert not reached


async def test_an_answer_on_its_way_out_is_not_cancelled() -> None:
    client = _Client()
    async with Departure(client.receive) as departure:
        departure.complete()
        client.left.set()
        await asyncio.sleep(0.01)
    assert not departure.gone


async def test_a_cancellation_from_elsewhere_goes_through() -> None:
    async def guarded() -> None:
        async with Departure(_Client().receive):
            await asyncio.sleep(10)

    task = asyncio.create_task(guarded())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_from_elsewhere_wins_over_the_clients() -> None:
    client = _Client()

    async def guarded() -> None:
        async with Departure(client.receive):
            await asyncio.sleep(10)

    task = asyncio.create_task(guarded())
    await asyncio.sleep(0.01)
    client.left.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_block_goes_through() -> None:
    with pytest.raises(KeyError):
        async with Departure(_Client().receive):
            raise KeyError("a bug")


async def test_watching_ends_with_the_block() -> None:
    before = len(asyncio.all_tasks())
    async with Departure(_Client().receive):
        pass
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before
