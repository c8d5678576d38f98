"""The replay teacher, asked by the official client over a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest
import pytest_asyncio

from offramp.upstream.recording import Recording
from offramp.upstream.replay import Replay
from offramp.upstream.serving import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offramp.core.json import JsonObject

pytestmark = pytest.mark.asyncio(loop_scope="module")

_TOOLS: list[Any] = [{"type": "function", "function": {"name": "book", "parameters": {"type": "object"}}}]


def _request(text: str, **fields: object) -> JsonObject:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **fields}


def _message(**message: object) -> JsonObject:
    return {"choices": [{"message": {"role": "assistant", "content": None, **message}}]}


def _recording() -> Recording:
    recording = Recording()
    recording.add(_request("hello"), _message(content="Good day to you."))
    recording.add(_request("dice"), _message(content="1"))
    recording.add(_request("dice"), _message(content="2"))
    call = {"function": {"name": "book", "arguments": '{"to": "Oslo", "seats": 2}'}}
    recording.add(_request("fly", tools=_TOOLS), _message(tool_calls=[call, call]))
    recording.add(_request("busy"), {"error": {"message": "slow down", "code": "rate"}}, status=429)
    recording.add(_request("filtered"), {"choices": [{"finish_reason": "content_filter"}]})
    return recording


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[openai.AsyncOpenAI]:
    async with Server(Replay(_recording(), latency_s=0.001), grace_s=1) as server:
        url = server.address.url + "/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as made:
            yield made


async def test_a_recorded_request_gets_its_answer(client: openai.AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(**_request("hello"))
    assert completion.choices[0].message.content == "Good day to you."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.id.startswith("chatcmpl-")
    assert completion.usage is not None


async def test_made_up_ids_are_the_same_each_time(client: openai.AsyncOpenAI) -> None:
    first, second = [await client.chat.completions.create(**_request("hello")) for _ in range(2)]
    assert first == second


async def test_repeated_requests_rotate_over_their_answers(client: openai.AsyncOpenAI) -> None:
    completions = [await client.chat.completions.create(**_request("dice")) for _ in range(4)]
    assert [completion.choices[0].message.content for completion in completions] == ["1", "2", "1", "2"]


async def test_the_same_answer_can_be_streamed(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(**_request("hello"), stream=True)
    chunks = [chunk async for chunk in stream]
    pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices]
    assert "".join(piece or "" for piece in pieces) == "Good day to you."
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


async def test_a_stream_ends_with_usage_where_asked(client: openai.AsyncOpenAI) -> None:
    options: Any = {"include_usage": True}
    stream = await client.chat.completions.create(**_request("hello"), stream=True, stream_options=options)
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].usage is not None
    assert chunks[-1].choices == []


async def test_tool_calls_come_whole(client: openai.AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(**_request("fly", tools=_TOOLS))
    calls: Any = completion.choices[0].message.tool_calls
    assert [call.function.arguments for call in calls] == ['{"to": "Oslo", "seats": 2}'] * 2
    assert calls[0].id != calls[1].id


async def test_the_clients_own_stream_reader_puts_tool_calls_together(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.stream(**_request("fly", tools=_TOOLS)) as stream:
        completion: Any = await stream.get_final_completion()
    calls = completion.choices[0].message.tool_calls
    assert [call.function.arguments for call in calls] == ['{"to": "Oslo", "seats": 2}'] * 2
    assert completion.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_recorded_error_comes_back_with_its_status(client: openai.AsyncOpenAI, stream: bool) -> None:
    with pytest.raises(openai.RateLimitError, match="slow down"):
        await client.chat.completions.create(**_request("busy"), stream=stream)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_choice_without_message_is_served(client: openai.AsyncOpenAI, stream: bool) -> None:
    answer: Any = await client.chat.completions.create(**_request("filtered"), stream=stream)
    last = [chunk async for chunk in answer][-1] if stream else answer
    assert last.choices[0].finish_reason == "content_filter"


async def test_an_unknown_request_says_what_is_known_and_what_to_do(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.chat.completions.create(**_request("never recorded"))
    assert "None of the 6 recorded calls has this request" in caught.value.message
    assert "'gpt-4o', 1 messages" in caught.value.message
    assert caught.value.code == "unknown_request"


async def test_the_models_are_those_that_were_asked(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["gpt-4o"]


async def test_another_endpoint_says_what_there_is(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="It serves POST /v1/chat/completions"):
        await client.embeddings.create(model="e", input="x")


@pytest.mark.parametrize("body", [b"{broken", b"[1]", b'{"big": 1e999}'])
async def test_a_body_that_is_no_request_is_refused(client: openai.AsyncOpenAI, body: bytes) -> None:
    with pytest.raises(openai.BadRequestError, match="request body"):
        await client.post("/chat/completions", content=body, cast_to=object)
