"""What passes through the gateway, byte for byte, asked by the unmodified official client."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.flow.gateway.world import HELLO, TOOLS, USAGE, ask, post, raw
from yarl import URL

from offramp.testing.scripted_teacher import Scripted, says, streamed, whole

if TYPE_CHECKING:
    from tests.flow.gateway.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_teachers_answer_reaches_the_client(world: World) -> None:
    world.teacher.then(whole(says("Good day.")))
    assert (await ask(world)).choices[0].message.content == "Good day."


async def test_the_teachers_stream_reaches_the_client(world: World) -> None:
    world.teacher.then(streamed(says("Good day to you."), include_usage=True))
    chunks = [chunk async for chunk in await ask(world, stream=True, stream_options=USAGE)]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == "Good day to you."
    assert chunks[-1].usage is not None


async def test_tool_calls_reach_the_client_whole_and_streamed(world: World) -> None:
    answer = says(tool_calls=[{"name": "book", "arguments": '{"to": "Oslo"}'}])
    world.teacher.then(whole(answer), streamed(answer))
    first = await ask(world, tools=TOOLS)
    async with world.client.chat.completions.stream(model="m", messages=HELLO, tools=TOOLS) as stream:
        second: Any = await stream.get_final_completion()
    for completion in (first, second):
        assert completion.choices[0].message.tool_calls[0].function.arguments == '{"to": "Oslo"}'


def _ask_in_this_thread(url: str, *, stream: bool) -> str:
    with openai.OpenAI(base_url=url + "/v1", api_key="k", max_retries=0) as client:
        if not stream:
            return client.chat.completions.create(model="m", messages=HELLO).choices[0].message.content or ""
        chunks = client.chat.completions.create(model="m", messages=HELLO, stream=True)
        return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_synchronous_client_works_too(world: World, stream: bool) -> None:
    world.teacher.then(streamed(says("Good day.")) if stream else whole(says("Good day.")))
    assert await asyncio.to_thread(_ask_in_this_thread, world.url, stream=stream) == "Good day."


@pytest.mark.parametrize("idle", [True, False])
async def test_request_and_response_survive_byte_for_byte(world: World, idle: bool) -> None:
    world.router.idle = idle
    body = (
        b'{ "model":"m","messages":[{"role":"user","content":[{"type":"text","text":"\\u00e9 \xc3\xa9",'
        b'"cache_control":{"type":"ephemeral"}}],"reasoning_content":"r","odd":null}],"seed":1e0,'
        b'"metadata":{"b":"2","a":"1"},"user":"u","logit_bias":{},"unknown_key":[1.0,{}],'
        b'"parallel_tool_calls":false,"prompt_cache_key":"k" }\n'
    )
    answer = b'{"choices":[{"message":{"reasoning_content":"r","content":"\\u00e9"}}] ,"x_odd":1.0}'
    world.teacher.then(Scripted([answer[:20], answer[20:]]))
    status, received, _ = await post(world, body)
    assert world.teacher.heard[0].body == body
    assert (status, received) == (200, answer)


async def test_events_arrive_as_they_are_sent(world: World) -> None:
    events = streamed(says("a longer answer"), pause_s=0.02)
    world.teacher.then(events)
    url = world.url + "/v1/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, data=b"{}") as response:
        pieces = [piece async for piece in response.content.iter_any()]
    assert b"".join(pieces) == b"".join(events.pieces)
    assert len(pieces) > 1


async def test_broken_events_are_passed_on_as_they_are(world: World) -> None:
    world.teacher.then(Scripted([b"data: {bro", b"ken\n\nevent: x\r\n", b"\xff\x00"]))
    assert (await post(world, b"{}"))[1] == b"data: {broken\n\nevent: x\r\n\xff\x00"


async def test_a_body_that_is_no_json_goes_to_the_teacher(world: World) -> None:
    world.router.idle = False
    world.teacher.then(whole({"error": {"message": "bad json"}}, status=400))
    status, _, _ = await post(world, b"{not json")
    assert status == 400
    assert world.teacher.heard[0].body == b"{not json"
    assert world.router.asked == []


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, openai.NotFoundError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
async def test_the_teachers_errors_stay_its_own(world: World, status: int, error: type[Exception]) -> None:
    payload = {"error": {"message": "not today", "code": "c", "type": "t", "param": None}}
    world.teacher.then(whole(payload, status=status, headers=[(b"retry-after", b"17")]))
    with pytest.raises(error, match="not today") as caught:
        await ask(world)
    response = caught.value.response  # type: ignore[attr-defined] # openai.APIStatusError
    assert response.headers["retry-after"] == "17"
    assert response.headers["x-offramp-route"] == "teacher"


async def test_the_clients_retries_after_a_429_reach_the_teacher(world: World) -> None:
    world.teacher.then(whole({"error": {}}, status=429, headers=[(b"retry-after-ms", b"1")]))
    answer = await world.client.with_options(max_retries=1).chat.completions.create(model="m", messages=HELLO)
    assert answer.choices[0].message.content == "ok"
    assert len(world.teacher.heard) == 2


async def test_fields_of_the_teachers_response_arrive_once(world: World) -> None:
    fields = [(b"x-request-id", b"r1"), (b"date", b"today"), (b"server", b"teacher"), (b"set-cookie", b"a=1")]
    world.teacher.then(whole(says("ok"), headers=fields))
    _, _, headers = await post(world, b"{}")
    assert [headers.getall(name) for name in ("x-request-id", "date", "server", "set-cookie")] == [
        ["r1"],
        ["today"],
        ["teacher"],
        ["a=1"],
    ]


async def test_offramps_own_request_fields_stay_with_offramp(world: World) -> None:
    await post(world, b"{}", **{"X-Offramp-Session": "run-1"})
    assert world.teacher.heard[0].header("x-offramp-session") is None
    assert world.taken[0].run.startswith("run-")
    assert world.taken[0].run != "run-1"


async def test_the_clients_key_reaches_the_teacher(world: World) -> None:
    await ask(world)
    assert world.teacher.heard[0].header("authorization") == "Bearer sk-1"


async def test_other_paths_are_passed_on_and_not_recorded(world: World) -> None:
    world.teacher.then(whole({"object": "list", "data": [{"id": "m1", "object": "model"}]}))
    assert [model.id async for model in world.client.models.list()] == ["m1"]
    assert world.teacher.heard[0].target == "/v1/models"
    assert world.taken == []


async def test_odd_paths_and_methods_are_passed_on_as_written(world: World) -> None:
    url = URL(world.url + "/v1/files/a%2Fb?x=%2F&y", encoded=True)
    async with aiohttp.ClientSession() as session, session.delete(url) as response:
        assert response.status == 200
    heard = world.teacher.heard[0]
    assert (heard.method, heard.target) == ("DELETE", "/v1/files/a%2Fb?x=%2F&y")


async def test_a_request_of_megabytes_is_passed_on(world: World) -> None:
    body = b'{"messages": "' + b"x" * (5 << 20) + b'"}'
    assert (await post(world, body))[0] == 200
    assert world.teacher.heard[0].body == body


async def test_a_request_over_the_limit_is_refused_with_the_limit(world: World) -> None:
    status, body, _ = await post(world, b"x" * (9 << 20))
    assert status == 413
    assert "8388608 bytes" in json.loads(body)["error"]["message"]
    assert world.teacher.heard == []


_TARGETS = [
    "/v1/chat/completions/",
    "/v1/files/a%2Fb?x=%2F&y=%20",
    "/v1//models?",
    "/v1/a;b=c/~d!$&'()*+,@:",
    "/v1/engines/x/completions?q=a?b",
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "POST"])
@pytest.mark.parametrize("target", _TARGETS)
async def test_every_method_and_target_is_passed_on_as_written(
    world: World, method: str, target: str
) -> None:
    status, body = await raw(world, f"{method} {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert (status, body == b"") == (200, method == "HEAD")
    # uvicorn parses a target before it hands it over; what it leaves out there is not ours.
    assert world.teacher.heard[0].target.rstrip("?") == target.rstrip("?")
    assert world.teacher.heard[0].method == method
    assert world.taken == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(min_size=1, max_size=200), max_size=5), whole_body=st.booleans())
async def test_any_bytes_arrive_as_they_were_sent(
    world: World, pieces: list[bytes], whole_body: bool
) -> None:
    world.forget()
    length = [(b"content-length", b"%d" % sum(map(len, pieces)))] if whole_body else []
    world.teacher.then(Scripted(pieces, headers=[(b"content-type", b"text/event-stream"), *length]))
    body = b"".join(pieces)
    assert (await post(world, body))[1] == body
    assert world.teacher.heard[0].body == body
    assert (world.taken[0].request, world.taken[0].response, world.taken[0].complete) == (body, body, True)
