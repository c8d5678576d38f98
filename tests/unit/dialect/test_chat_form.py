from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from tests.unit.dialect.strategies import ANSWERS

from offramp.core.call import Answer, ToolCall, answer_of
from offramp.dialect import FORMS, completion_of

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

_CHAT = FORMS["/chat/completions"]
_REQUEST: JsonObject = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


def _completion(answer: Answer, request: JsonObject = _REQUEST) -> JsonObject:
    return completion_of(answer, request, created=1700000000.7)


@given(ANSWERS)
def test_the_completion_says_what_the_answer_says(answer: Answer) -> None:
    assert answer_of(_completion(answer)) == answer


@given(ANSWERS)
def test_the_completion_survives_its_encoding(answer: Answer) -> None:
    _, body = _CHAT.render(_completion(answer), _REQUEST)
    assert answer_of(orjson.loads(body)) == answer


def test_the_model_that_was_asked_is_echoed() -> None:
    completion = _completion(Answer("x"))
    assert (completion["model"], completion["created"]) == ("gpt-4o", 1700000000)


def test_each_completion_and_each_tool_call_has_an_id_of_its_own() -> None:
    answer = Answer(tool_calls=(ToolCall("a", {}), ToolCall("a", {})))
    first, second = _completion(answer), _completion(answer)
    calls = [call["id"] for made in (first, second) for call in made["choices"][0]["message"]["tool_calls"]]
    assert len(set(calls)) == 4
    assert first["id"] != second["id"]


def test_an_empty_answer_is_an_empty_text() -> None:
    assert _completion(Answer())["choices"][0]["message"]["content"] == ""


def test_an_old_function_call_has_the_old_form() -> None:
    request = {**_REQUEST, "functions": [{"name": "book"}]}
    choice = _completion(Answer(tool_calls=(ToolCall("book", {"to": "Oslo"}),)), request)["choices"][0]
    assert choice["message"]["function_call"] == {"name": "book", "arguments": '{"to":"Oslo"}'}
    assert choice["finish_reason"] == "function_call"


def test_tools_beside_functions_take_the_new_form() -> None:
    request = {**_REQUEST, "functions": [{"name": "a"}], "tools": [{"type": "function"}]}
    choice = _completion(Answer(tool_calls=(ToolCall("a", {}),)), request)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("options", "usages"),
    [({}, 0), ({"stream_options": {"include_usage": True}}, 1), ({"stream_options": 7}, 0)],
)
def test_a_stream_has_usage_where_it_was_asked_for(options: JsonObject, usages: int) -> None:
    content_type, body = _CHAT.render(_completion(Answer("x")), {**_REQUEST, "stream": True, **options})
    events: list[Any] = [orjson.loads(event[6:]) for event in body.split(b"\n\n")[:-2]]
    assert content_type.startswith(b"text/event-stream")
    assert sum(1 for event in events if event.get("usage")) == usages


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"n": 1, "logprobs": False}, ""),
        ({"n": None}, ""),
        ({"n": 2}, "n > 1"),
        ({"logprobs": True}, "logprobs asked for"),
        ({"top_logprobs": 2}, "logprobs asked for"),
        ({"modalities": ["text", "audio"]}, "audio asked for"),
        ({"audio": {"voice": "alloy"}}, "audio asked for"),
        ({"web_search_options": {}}, "built-in tool"),
        ({"store": True}, "stored completion"),
        ({"messages": [{"content": [{"type": "text", "text": "x"}]}]}, ""),
        ({"messages": [{"content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "more than text"),
        ({"store": False, "tools": [{"type": "function"}]}, ""),
        ({"tools": [{"type": "function"}, {"type": "custom"}]}, "tool without a schema"),
    ],
)
def test_what_an_answer_cannot_hold_is_named(fields: JsonObject, reason: str) -> None:
    assert _CHAT.beyond({**_REQUEST, **fields}) == reason


def test_the_request_and_the_response_stay_as_they_are() -> None:
    body: JsonObject = {"model": "m", "seed": 7, "unknown": {"x": [1]}, "messages": []}
    assert _CHAT.to_chat(body) is body
    assert _CHAT.chat_response(body) is body


def test_an_error_has_openais_form() -> None:
    assert _CHAT.error(404, "no", "invalid_request_error", "not_found") == {
        "error": {"message": "no", "type": "invalid_request_error", "param": None, "code": "not_found"}
    }
