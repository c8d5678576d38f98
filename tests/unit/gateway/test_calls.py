"""The gateway's core without a server: what is decided, asked and recorded of one call."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging

import pytest
from tests.unit.gateway.core import AT, BODY, KEY, REQUEST, SPECIALIST, World

from offramp.core.call import Answer
from offramp.core.decision import Routing
from offramp.gateway.counters import Metric
from offramp.record.pseudonym import Pseudonyms, who_asked
from offramp.testing.scripted_teacher import Scripted, says, streamed, whole


@pytest.fixture
def world() -> World:
    return World()


async def test_an_idle_router_is_not_asked_and_the_body_not_decoded(world: World) -> None:
    world.router.idle = True
    reply = await world.ask(b"{not json")
    assert (reply.status, world.router.asked) == (200, [])
    ours = [name for name, _ in reply.headers if name.startswith(b"x-offramp")]
    assert ours == [b"x-offramp-route", b"x-offramp-id"]


@pytest.mark.parametrize("body", [b"{not json", b"[1]", b"", b"\xff"])
async def test_a_body_that_is_no_object_is_the_teachers_to_refuse(world: World, body: bytes) -> None:
    world.router.routing = SPECIALIST
    await world.ask(body)
    assert world.teacher.heard[0].body == body
    assert world.router.asked == []


async def test_the_router_sees_the_decoded_request(world: World) -> None:
    await world.ask()
    assert world.router.asked == [REQUEST]


async def test_a_specialists_answer_spares_the_teacher(world: World) -> None:
    world.router.routing = SPECIALIST
    reply = await world.ask()
    assert reply.json()["choices"][0]["message"]["content"] == "Good day."
    assert world.teacher.heard == []


async def test_the_declared_length_is_the_length(world: World) -> None:
    world.router.routing = SPECIALIST
    reply = await world.ask()
    assert reply.field("content-length") == str(sum(map(len, reply.pieces)))


@pytest.mark.parametrize(
    ("routing", "fields"),
    [
        (SPECIALIST, ("s1", "t1", "0.988", None)),
        (
            Routing(task="t1", reason="below threshold", confidence=0.5),
            ("teacher", "t1", "0.500", "below threshold"),
        ),
        (Routing(reason="no task"), ("teacher", None, None, "no task")),
        (Routing(task="größe\r\nx: y"), ("teacher", "gr??e x: y", None, None)),
    ],
)
async def test_the_fields_say_who_answered_and_why(
    world: World, routing: Routing, fields: tuple[str | None, ...]
) -> None:
    world.router.routing = routing
    reply = await world.ask()
    assert (
        tuple(reply.field(f"x-offramp-{name}") for name in ("route", "task", "confidence", "reason"))
        == fields
    )


async def test_an_answer_kept_in_shadow_is_not_given(world: World) -> None:
    world.router.routing = Routing(task="t1", route="teacher", reason="shadow", answer=Answer("x"))
    assert (await world.ask()).json()["choices"][0]["message"]["content"] == "ok"


async def test_a_router_that_fails_means_the_teacher(world: World) -> None:
    world.router.failure = RuntimeError("a bug")
    reply = await world.ask()
    assert reply.json()["choices"][0]["message"]["content"] == "ok"
    assert reply.field("x-offramp-reason") == "router failed"
    assert world.counters.value(Metric.FAULTS, "router") == 1


async def test_calls_are_counted_by_route_and_reason(world: World) -> None:
    world.router.routing = SPECIALIST
    await world.ask()
    world.router.routing = Routing(reason="no task")
    await world.ask()
    counted = (world.counters.value(Metric.CALLS, "s1"), world.counters.value(Metric.CALLS, "teacher"))
    assert (*counted, world.counters.value(Metric.DEFERRALS, "no task")) == (1, 1, 1)


async def test_the_head_waits_for_the_first_piece_so_that_an_error_can_be_told(world: World) -> None:
    world.teacher.then(Scripted(breaks_off=True))
    reply = await world.ask()
    assert (reply.status, reply.complete) == (502, True)
    assert reply.json()["error"]["code"] == "upstream_error"


async def test_a_silent_teacher_is_a_504() -> None:
    world = World(silence_s=0.05)
    world.teacher.then(whole(says("late"), delay_s=60))
    reply = await world.ask()
    assert reply.status == 504
    assert reply.field("x-offramp-route") == "teacher"
    assert "did not answer in time" in reply.json()["error"]["message"]


async def test_what_breaks_off_stays_incomplete(world: World) -> None:
    world.teacher.then(Scripted([b"data: "], breaks_off=True))
    reply = await world.ask()
    assert (reply.status, reply.pieces, reply.complete) == (200, [b"data: "], False)


async def test_an_empty_body_is_complete(world: World) -> None:
    world.teacher.then(Scripted(status=204))
    reply = await world.ask()
    assert (reply.status, reply.pieces, reply.complete) == (204, [], True)


async def test_pieces_are_passed_on_one_by_one(world: World) -> None:
    events = streamed(says("a longer answer"))
    world.teacher.then(events)
    assert (await world.ask()).pieces == list(events.pieces)


async def test_what_is_for_offramp_is_not_for_the_teacher(world: World) -> None:
    await world.ask(BODY, (b"x-offramp-session", b"run-1"), (b"x-other", b"1"))
    assert world.teacher.heard[0].header("x-offramp-session") is None
    assert world.teacher.heard[0].header("x-other") == "1"


@pytest.mark.parametrize(("accepted", "asked_for"), [(b"br, zstd, gzip", "gzip"), (b"br", "identity")])
async def test_only_compression_that_the_recorder_reads_is_let_through(
    world: World, accepted: bytes, asked_for: str
) -> None:
    await world.ask(BODY, (b"accept-encoding", accepted))
    assert world.teacher.heard[0].header("accept-encoding") == asked_for


async def test_a_call_is_recorded_as_it_went_over_the_wire(world: World) -> None:
    answer = whole(says("Good day."))
    world.teacher.then(answer)
    await world.ask(b'{"a":  1}', (b"user-agent", b"agent/1"), (b"x-secret", b"s"))
    call = world.taken[0]
    assert (call.request, call.response) == (b'{"a":  1}', answer.pieces[0])
    assert (call.status, call.content_type, call.stream) == (200, "application/json", False)
    assert (call.route, call.complete, call.started_at) == ("teacher", True, AT)
    assert call.who == who_asked(Pseudonyms(KEY), "", "10.0.0.1")
    assert call.meta == {}
    assert call.latency_s > 0


async def test_a_stream_is_recorded_with_all_its_bytes(world: World) -> None:
    events = streamed(says("a longer answer"))
    world.teacher.then(events)
    await world.ask()
    assert world.taken[0].response == b"".join(events.pieces)
    assert world.taken[0].stream


async def test_a_compressed_answer_is_recorded_as_it_is_and_says_so(world: World) -> None:
    packed = gzip.compress(b"{}")
    world.teacher.then(Scripted([packed], headers=[(b"content-encoding", b"gzip")]))
    reply = await world.ask()
    assert reply.pieces == [packed]
    assert (world.taken[0].response, world.taken[0].content_encoding) == (packed, "gzip")


@pytest.mark.parametrize(
    ("scripted", "status", "complete"),
    [
        (whole({"error": {}}, status=429), 429, True),
        (Scripted([b"data: "], breaks_off=True), 200, False),
        (Scripted(breaks_off=True), 502, True),
    ],
)
async def test_what_went_wrong_is_recorded_too(
    world: World, scripted: Scripted, status: int, complete: bool
) -> None:
    world.teacher.then(scripted)
    await world.ask()
    assert (world.taken[0].status, world.taken[0].complete) == (status, complete)


async def test_a_client_that_left_before_the_head_is_recorded_as_499(world: World) -> None:
    world.teacher.then(whole(says("late"), delay_s=60))
    asking = asyncio.create_task(world.ask())
    while not world.teacher.heard:  # noqa: ASYNC110 - the teacher sets no event
        await asyncio.sleep(0)
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    assert (world.taken[0].status, world.taken[0].complete) == (499, False)
    assert world.teacher.abandoned == 1


async def test_the_record_says_which_specialist_answered(world: World) -> None:
    world.router.routing = SPECIALIST
    reply = await world.ask()
    call = world.taken[0]
    assert (call.route, call.meta) == ("s1", {"task": "t1", "confidence": 0.98765})
    assert call.response == b"".join(reply.pieces)


async def test_the_record_says_why_the_teacher_answered(world: World) -> None:
    world.router.routing = Routing(task="t1", reason="below threshold", confidence=0.5)
    await world.ask()
    assert world.taken[0].meta == {"task": "t1", "confidence": 0.5, "reason": "below threshold"}


async def test_a_recorder_that_fails_does_not_touch_the_traffic(world: World) -> None:
    world.tap_failure = RuntimeError("disk on fire")
    assert (await world.ask()).complete
    assert world.counters.value(Metric.FAULTS, "tap") == 1


async def test_a_failed_call_is_one_line_with_its_id_and_no_content(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.teacher.then(Scripted(breaks_off=True))
    with caplog.at_level(logging.INFO, logger="offramp.gateway"):
        reply = await world.ask(b'{"secret": 1}', (b"authorization", b"Bearer sk-secret"))
    line = next(record for record in caplog.records if record.message.endswith("failed with status 502"))
    facts = vars(line)
    assert (facts["call"], facts["dialect"], facts["status"]) == (reply.field("x-offramp-id"), "chat", 502)
    assert (facts["error"], facts["complete"], facts["route"]) == ("UpstreamError", True, "teacher")
    assert "secret" not in repr([vars(record) for record in caplog.records])
