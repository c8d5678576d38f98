"""Every format reads what it wrote, and the rows that other tools write."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.call import Call, Dialect, Usage, answer_of, text_of
from offramp.core.errors import BadInput
from offramp.interchange import FORMATS, format_named
from offramp.interchange.formats import format_of
from offramp.interchange.genai import span_of

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
NAMES = [known.name for known in FORMATS]
ROUND = [name for name in NAMES if name != "chat"]

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def tool_calls(draw: st.DrawFn) -> list[JsonObject]:
    return [
        {
            "id": f"call_{index}",
            "type": "function",
            "function": {
                "name": draw(st.sampled_from(["look_up", "book"])),
                "arguments": json.dumps(draw(st.dictionaries(words, values, max_size=3))),
            },
        }
        for index in range(draw(st.integers(1, 3)))
    ]


@st.composite
def messages(draw: st.DrawFn) -> list[JsonObject]:
    made: list[JsonObject] = [{"role": "system", "content": draw(words)}]
    for _ in range(draw(st.integers(1, 3))):
        made.append({"role": "user", "content": draw(words)})
        if draw(st.booleans()):
            called = draw(tool_calls())
            made.append({"role": "assistant", "content": None, "tool_calls": called})
            made.extend({"role": "tool", "tool_call_id": c["id"], "content": draw(words)} for c in called)
    return made


@st.composite
def calls(draw: st.DrawFn) -> Call:
    answer: JsonObject = {"role": "assistant", "content": draw(words)}
    finish = "stop"
    if draw(st.booleans()):
        answer = {"role": "assistant", "content": None, "tool_calls": draw(tool_calls())}
        finish = "tool_calls"
    request: JsonObject = {"model": "m-1", "messages": draw(messages())}
    request |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "tools": st.just([TOOL]),
                "temperature": st.sampled_from([0.0, 0.7]),
                "seed": st.integers(0, 9),
                "response_format": st.just({"type": "json_object"}),
                "x_unknown": values,
            },
        )
    )
    stream = draw(st.booleans())
    return Call(
        id="0192f0c1a2b3-" + "5" * 16,
        at=1_700_000_000 + draw(st.integers(0, 10**6)) / 1000,
        session="session-1",
        origin="origin-1",
        request=request | ({"stream": True} if stream else {}),
        response={
            "id": "r",
            "model": "m-1",
            "choices": [{"index": 0, "message": answer, "finish_reason": finish}],
        },
        stream=stream,
        latency_s=draw(st.integers(0, 9000)) / 1000,
        usage=Usage(draw(st.integers(1, 999)), draw(st.integers(0, 999))),
        trainable=draw(st.booleans()),
    )


def normal(call: Call) -> Any:
    """Everything that the formats promise to keep."""
    request = dict(call.request)
    request["messages"] = [
        {k: (text_of(v) if k == "content" else _decoded(v)) for k, v in message.items() if v is not None}
        | {"content": text_of(message.get("content"))}
        for message in request["messages"]
    ]
    return (
        request,
        answer_of(call.response),
        call.session,
        round(call.at, 3),
        round(call.latency_s, 3),
        call.stream,
    )


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [
            c | {"function": c["function"] | {"arguments": json.loads(c["function"]["arguments"])}}
            for c in value
        ]
    return value


@pytest.mark.parametrize("name", ROUND)
@given(call=calls())
def test_what_is_written_is_read_back(name: str, call: Call) -> None:
    known = format_named(name)
    row = json.loads(json.dumps(known.write(call)))
    (back,) = known.read(row, 1)
    assert normal(back) == normal(call)
    assert (back.trainable, back.status, back.id) == (call.trainable, call.status, call.id)
    if name != "pairs":  # which keeps the provider's own count
        assert back.usage == call.usage


@given(call=calls())
def test_a_fine_tuning_row_keeps_messages_tools_and_answer(call: Call) -> None:
    known = format_named("chat")
    (back,) = known.read(json.loads(json.dumps(known.write(call))), 1)
    assert back.request["messages"] == call.request["messages"]
    assert back.request.get("tools") == call.request.get("tools")
    assert answer_of(back.response) == answer_of(call.response)


@given(call=calls())
def test_every_row_is_recognised_as_what_it_is(call: Call) -> None:
    assert [getattr(format_of(known.write(call)), "name", None) for known in FORMATS] == NAMES


@pytest.mark.parametrize("name", ROUND)
def test_a_failed_call_stays_one(name: str) -> None:
    error = {"error": {"message": "slow down", "type": "rate_limit", "code": "429"}}
    request = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    call = Call("i", 1_700_000_000.0, "s", "o", request, error, status=429)
    (back,) = format_named(name).read(format_named(name).write(call), 1)
    assert back.status == 429
    assert "error" in back.response


def test_an_embedding_call_comes_back_as_a_pair() -> None:
    call = Call("i", 1.0, "s", "o", {"model": "e", "input": "hi"}, {"data": []}, dialect=Dialect.EMBEDDINGS)
    (back,) = format_named("pairs").read(format_named("pairs").write(call), 1)
    assert (back.request, back.dialect) == (call.request, Dialect.EMBEDDINGS)


def test_a_failed_call_is_nothing_to_learn_from() -> None:
    call = Call("i", 1.0, "s", "o", {"messages": []}, {"error": {}}, status=429)
    with pytest.raises(ValueError, match="no answer"):
        format_named("chat").write(call)


def test_a_span_without_content_holds_no_text() -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "the secret plan"}], "user": "jane"}
    response = {"choices": [{"message": {"role": "assistant", "content": "the secret answer"}}]}
    text = json.dumps(span_of(Call("i", 1.0, "s", "o", request, response), content=False))
    assert "secret" not in text
    assert "jane" not in text


def test_an_unknown_format_is_named_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"no format 'csv'.*chat, langfuse, litellm, otel, pairs"):
        format_named("csv")


def test_a_langfuse_trace_download_gives_its_generations() -> None:
    generation = {
        "id": "o1",
        "type": "GENERATION",
        "startTime": "2026-01-02T03:04:05.000Z",
        "endTime": "2026-01-02T03:04:06.500Z",
        "model": "gpt-x",
        "modelParameters": '{"temperature": 0.2}',
        "input": '[{"role": "user", "content": "hi"}]',
        "output": '{"role": "assistant", "content": "hello"}',
        "usageDetails": {"input": 11, "output": 3, "total": 14},
    }
    row = {
        "trace": {"id": "t", "sessionId": "run-1", "userId": "jane"},
        "observations": [{"id": "o0", "type": "SPAN", "input": "x"}, generation],
    }
    (call,) = format_named("langfuse").read(row, 1)
    assert call.request == {
        "model": "gpt-x",
        "temperature": 0.2,
        "messages": [{"role": "user", "content": "hi"}],
    }
    assert (call.session, call.origin, call.latency_s, call.usage) == ("run-1", "jane", 1.5, Usage(11, 3))
    answer = answer_of(call.response)
    assert answer is not None
    assert answer.text == "hello"


def test_a_langfuse_prompt_that_is_text_is_one_user_message() -> None:
    row = {"type": "GENERATION", "input": "hi", "output": "hello"}
    (call,) = format_named("langfuse").read(row, 3)
    assert call.request["messages"] == [{"role": "user", "content": "hi"}]
    assert call.at == 3.0


def test_a_litellm_spend_log_is_read_from_the_request_it_keeps() -> None:
    row = {
        "request_id": "chatcmpl-1",
        "call_type": "acompletion",
        "startTime": "2026-01-02 03:04:05",
        "endTime": "2026-01-02 03:04:07",
        "messages": {},
        "proxy_server_request": json.dumps(
            {"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]}
        ),
        "response": {"choices": [{"message": {"role": "assistant", "content": "hello"}}]},
        "session_id": "run-1",
        "prompt_tokens": 4,
        "completion_tokens": 2,
    }
    (call,) = format_named("litellm").read(row, 1)
    assert call.request["model"] == "gpt-x"
    assert (call.session, call.latency_s, call.usage) == ("run-1", 2.0, Usage(4, 2))


@pytest.mark.parametrize("kind", ["aembedding", "image_generation"])
def test_litellm_calls_that_are_no_chats_are_passed_over(kind: str) -> None:
    row = {"call_type": kind, "messages": [], "response": {}}
    assert list(format_named("litellm").read(row, 1)) == []


def test_a_span_as_sdks_print_it_is_read() -> None:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "claude-x",
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
        "gen_ai.input.messages": json.dumps(
            [
                {"role": "user", "parts": [{"type": "text", "content": "weather?"}]},
                {
                    "role": "assistant",
                    "parts": [
                        {"type": "tool_call", "id": "c", "name": "look_up", "arguments": {"q": "Rome"}}
                    ],
                },
                {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": "rainy"}]},
            ]
        ),
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": "Rain."}], "finish_reason": "stop"}]
        ),
        "gen_ai.tool.definitions": json.dumps([{"type": "function", "name": "look_up"}]),
    }
    row = {
        "attributes": attributes,
        "start_time": "2026-01-02T03:04:05.000000Z",
        "end_time": "2026-01-02T03:04:06.000000Z",
    }
    (call,) = format_named("otel").read(row, 1)
    roles = [message["role"] for message in call.request["messages"]]
    assert roles == ["system", "user", "assistant", "tool"]
    assert call.request["tools"] == [{"type": "function", "function": {"name": "look_up"}}]
    answer = answer_of(call.response)
    assert answer is not None
    assert answer.text == "Rain."


def test_spans_that_are_no_model_calls_are_passed_over() -> None:
    spans = [{"name": "GET /", "attributes": [{"key": "http.method", "value": {"stringValue": "GET"}}]}]
    row = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    assert list(format_named("otel").read(row, 1)) == []


@given(
    row=st.dictionaries(
        st.sampled_from(["messages", "request", "response", "type", "input", "output"]), values
    )
)
def test_any_row_is_read_or_refused_with_an_expected_error(row: JsonObject) -> None:
    known = format_of(row)
    if known is None:
        return
    try:
        read = list(known.read(row, 1))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        return
    assert all(replace(call) == call for call in read)
