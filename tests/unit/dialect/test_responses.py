from __future__ import annotations

import json
from typing import Any

import pytest

from offramp.core.call import Answer, ToolCall, answer_of
from offramp.dialect import FORMS

RESPONSES = FORMS["/responses"]
SCHEMA = {"type": "object", "properties": {"to": {"type": "string"}}}
CALL = {"type": "function_call", "call_id": "call_1", "name": "book", "arguments": '{"to":"Oslo"}'}
TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "book", "arguments": '{"to":"Oslo"}'}}


def message(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(parts)}


def out(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def turns(*items: Any, **fields: Any) -> Any:
    return RESPONSES.to_chat({"input": list(items), **fields})["messages"]


def test_instructions_and_a_text_are_two_messages() -> None:
    assert RESPONSES.to_chat({"model": "m", "instructions": "You book.", "input": "hi"}) == {
        "model": "m",
        "messages": [{"role": "system", "content": "You book."}, {"role": "user", "content": "hi"}],
    }


@pytest.mark.parametrize(
    "item",
    [
        {"role": "user", "content": "hi"},
        {"type": "message", "role": "user", "content": "hi"},
        message("user", {"type": "input_text", "text": "hi"}),
    ],
)
def test_every_way_to_write_a_message_is_read(item: dict[str, Any]) -> None:
    assert turns(item) == [{"role": "user", "content": "hi"}]


def test_a_turn_with_tools_has_the_chat_form() -> None:
    made = turns(
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        message("assistant", out("I book.")),
        CALL,
        CALL | {"call_id": "call_2"},
        {"type": "function_call_output", "call_id": "call_1", "output": "done"},
        {
            "type": "function_call_output",
            "call_id": "call_2",
            "output": [{"type": "input_text", "text": "too"}],
        },
        message("assistant", out("Booked.")),
        message("user", {"type": "input_text", "text": "Thanks"}),
    )
    assert made == [
        {
            "role": "assistant",
            "content": "I book.",
            "reasoning_content": "Hm.",
            "tool_calls": [TOOL_CALL, TOOL_CALL | {"id": "call_2"}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "done"},
        {"role": "tool", "tool_call_id": "call_2", "content": "too"},
        {"role": "assistant", "content": "Booked."},
        {"role": "user", "content": "Thanks"},
    ]


def test_two_texts_in_a_row_stay_two_messages() -> None:
    made = turns(message("assistant", out("a")), message("assistant", out("b")))
    assert [turn["content"] for turn in made] == ["a", "b"]


def test_an_image_is_an_opaque_part() -> None:
    image = {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"}
    file = {"type": "input_file", "file_id": "file-1"}
    assert turns(message("user", {"type": "input_text", "text": "?"}, image, file))[0]["content"] == [
        {"type": "text", "text": "?"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
        file,
    ]


def test_items_without_a_chat_form_stay_opaque() -> None:
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    assert turns(item) == [{"role": "assistant", "content": [item]}]


def test_a_custom_tools_call_and_output_have_the_chat_form() -> None:
    call = {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "SELECT 1"}
    told = {"type": "custom_tool_call_output", "call_id": "c", "output": "1"}
    custom = {"name": "sql", "input": "SELECT 1"}
    assert turns(call, told) == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "custom", "custom": custom}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ]


def test_tools_have_the_chat_form() -> None:
    tool = {"type": "function", "name": "book", "parameters": SCHEMA, "strict": True}
    search = {"type": "web_search"}
    made = RESPONSES.to_chat({"tools": [tool, search], "tool_choice": {"type": "function", "name": "book"}})
    function = {"name": "book", "parameters": SCHEMA, "strict": True}
    assert made["tools"] == [{"type": "function", "function": function}, search]
    assert made["tool_choice"] == {"type": "function", "function": {"name": "book"}}


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "web_search"}, None, {"type": []}])
def test_other_tool_choices_stay(choice: Any) -> None:
    assert RESPONSES.to_chat({"tool_choice": choice})["tool_choice"] == choice


def test_a_text_format_is_a_response_format() -> None:
    form = {"type": "json_schema", "name": "trip", "schema": SCHEMA, "strict": True}
    made = RESPONSES.to_chat({"text": {"format": form, "verbosity": "low"}, "max_output_tokens": 9})
    wrapped = {"name": "trip", "schema": SCHEMA, "strict": True}
    assert made["response_format"] == {"type": "json_schema", "json_schema": wrapped}
    assert (made["verbosity"], made["max_completion_tokens"]) == ("low", 9)
    assert "text" not in made


def test_other_text_formats_stay() -> None:
    made = RESPONSES.to_chat({"text": {"format": {"type": "json_object"}}})
    assert made["response_format"] == {"type": "json_object"}


def test_a_refusal_in_the_conversation_stays() -> None:
    refused = {"type": "refusal", "refusal": "No."}
    assert turns(message("assistant", refused))[0]["content"] == [refused]


def test_a_plain_text_format_is_none() -> None:
    assert "response_format" not in RESPONSES.to_chat({"text": {"format": {"type": "text"}}})


def test_fields_that_are_not_known_stay() -> None:
    fields = {"store": True, "previous_response_id": "r", "reasoning": {"effort": "low"}, "unknown": [1]}
    assert RESPONSES.to_chat({"input": [], **fields}) == {"messages": [], **fields}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"store": None}, "stored response"),
        ({"store": True}, "stored response"),
        ({"previous_response_id": "r"}, "previous_response_id"),
        ({"conversation": "c"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"top_logprobs": 3}, "logprobs asked for"),
        ({"include": ["message.output_text.logprobs"]}, "logprobs asked for"),
        ({"include": ["reasoning.encrypted_content"]}, ""),
        ({"tools": [{"type": "function", "name": "a"}]}, ""),
        ({"tools": [{"type": "web_search"}]}, "built-in tool"),
        ({"tools": [{"type": "custom", "name": "a"}]}, "tool without a schema"),
        ({"input": [{"type": "web_search_call"}]}, "more than text"),
        ({"input": [message("user", {"type": "input_image"})]}, "more than text"),
        ({"input": [message("user", {"type": "input_text"}), CALL, {"type": "reasoning"}]}, ""),
    ],
)
def test_what_an_answer_cannot_hold_is_named(fields: dict[str, Any], reason: str) -> None:
    assert RESPONSES.beyond({"input": "hi", "store": False, **fields}) == reason


def response(*output: dict[str, Any], **fields: Any) -> dict[str, Any]:
    body = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "error": None}
    return {**body, "output": list(output), **fields}


def test_output_items_are_one_message() -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    search = {"type": "web_search_call", "id": "ws_1"}
    made = RESPONSES.chat_response(response(thought, search, message("assistant", out("a"), out("b")), CALL))
    assert made["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "ab",
                "reasoning_content": "Hm.",
                "tool_calls": [TOOL_CALL],
                "output_items": [search],
            },
            "finish_reason": "tool_calls",
        }
    ]


def test_a_refusal_is_no_answer() -> None:
    refused = message("assistant", {"type": "refusal", "refusal": "No."})
    assert answer_of(RESPONSES.chat_response(response(refused))) is None


def test_an_answer_cut_by_the_limit_is_no_answer() -> None:
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert answer_of(RESPONSES.chat_response(response(message("assistant", out("a")), **cut))) is None


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled", "failed", "odd"])
def test_a_response_that_has_not_ended_is_no_answer(status: str) -> None:
    made = RESPONSES.chat_response(response(message("assistant", out("a")), status=status))
    assert made["error"]["type"] == "unfinished_response"
    assert made["partial"][0]["message"]["content"] == "a"


def test_usage_has_the_names_of_chat() -> None:
    usage = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 2},
    }
    assert RESPONSES.chat_response(response(usage=usage))["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 3,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


@pytest.mark.parametrize("body", [{"error": {"message": "no"}}, {"object": "response.deleted"}])
def test_what_is_no_response_stays_as_it_is(body: dict[str, Any]) -> None:
    assert RESPONSES.chat_response(body) == body


def sse(*items: dict[str, Any]) -> bytes:
    return "".join(f"event: {item['type']}\ndata: {json.dumps(item)}\n\n" for item in items).encode()


CREATED = {"type": "response.created", "response": response(status="in_progress")}
PIECES = (
    {"type": "response.output_item.added", "output_index": 0, "item": message("assistant")},
    {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hel"},
    {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "lo"},
    {"type": "response.output_item.added", "output_index": 1, "item": CALL | {"arguments": ""}},
    {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '{"to":'},
    {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '"Oslo"}'},
)
WHOLE = Answer("Hello", (ToolCall("book", {"to": "Oslo"}),))


def test_the_last_event_is_the_response() -> None:
    whole = response(message("assistant", out("Hello")), CALL)
    folded = RESPONSES.fold(sse(CREATED, *PIECES, {"type": "response.completed", "response": whole}))
    assert folded.complete
    assert folded.body == whole


def test_a_last_event_without_output_is_filled_from_the_pieces() -> None:
    folded = RESPONSES.fold(sse(CREATED, *PIECES, {"type": "response.completed", "response": response()}))
    assert answer_of(RESPONSES.chat_response(folded.body)) == WHOLE


def test_what_came_before_a_cut_is_kept_and_no_answer() -> None:
    folded = RESPONSES.fold(sse(CREATED, *PIECES))
    assert not folded.complete
    made = RESPONSES.chat_response(folded.body)
    assert answer_of(made) is None
    assert answer_of({"choices": made["partial"]}) == WHOLE


@pytest.mark.parametrize(
    "last",
    [
        {"type": "error", "code": "server_error", "message": "x", "param": None},
        {"type": "error", "error": {"code": "server_error", "message": "x"}},
        {"type": "response.failed", "response": response(status="failed", error={"code": "server_error"})},
    ],
)
def test_an_error_in_the_middle_leaves_no_answer(last: dict[str, Any]) -> None:
    folded = RESPONSES.fold(sse(CREATED, *PIECES, last))
    assert not folded.complete
    assert folded.body["error"]["code"] == "server_error"


def test_an_incomplete_response_is_whole() -> None:
    cut = response(message("assistant", out("He")), status="incomplete")
    assert RESPONSES.fold(sse(CREATED, {"type": "response.incomplete", "response": cut})).complete
