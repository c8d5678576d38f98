from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.call import Answer, ToolCall, Usage, answer_of, decode_json, functions_of, last_user_text

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def response(message: Any, finish: str = "stop") -> JsonObject:
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def calling(name: Any, arguments: Any) -> JsonObject:
    return response({"content": None, "tool_calls": [{"function": {"name": name, "arguments": arguments}}]})


def test_text_is_the_answer() -> None:
    assert answer_of(response({"content": "hi"})) == Answer("hi")


def test_tool_calls_are_decoded() -> None:
    assert answer_of(calling("go", '{"to": "x"}')) == Answer("", (ToolCall("go", {"to": "x"}),))


def test_missing_arguments_are_none_at_all() -> None:
    assert answer_of(calling("go", "")) == answer_of(calling("go", None)) == Answer("", (ToolCall("go", {}),))


def test_the_older_function_call_reads_like_a_tool_call() -> None:
    found = answer_of(response({"content": None, "function_call": {"name": "go", "arguments": "{}"}}))
    assert found == Answer("", (ToolCall("go", {}),))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"error": {"message": "no"}},
        {"choices": []},
        {"choices": "x"},
        {"choices": ["x"]},
        {"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]},
        response("text"),
        response({"content": "half"}, finish="length"),
        response({"content": None, "refusal": "I will not."}),
        response({"content": [{"type": "text", "text": "parts"}]}),
        calling("go", '{"to": '),
        calling("go", "[1]"),
        calling("go", {"to": "x"}),
        calling("go", 7),
        calling(None, "{}"),
        response({"tool_calls": "go"}),
        response({"tool_calls": ["go"]}),
        response({"tool_calls": [{"function": "go"}]}),
        response({"tool_calls": [{}]}),
    ],
)
def test_what_cannot_be_compared_is_no_answer(body: JsonObject) -> None:
    assert answer_of(body) is None


def test_one_unreadable_call_spoils_the_answer() -> None:
    calls = [{"function": {"name": "go", "arguments": text}} for text in ("{}", "{")]
    assert answer_of(response({"tool_calls": calls})) is None


@pytest.mark.parametrize("depth", [500, 5_000, 200_000])
def test_arguments_nested_beyond_reason_are_no_answer_or_one_but_never_raise(depth: int) -> None:
    found = answer_of(calling("go", '{"a":' + "[" * depth + "]" * depth + "}"))
    assert found is None or found.tool_calls[0].name == "go"


def test_text_nested_beyond_reason_decodes_to_none() -> None:
    assert decode_json("[" * 200_000) is None
    assert decode_json("{" * 200_000) is None


@given(VALUES)
def test_any_message_is_read_without_raising(message: Any) -> None:
    found = answer_of(response(message))
    assert found is None or isinstance(found.text, str)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=3))
def test_arguments_survive(arguments: JsonObject) -> None:
    found = answer_of(calling("go", json.dumps(arguments)))
    assert found is not None
    assert found.tool_calls[0].arguments == arguments


def test_equal_calls_have_equal_text_whatever_the_order() -> None:
    assert ToolCall("go", {"a": 1, "b": 2}).canonical() == ToolCall("go", {"b": 2, "a": 1}).canonical()


def test_the_last_user_message_is_found() -> None:
    messages = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    assert last_user_text({"messages": messages}) == "one"
    assert last_user_text({"messages": messages[1:]}) == ""


def test_parts_of_a_message_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
    assert last_user_text({"messages": [{"role": "user", "content": parts}]}) == "a\n\nb"


def test_functions_come_from_both_fields() -> None:
    request = {"tools": [{"function": {"name": "a"}}, "x", {"function": 1}], "functions": [{"name": "b"}, 2]}
    assert [function["name"] for function in functions_of(request)] == ["a", "b"]
    assert functions_of({"tools": None, "functions": "x"}) == []


def test_usage_adds_up() -> None:
    assert Usage(3, 4).total == 7
