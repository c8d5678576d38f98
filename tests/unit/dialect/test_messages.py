from __future__ import annotations

import json
from typing import Any

import pytest

from offramp.core.call import Answer, ToolCall, answer_of
from offramp.dialect import FORMS

MESSAGES = FORMS["/messages"]
SCHEMA = {"type": "object", "properties": {"to": {"type": "string"}}}


def chat(*messages: Any, **fields: Any) -> dict[str, Any]:
    return MESSAGES.to_chat({"messages": list(messages), **fields})


def said(response: dict[str, Any]) -> dict[str, Any]:
    choice = MESSAGES.chat_response({"type": "message", "stop_reason": "end_turn"} | response)["choices"][0]
    message: dict[str, Any] = choice["message"]
    return message


@pytest.mark.parametrize("system", ["You book.", [{"type": "text", "text": "You book."}]])
def test_the_system_prompt_is_the_first_message(system: Any) -> None:
    assert chat({"role": "user", "content": "hi"}, system=system)["messages"] == [
        {"role": "system", "content": "You book."},
        {"role": "user", "content": "hi"},
    ]


def test_blocks_with_cache_marks_stay_blocks() -> None:
    block = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    assert chat(system=[block])["messages"][0]["content"] == [block]


def test_fields_that_are_not_known_stay() -> None:
    made = chat(model="m", max_tokens=9, top_k=3, metadata={"user_id": "u"}, unknown=[1])
    assert made | {"messages": []} == {
        "model": "m",
        "max_tokens": 9,
        "top_k": 3,
        "metadata": {"user_id": "u"},
        "unknown": [1],
        "messages": [],
    }


def test_tools_have_the_chat_form() -> None:
    tool = {"name": "book", "description": "Books.", "input_schema": SCHEMA, "strict": True}
    search = {"type": "web_search_20250305", "name": "web_search"}
    assert chat(tools=[tool, search])["tools"] == [
        {
            "type": "function",
            "function": {"name": "book", "description": "Books.", "parameters": SCHEMA, "strict": True},
        },
        search,
    ]


@pytest.mark.parametrize(
    ("choice", "made"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        (
            {"type": "any", "disable_parallel_tool_use": True},
            {"tool_choice": "required", "parallel_tool_calls": False},
        ),
        ({"type": "none"}, {"tool_choice": "none"}),
        (
            {"type": "tool", "name": "book"},
            {"tool_choice": {"type": "function", "function": {"name": "book"}}},
        ),
        ("odd", {"tool_choice": "odd"}),
        ({"type": ["odd"]}, {"tool_choice": {"type": ["odd"]}}),
    ],
)
def test_the_tool_choice_has_the_chat_form(choice: Any, made: dict[str, Any]) -> None:
    assert chat(tool_choice=choice) == made | {"messages": []}


def test_a_turn_with_tools_has_the_chat_form() -> None:
    asked = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"q": "Zürich"}},
        ],
    }
    told = {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "none"}]},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": "broken", "is_error": True},
            {"type": "text", "text": "Go on."},
        ],
    }
    function = {"name": "find", "arguments": '{"q":"Zürich"}'}
    assert chat(asked, told)["messages"] == [
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "Hm.",
            "tool_calls": [{"id": "toolu_1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "none"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "broken", "is_error": True},
        {"role": "user", "content": "Go on."},
    ]


def test_what_was_said_between_tool_results_stays_in_its_place() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": "4"}
    turns = chat({"role": "user", "content": [{"type": "text", "text": "See:"}, result]})["messages"]
    assert [turn["role"] for turn in turns] == ["user", "tool"]


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ({"type": "base64", "media_type": "image/png", "data": "AAAA"}, "data:image/png;base64,AAAA"),
        ({"type": "url", "url": "https://x/y.png"}, "https://x/y.png"),
    ],
)
def test_an_image_is_an_opaque_part(source: dict[str, Any], url: str) -> None:
    blocks = [{"type": "text", "text": "What?"}, {"type": "image", "source": source}]
    assert chat({"role": "user", "content": blocks})["messages"][0]["content"] == [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]


@pytest.mark.parametrize("where", ["output_config", "output_format"])
def test_a_schema_is_a_response_format(where: str) -> None:
    form = {"type": "json_schema", "schema": SCHEMA}
    fields = {where: form if where == "output_format" else {"format": form, "effort": "low"}}
    made = chat(**fields)
    assert made["response_format"] == {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
    assert made.get("output_config") == ({"effort": "low"} if where == "output_config" else None)


def test_stop_sequences_are_stops() -> None:
    assert chat(stop_sequences=["END"])["stop"] == ["END"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"thinking": {"type": "disabled"}}, ""),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"thinking": {"type": "adaptive"}}, "thinking"),
        ({"mcp_servers": [{"url": "x"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"tools": [{"name": "a"}, {"type": "custom", "name": "b"}]}, ""),
        ({"tools": [{"type": "computer_20250124", "name": "computer"}]}, "built-in tool"),
        (
            {"messages": [{"content": [{"type": "document", "citations": {"enabled": True}}]}]},
            "citations",
        ),
        ({"messages": [{"content": [{"type": "image", "source": {}}]}]}, "more than text"),
        (
            {"messages": [{"content": [{"type": "tool_result", "content": [{"type": "image"}]}]}]},
            "more than text",
        ),
        (
            {
                "messages": [
                    {"content": [{"type": "thinking"}, {"type": "text"}, {"type": "tool_use"}]},
                    {"content": [{"type": "tool_result", "content": [{"type": "text"}]}]},
                ]
            },
            "",
        ),
    ],
)
def test_what_an_answer_cannot_hold_is_named(fields: dict[str, Any], reason: str) -> None:
    assert MESSAGES.beyond({"messages": [{"role": "user", "content": "hi"}], **fields}) == reason


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("new_reason", "new_reason"),
    ],
)
def test_stop_reasons_are_finish_reasons(stop: str, finish: str) -> None:
    body = {"type": "message", "content": [{"type": "text", "text": "x"}], "stop_reason": stop}
    assert MESSAGES.chat_response(body)["choices"][0]["finish_reason"] == finish


def test_a_refusal_is_no_answer() -> None:
    body = {"type": "message", "content": [], "stop_reason": "refusal"}
    assert answer_of(MESSAGES.chat_response(body)) is None


def test_text_in_pieces_is_one_text() -> None:
    assert (
        said({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]})["content"] == "ab"
    )


def test_blocks_of_built_in_tools_stay() -> None:
    blocks = [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}]
    assert said({"content": [*blocks, {"type": "text", "text": "b"}]})["content"][0] == blocks[0]


def test_usage_counts_the_cache_as_part_of_the_prompt() -> None:
    usage = {
        "input_tokens": 5,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "output_tokens": 7,
    }
    body = {"type": "message", "content": [], "stop_reason": "end_turn", "usage": usage}
    assert MESSAGES.chat_response(body)["usage"] == {
        "prompt_tokens": 125,
        "completion_tokens": 7,
        "total_tokens": 132,
        "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 20},
    }


def test_an_error_stays_as_it_is() -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert MESSAGES.chat_response(body) == body


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (418, "odd"), (502, "api_error"), (529, "overloaded_error")],
)
def test_an_error_has_anthropics_form(status: int, kind: str) -> None:
    error = {"type": kind, "message": "no", "code": "word"}
    assert MESSAGES.error(status, "no", "odd", "word") == {"type": "error", "error": error}


def sse(*items: dict[str, Any]) -> bytes:
    return "".join(f"event: {item['type']}\ndata: {json.dumps(item)}\n\n" for item in items).encode()


START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 9, "output_tokens": 1},
    },
}
PING = {"type": "ping"}
STOP = {"type": "message_stop"}


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def ending(reason: str) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 12}}


TEXT = block(
    0,
    {"type": "text", "text": ""},
    {"type": "text_delta", "text": "I "},
    {"type": "text_delta", "text": "go"},
)
TOOL = block(
    1,
    {"type": "tool_use", "id": "toolu_1", "name": "book", "input": {}},
    {"type": "input_json_delta", "partial_json": ""},
    {"type": "input_json_delta", "partial_json": '{"to": "Os'},
    {"type": "input_json_delta", "partial_json": 'lo"}'},
)


def test_a_stream_folds_into_its_message() -> None:
    folded = MESSAGES.fold(sse(START, PING, *TEXT, PING, *TOOL, ending("tool_use"), STOP))
    assert folded.complete
    assert folded.body == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [
            {"type": "text", "text": "I go"},
            {"type": "tool_use", "id": "toolu_1", "name": "book", "input": {"to": "Oslo"}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 9, "output_tokens": 12},
    }


def test_thinking_signature_and_citations_come_together() -> None:
    thoughts = block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "H"},
        {"type": "thinking_delta", "thinking": "m"},
        {"type": "signature_delta", "signature": "sig"},
    )
    cited = block(
        1,
        {"type": "text", "text": "", "citations": []},
        {"type": "citations_delta", "citation": {"n": 1}},
        {"type": "text_delta", "text": "x"},
        {"type": "citations_delta", "citation": {"n": 2}},
    )
    folded = MESSAGES.fold(sse(START, *thoughts, *cited, ending("end_turn"), STOP))
    assert folded.body["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": "sig"},
        {"type": "text", "text": "x", "citations": [{"n": 1}, {"n": 2}]},
    ]


def test_a_tool_call_without_arguments_has_none() -> None:
    start = {"type": "tool_use", "id": "t", "name": "now", "input": {}}
    folded = MESSAGES.fold(sse(START, *block(0, start), ending("tool_use"), STOP))
    assert answer_of(MESSAGES.chat_response(folded.body)) == Answer("", (ToolCall("now", {}),))


def test_arguments_that_are_no_json_are_kept_and_no_answer() -> None:
    start = {"type": "tool_use", "id": "t", "name": "now", "input": {}}
    delta = {"type": "input_json_delta", "partial_json": '{"a": '}
    folded = MESSAGES.fold(sse(START, *block(0, start, delta), ending("tool_use"), STOP))
    made = MESSAGES.chat_response(folded.body)
    assert made["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"a": '
    assert answer_of(made) is None


def test_an_overloaded_server_in_the_middle_leaves_no_answer() -> None:
    error = {"type": "overloaded_error", "message": "Overloaded"}
    folded = MESSAGES.fold(sse(START, *TEXT, {"type": "error", "error": error}))
    assert not folded.complete
    made = MESSAGES.chat_response(folded.body)
    assert made["error"] == error
    assert made["partial"][0]["message"]["content"] == "I go"
    assert made["usage"]["prompt_tokens"] == 9
    assert answer_of(made) is None


def test_a_stream_without_its_beginning_is_no_answer() -> None:
    assert not MESSAGES.fold(sse(*TEXT, ending("end_turn"), STOP)).complete


def test_a_missing_message_stop_loses_nothing() -> None:
    assert MESSAGES.fold(sse(START, *TEXT, ending("end_turn"))).complete


def test_a_stream_cut_before_its_stop_reason_is_no_answer() -> None:
    folded = MESSAGES.fold(sse(START, *TEXT))
    assert not folded.complete
    assert answer_of(MESSAGES.chat_response(folded.body)) is None


def test_an_event_that_is_no_json_leaves_no_answer() -> None:
    assert not MESSAGES.fold(b"data: {\n\n" + sse(START, *TEXT, ending("end_turn"), STOP)).complete


def test_events_of_unknown_types_are_skipped() -> None:
    assert MESSAGES.fold(sse(START, {"type": "new_event", "x": 1}, *TEXT, ending("end_turn"), STOP)).complete
