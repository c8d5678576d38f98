"""Audits: the teacher is asked what a specialist was asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.unit.gateway.core import AUDITED, REQUEST, Crowd, World

from offramp.core.errors import UpstreamError
from offramp.gateway.counters import Metric
from offramp.testing.scripted_teacher import Scripted, says, whole

if TYPE_CHECKING:
    from offramp.core.json import JsonObject


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("framing", [{}, {"stream": True, "stream_options": {"include_usage": True}}])
async def test_an_audit_asks_the_teacher_the_same_in_one_plain_piece(
    world: World, framing: JsonObject
) -> None:
    world.router.routing = AUDITED
    world.teacher.then(whole(says("Good evening.")))
    fields = (b"authorization", b"Bearer k"), (b"accept-encoding", b"br"), (b"x-offramp-session", b"r")
    await world.ask_and_audit(json.dumps({**REQUEST, **framing}).encode(), *fields)
    heard = world.teacher.heard[0]
    assert heard.json() == REQUEST
    assert [heard.header(name) for name in ("authorization", "accept-encoding")] == ["Bearer k", None]
    assert heard.header("x-offramp-session") is None


async def test_the_router_is_told_what_the_teacher_said(world: World) -> None:
    world.router.routing = AUDITED
    world.teacher.then(whole(says("Good evening.")))
    await world.ask_and_audit()
    routing, request, teacher = world.router.audits[0]
    assert (routing, request) == (AUDITED, REQUEST)
    assert teacher["choices"][0]["message"]["content"] == "Good evening."
    assert world.counters.value(Metric.AUDITS, "done") == 1


async def test_the_client_does_not_wait_for_the_audit(world: World) -> None:
    world.router.routing = AUDITED
    reply = await world.ask()
    assert reply.complete
    assert world.router.audits == []
    await world.auditor.aclose(grace_s=30)
    assert len(world.router.audits) == 1


async def test_an_audit_is_recorded_beside_the_call(world: World) -> None:
    world.router.routing = AUDITED
    await world.ask_and_audit()
    call, audit = world.taken
    assert (call.route, audit.route) == ("s1", "teacher")
    assert audit.meta == {"task": "t1", "confidence": 0.9, "audit_of": call.id}
    assert b"chat.completion" in audit.response


async def test_an_audit_of_a_busy_teacher_is_tried_again(world: World) -> None:
    world.router.routing = AUDITED
    world.teacher.then(whole({"error": {}}, status=429), Scripted(breaks_off=True))
    await world.ask_and_audit()
    assert len(world.teacher.heard) == 3
    assert len(world.router.audits) == 1


@pytest.mark.parametrize(
    "answers",
    [
        [whole({"error": {}}, status=401)],
        [Scripted([b"not json"])],
        [Scripted([b"[]"])],
        [Scripted(breaks_off=True)] * 3,
    ],
    ids=["refused", "no_json", "no_object", "never_whole"],
)
async def test_an_audit_without_an_answer_is_counted_and_not_observed(
    world: World, answers: list[Scripted]
) -> None:
    world.router.routing = AUDITED
    world.teacher.then(*answers)
    await world.ask_and_audit()
    assert world.counters.value(Metric.AUDITS, "failed") == 1
    assert world.router.audits == []


async def test_a_router_that_fails_on_an_audit_is_counted(world: World) -> None:
    world.router.routing = AUDITED
    await world.ask()
    world.router.failure = RuntimeError("a bug")
    await world.auditor.aclose(grace_s=30)
    assert world.counters.value(Metric.FAULTS, "router") == 1


async def test_an_audit_that_nobody_could_compare_counts_as_none(world: World) -> None:
    world.router.routing = AUDITED
    await world.ask()
    world.router.failure = UpstreamError("the judge is away")
    await world.auditor.aclose(grace_s=30)
    assert world.counters.value(Metric.AUDITS, "failed") == 1
    assert world.counters.value(Metric.FAULTS, "router") == 0


async def test_audits_wait_for_their_turn() -> None:
    crowd = Crowd()
    world = World(app=crowd)
    world.router.routing = AUDITED
    for _ in range(5):
        await world.ask()
    await world.auditor.aclose(grace_s=30)
    assert (crowd.most, len(world.router.audits)) == (2, 5)


async def test_closing_waits_no_longer_than_the_grace(world: World) -> None:
    world.router.routing = AUDITED
    world.teacher.then(whole(says("late"), delay_s=60))
    await world.ask()
    await world.auditor.aclose(grace_s=0.01)
    assert world.router.audits == []
