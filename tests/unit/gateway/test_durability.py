"""A call is recorded before the last byte of its answer is sent."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.gateway.core import SPECIALIST, World

from offramp.testing.scripted_teacher import Scripted, says, streamed


@pytest.fixture
def world() -> World:
    return World()


async def test_a_whole_answer_is_recorded_before_a_byte_of_it_is_sent(world: World) -> None:
    reply = await world.ask()
    assert world.sent_when_taken == [(b"", False)]
    assert world.taken[0].response == b"".join(reply.pieces)


async def test_a_stream_is_recorded_before_its_end_is_sent(world: World) -> None:
    events = streamed(says("a longer answer"))
    world.teacher.then(events)
    await world.ask()
    assert world.sent_when_taken == [(b"".join(events.pieces), False)]


async def test_a_specialists_answer_is_recorded_before_it_is_sent(world: World) -> None:
    world.router.routing = SPECIALIST
    reply = await world.ask()
    assert world.sent_when_taken == [(b"", False)]
    assert world.taken[0].response == b"".join(reply.pieces)


async def test_an_error_of_the_gateways_own_is_recorded_before_it_is_sent(world: World) -> None:
    world.teacher.then(Scripted(breaks_off=True))
    reply = await world.ask()
    assert world.sent_when_taken == [(b"", False)]
    assert world.taken[0].response == b"".join(reply.pieces)


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    declared=st.booleans(),
    breaks_off=st.booleans(),
)
def test_what_is_recorded_is_what_was_sent(pieces: list[bytes], declared: bool, breaks_off: bool) -> None:
    """For any pieces: the same bytes to the client and to the record, and the last one not before it."""

    async def run() -> World:
        world = World()
        length = [(b"content-length", b"%d" % sum(map(len, pieces)))] if declared else []
        cut = breaks_off and bool(pieces)
        given = [*pieces, b"never"] if cut and declared else pieces
        world.teacher.then(Scripted(given[: len(pieces)], headers=length, breaks_off=cut and not declared))
        await world.ask()
        return world

    world = asyncio.run(run())
    (reply,), (taken,), ((before, complete),) = world.replies, world.taken, world.sent_when_taken
    assert b"".join(reply.pieces) == b"".join(pieces) == taken.response
    assert taken.complete == reply.complete
    assert not complete
    assert not taken.complete or not declared or not pieces or len(before) < len(taken.response)


async def test_a_call_is_taken_once_even_where_the_tap_fails(world: World) -> None:
    world.tap_failure = RuntimeError("disk on fire")
    await world.ask()
    assert len(world.sent_when_taken) == 1


async def test_the_answer_names_the_record(world: World) -> None:
    assert (await world.ask()).field("x-offramp-id") == world.taken[0].id
