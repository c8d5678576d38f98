"""Teachers and clients that fail, and the gateway's own pages."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import openai
import pytest
from tests.flow.gateway.world import HELLO, ask, eventually, get, post

import offramp
from offramp.gateway import Gateway, Metric
from offramp.testing.scripted_teacher import Scripted, ScriptedTeacher, says, streamed, whole
from offramp.upstream.pool import PooledUpstream
from offramp.upstream.port import Timeouts
from offramp.upstream.recording import Recording
from offramp.upstream.replay import Replay
from offramp.upstream.serving import Server

if TYPE_CHECKING:
    from tests.flow.gateway.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_slow_teacher_is_a_504_that_names_the_cause() -> None:
    teacher = ScriptedTeacher(otherwise=whole(says("late"), delay_s=60))
    async with (
        Server(teacher, grace_s=1) as behind,
        contextlib.aclosing(PooledUpstream(behind.address.url, timeouts=Timeouts(silence=0.1))) as upstream,
        Server(Gateway(upstream), grace_s=1) as front,
        openai.AsyncOpenAI(base_url=front.address.url + "/v1", api_key="k", max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError, match="did not answer in time") as caught:
            await client.chat.completions.create(model="m", messages=HELLO)
    assert caught.value.status_code == 504
    assert caught.value.code == "upstream_timeout"
    assert caught.value.response.headers["x-offramp-route"] == "teacher"


async def test_a_teacher_that_breaks_off_before_its_first_byte_is_a_502(world: World) -> None:
    world.teacher.then(Scripted(breaks_off=True))
    with pytest.raises(openai.InternalServerError, match="broke off") as caught:
        await ask(world)
    assert caught.value.status_code == 502


async def test_half_a_stream_breaks_off_for_the_client_too(world: World) -> None:
    pieces = streamed(says("a longer answer")).pieces[:3]
    world.teacher.then(Scripted(pieces, headers=[(b"content-type", b"text/event-stream")], breaks_off=True))
    stream = await ask(world, stream=True)
    for _ in pieces:
        await anext(stream)
    with pytest.raises(openai.APIConnectionError):
        await anext(stream)
    assert world.gateway.counters.value(Metric.ERRORS, "UpstreamError") > 0
    assert (world.taken[0].complete, world.taken[0].response) == (False, b"".join(pieces))


async def test_an_unreachable_teacher_is_a_502_that_says_where_it_should_be() -> None:
    upstream = PooledUpstream("http://127.0.0.1:9/v1", connect_retries=0)
    async with (
        contextlib.aclosing(upstream),
        Server(Gateway(upstream), grace_s=1) as server,
        openai.AsyncOpenAI(base_url=server.address.url + "/v1", api_key="k", max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError, match=r"127\.0\.0\.1:9/v1 cannot be reached"):
            await client.chat.completions.create(model="m", messages=HELLO)


async def test_a_client_that_leaves_while_it_waits_cancels_the_teachers_work(world: World) -> None:
    world.teacher.then(whole(says("late"), delay_s=60))
    gone = world.gateway.counters.value(Metric.GONE)
    asking = asyncio.create_task(post(world, b"{}"))
    await eventually(lambda: len(world.teacher.heard) == 1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await eventually(lambda: world.teacher.abandoned == 1)
    await eventually(lambda: world.gateway.counters.value(Metric.GONE) == gone + 1)
    assert (world.taken[0].status, world.taken[0].complete) == (499, False)


async def test_a_client_that_leaves_a_stream_cancels_the_teachers_work(world: World) -> None:
    world.teacher.then(streamed(says("a slow answer"), pause_s=60))
    stream = await ask(world, stream=True)
    await anext(stream)
    await stream.close()
    await eventually(lambda: world.teacher.abandoned == 1)
    await eventually(lambda: len(world.taken) == 1)
    assert (world.taken[0].status, world.taken[0].complete) == (200, False)


async def test_a_recorder_that_fails_does_not_touch_the_traffic(world: World) -> None:
    world.tapped.failure = RuntimeError("disk on fire")
    faults = world.gateway.counters.value(Metric.FAULTS, "tap")
    assert (await ask(world)).choices[0].message.content == "ok"
    assert world.gateway.counters.value(Metric.FAULTS, "tap") == faults + 1


async def test_health_names_the_version(world: World) -> None:
    status, text = await get(world, "/health")
    assert (status, json.loads(text)) == (200, {"status": "ok", "version": offramp.__version__})


async def test_status_says_what_it_was_given(world: World) -> None:
    assert json.loads((await get(world, "/offramp/status"))[1]) == {"live": ["s1"]}


async def test_metrics_count_the_calls(world: World) -> None:
    before = world.gateway.counters.value(Metric.CALLS, "teacher")
    await ask(world)
    assert world.gateway.counters.value(Metric.CALLS, "teacher") == before + 1
    line = 'offramp_calls_total{route="teacher",dialect="chat",status="200"} '
    assert line in (await get(world, "/metrics"))[1]


async def test_an_unknown_path_says_what_there_is(world: World) -> None:
    status, text = await get(world, "/chat/completions")
    assert status == 404
    assert f"Set the client's base URL to {world.url}/v1" in json.loads(text)["error"]["message"]
    assert world.teacher.heard == []


async def test_recorded_calls_replay_through_the_gateway() -> None:
    recording = Recording()
    recording.add({"model": "m", "messages": HELLO}, says("Recorded."))
    async with (
        Server(Replay(recording), grace_s=1) as behind,
        contextlib.aclosing(PooledUpstream(behind.address.url)) as upstream,
        Server(Gateway(upstream), grace_s=1) as front,
        openai.AsyncOpenAI(base_url=front.address.url + "/v1", api_key="k") as client,
    ):
        answer = await client.chat.completions.create(model="m", messages=HELLO)
        with pytest.raises(openai.NotFoundError, match="None of the 1 recorded calls"):
            await client.chat.completions.create(model="other", messages=HELLO)
    assert answer.choices[0].message.content == "Recorded."
