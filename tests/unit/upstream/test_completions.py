from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.upstream.completions import DONE, encode, estimate_usage, events_of, filled_in

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

_REQUEST = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
_CALL = {"id": "call_1", "type": "function", "function": {"name": "book", "arguments": '{"to": "Oslo"}'}}


def _completion(**message: object) -> JsonObject:
    return filled_in({"choices": [{"message": message}]}, _REQUEST, seed="s")


def _chunks(completion: JsonObject, *, include_usage: bool = False) -> list[Any]:
    events = list(events_of(completion, include_usage=include_usage))
    assert events[-1] == DONE
    return [orjson.loads(event.removeprefix(b"data: ")) for event in events[:-1]]


def _folded(chunks: list[Any]) -> JsonObject:
    """Put a stream together as a client does."""
    message: JsonObject = {"content": "", "arguments": ""}
    for chunk in chunks:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            for call in delta.get("tool_calls", []):
                message["arguments"] += call["function"]["arguments"]
    return message


@given(st.text())
def test_the_pieces_of_a_stream_make_up_the_content(text: str) -> None:
    assert _folded(_chunks(_completion(content=text)))["content"] == text


@given(st.text(min_size=1))
def test_the_pieces_of_a_tool_call_make_up_its_arguments(arguments: str) -> None:
    call = {**_CALL, "function": {"name": "book", "arguments": arguments}}
    assert _folded(_chunks(_completion(tool_calls=[call])))["arguments"] == arguments


def test_a_stream_opens_with_the_role_and_ends_with_the_finish_reason() -> None:
    chunks = _chunks(_completion(content="hello there"))
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-1]["choices"][0] == {
        "index": 0,
        "delta": {},
        "logprobs": None,
        "finish_reason": "stop",
    }


def test_content_comes_in_several_pieces() -> None:
    chunks = _chunks(_completion(content="a longer answer"))
    assert sum(bool(chunk["choices"][0]["delta"].get("content")) for chunk in chunks) > 1


def test_a_tool_call_names_itself_in_its_first_delta_only() -> None:
    deltas = [chunk["choices"][0]["delta"] for chunk in _chunks(_completion(tool_calls=[_CALL]))]
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert calls[0] == {**_CALL, "index": 0, "function": {"name": "book", "arguments": ""}}
    assert all("name" not in call["function"] and "id" not in call for call in calls[1:])


def test_an_old_function_call_streams_in_its_own_form() -> None:
    message = {"content": None, "function_call": {"name": "book", "arguments": "{}"}}
    chunks = _chunks(_completion(**message))
    parts = [chunk["choices"][0]["delta"].get("function_call") for chunk in chunks]
    spoken = [part for part in parts if part]
    assert spoken[0] == {"name": "book", "arguments": ""}
    assert "".join(part["arguments"] for part in spoken) == "{}"
    assert chunks[-1]["choices"][0]["finish_reason"] == "function_call"


def test_unknown_keys_of_a_message_reach_the_stream() -> None:
    delta = _chunks(_completion(content="x", reasoning_content="because"))[0]["choices"][0]["delta"]
    assert delta["reasoning_content"] == "because"


def test_usage_comes_last_without_choices_where_it_was_asked_for() -> None:
    completion = _completion(content="x")
    chunks = _chunks(completion, include_usage=True)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == completion["usage"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


def test_usage_is_absent_where_it_was_not_asked_for() -> None:
    assert all("usage" not in chunk for chunk in _chunks(_completion(content="x")))


def test_several_choices_keep_their_index() -> None:
    completion = filled_in(
        {"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}, _REQUEST, seed="s"
    )
    assert {chunk["choices"][0]["index"] for chunk in _chunks(completion)} == {0, 1}


def test_logprobs_come_once() -> None:
    completion = _completion(content="hello there")
    completion["choices"][0]["logprobs"] = {"content": [{"token": "hello"}]}
    given = [chunk["choices"][0]["logprobs"] for chunk in _chunks(completion)]
    assert [value for value in given if value] == [{"content": [{"token": "hello"}]}]


def test_what_was_recorded_is_not_replaced() -> None:
    recorded = {
        "id": "chatcmpl-9",
        "created": 7,
        "model": "gpt-4o-2024",
        "usage": {"total_tokens": 3},
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "length"}
        ],
        "x_vendor": {"a": 1},
    }
    completed = filled_in(recorded, _REQUEST, seed="s")
    assert {**recorded, "choices": 0} == {key: completed[key] for key in recorded} | {"choices": 0}
    assert completed["choices"][0]["finish_reason"] == "length"


def test_missing_fields_are_filled_in_and_equal_for_equal_seeds() -> None:
    first, again, other = (
        filled_in({"choices": [{"message": {"content": "x"}}]}, _REQUEST, seed=seed) for seed in "aab"
    )
    assert first == again
    assert first["id"] != other["id"]
    assert first["model"] == "gpt-4o"
    assert first["choices"][0]["finish_reason"] == "stop"
    assert first["usage"]["total_tokens"] > 0


def test_tool_calls_without_ids_get_some() -> None:
    completion = _completion(tool_calls=[{"function": {"name": "a", "arguments": "{}"}}] * 2)
    ids = [call["id"] for call in completion["choices"][0]["message"]["tool_calls"]]
    assert len(set(ids)) == 2
    assert completion["choices"][0]["finish_reason"] == "tool_calls"


def test_a_longer_request_is_estimated_at_more_tokens() -> None:
    longer = {"messages": [{"role": "user", "content": "hello " * 100}]}
    short = estimate_usage(_REQUEST, {"choices": []})
    assert estimate_usage(longer, {"choices": []})["prompt_tokens"] > short["prompt_tokens"]


@pytest.mark.parametrize("value", [{"big": 2**70}, {"lone": "\ud800"}, {"plain": 1}])
def test_every_json_value_can_be_encoded(value: JsonObject) -> None:
    assert json.loads(encode(value)) == value
