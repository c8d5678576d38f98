from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.call import Answer, Dialect, Usage, answer_of, last_user_text
from offramp.record.exchange import Exchange
from offramp.record.parse import Parser


@dataclass(frozen=True)
class Masked:
    value: Any
    counts: dict[str, int] = field(default_factory=dict)


def mask(value: Any) -> Masked:
    """Stands for the redactor: replaces one canary."""
    text = json.dumps(value)
    return Masked(
        json.loads(text.replace("CANARY", "xxxxxx")), {"canary": n} if (n := text.count("CANARY")) else {}
    )


REQUEST = {"model": "m", "messages": [{"role": "user", "content": "four chars"}], "user": "jane.doe"}
RESPONSE = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]
}


def exchange(request: Any = None, response: Any = None, **facts: Any) -> Exchange:
    return Exchange(
        request=json.dumps(REQUEST if request is None else request).encode(),
        response=response if isinstance(response, bytes) else json.dumps(response or RESPONSE).encode(),
        started_at=1000.0,
        **facts,
    )


@pytest.fixture
def parser() -> Parser:
    return Parser(mask, b"k" * 32)


def test_the_facts_of_an_exchange_become_the_calls(parser: Parser) -> None:
    sent = exchange(latency_s=0.5, stream=False, route="s-1", meta={"task": "t-1"})
    call = parser.parse(sent)
    assert (call.id, call.at, call.latency_s, call.route, call.status) == (sent.id, 1000.0, 0.5, "s-1", 200)
    assert call.meta == {"task": "t-1"}
    assert call.response == RESPONSE


def test_nothing_of_who_asked_is_left(parser: Parser) -> None:
    request = REQUEST | {
        "metadata": {"user_id": "jane.doe", "session_id": "jane-run"},
        "prompt_cache_key": "jane",
    }
    assert "jane" not in repr(parser.parse(exchange(request, who="who-1", run="run-1")))


def test_request_response_and_meta_are_redacted_and_counted(parser: Parser) -> None:
    request = {"messages": [{"role": "user", "content": "CANARY"}]}
    response = {"choices": [{"message": {"content": "CANARY"}}]}
    call = parser.parse(exchange(request, response, meta={"note": "CANARY"}))
    assert "CANARY" not in repr(call)
    assert call.meta["redacted"] == {"canary": 3}


def test_a_value_over_two_stream_events_is_redacted(parser: Parser) -> None:
    parts = (("CAN", None), ("ARY", "stop"))
    pieces = [{"choices": [{"delta": {"content": text}, "finish_reason": end}]} for text, end in parts]
    stream = "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces) + "data: [DONE]\n\n"
    call = parser.parse(
        exchange(response=stream.encode(), content_type="text/event-stream; charset=utf-8", stream=True)
    )
    assert answer_of(call.response) == Answer("xxxxxx")
    assert call.stream


def test_a_stream_without_its_content_type_is_folded(parser: Parser) -> None:
    stream = b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    assert answer_of(parser.parse(exchange(response=stream, stream=True)).response) == Answer("Hi")


def test_log_probabilities_are_left_out(parser: Parser) -> None:
    choice = RESPONSE["choices"][0] | {"logprobs": {"content": [{"token": "CAN"}, {"token": "ARY"}]}}
    assert parser.parse(exchange(response={"choices": [choice]})).response == RESPONSE


def test_usage_is_what_the_provider_counted(parser: Parser) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    assert parser.parse(exchange(response=RESPONSE | {"usage": usage})).usage == Usage(7, 2)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": "7"}, 3])
def test_usage_is_estimated_from_characters_where_it_is_missing(parser: Parser, usage: Any) -> None:
    assert parser.parse(exchange(response=RESPONSE | {"usage": usage})).usage == Usage(3, 1)


def test_tools_and_tool_calls_count_as_tokens(parser: Parser) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    message = {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    call = parser.parse(exchange(REQUEST | {"tools": tools}, {"choices": [{"message": message}]}))
    assert call.usage.prompt_tokens > 10
    assert call.usage.completion_tokens > 5


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(json.dumps(RESPONSE).encode())),
        ("deflate", zlib.compress(json.dumps(RESPONSE).encode())),
        ("deflate", zlib.compress(json.dumps(RESPONSE).encode())[2:-4]),
        (
            "GZip",
            gzip.compress(json.dumps(RESPONSE).encode()[:9])
            + gzip.compress(json.dumps(RESPONSE).encode()[9:]),
        ),
        ("identity", json.dumps(RESPONSE).encode()),
    ],
)
def test_a_compressed_response_is_read(parser: Parser, encoding: str, packed: bytes) -> None:
    assert parser.parse(exchange(response=packed, content_encoding=encoding)).response == RESPONSE


@pytest.mark.parametrize(
    ("response", "facts"),
    [
        (b"<html>CANARY</html>", {"content_type": "text/html", "status": 502}),
        (b"CANARY", {"content_encoding": "br"}),
        (b"CANARY", {"content_encoding": "zstd"}),
        (b"CANARY", {"content_encoding": "deflate"}),
        (b"CANARY", {"content_encoding": "gzip"}),
        (b'["CANARY"]', {}),
        (b"", {}),
    ],
)
def test_of_a_response_that_cannot_be_read_nothing_is_kept(
    parser: Parser, response: bytes, facts: dict[str, Any]
) -> None:
    call = parser.parse(exchange(response=b" " if response == b"" else response, **facts))
    assert call.response["error"]["type"] == "unreadable"
    assert "CANARY" not in repr(call)


def test_of_a_request_that_cannot_be_read_nothing_is_kept(parser: Parser) -> None:
    call = parser.parse(Exchange(b"CANARY=1", b'{"error":{}}', 0.0, status=400))
    assert call.request == {}
    assert call.status == 400


def test_an_answer_that_broke_off_is_told_by_its_status(parser: Parser) -> None:
    assert parser.parse(exchange(complete=False)).status == 499
    assert parser.parse(exchange(complete=False, status=502)).status == 502
    cut = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'
    assert parser.parse(exchange(response=cut, content_type="text/event-stream")).status == 499


@given(st.binary(max_size=60), st.binary(max_size=60), st.booleans())
def test_any_bytes_become_a_call(request: bytes, response: bytes, stream: bool) -> None:
    content_type = "text/event-stream" if stream else "application/json"
    assert Parser(mask, b"k" * 32).parse(Exchange(request, response, 0.0, content_type=content_type)).session


@pytest.mark.parametrize(
    "body", [b'{"a":' * 50_000, b"[" * 50_000 + b"]" * 50_000, b'{"messages":[{"content":"\\ud800"}]}']
)
def test_hostile_json_becomes_a_call(parser: Parser, body: bytes) -> None:
    assert parser.parse(Exchange(body, body, 0.0)).id


@pytest.mark.parametrize("depth", [200, 300, 900, 1000, 1020, 3000])
def test_json_of_any_depth_becomes_a_call(parser: Parser, depth: int) -> None:
    deep = (
        b'{"messages":[{"role":"user","content":"x"}],"user":"jane","tools":'
        + b"[" * depth
        + b"]" * depth
        + b"}"
    )
    for dialect in Dialect:
        call = parser.parse(Exchange(deep, deep, 0.0, dialect=dialect))
        assert "jane" not in repr(call.request.get("user"))


ANSWERS: dict[Dialect, tuple[dict[str, Any], dict[str, Any]]] = {
    Dialect.CHAT: (
        {"messages": [{"role": "user", "content": "CANARY"}]},
        {"choices": [{"index": 0, "message": {"content": "CANARY"}, "finish_reason": "stop"}]},
    ),
    Dialect.RESPONSES: (
        {"input": "CANARY"},
        {
            "id": "resp_1",
            "status": "completed",
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "CANARY"}]}],
            "usage": {"input_tokens": 7, "output_tokens": 2},
        },
    ),
    Dialect.MESSAGES: (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "CANARY"}]}]},
        {
            "id": "msg_1",
            "type": "message",
            "content": [{"type": "text", "text": "CANARY"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 7, "output_tokens": 2},
        },
    ),
    Dialect.COMPLETIONS: (
        {"prompt": "CANARY"},
        {"id": "cmpl-1", "choices": [{"index": 0, "text": "CANARY", "finish_reason": "stop"}]},
    ),
}


@pytest.mark.parametrize("dialect", ANSWERS)
def test_every_dialect_is_recorded_in_chat_form(parser: Parser, dialect: Dialect) -> None:
    request, response = ANSWERS[dialect]
    call = parser.parse(exchange(request, response, dialect=dialect))
    assert last_user_text(call.request) == "xxxxxx"
    assert answer_of(call.response) == Answer("xxxxxx")
    assert call.dialect is dialect


@pytest.mark.parametrize("dialect", [Dialect.RESPONSES, Dialect.MESSAGES])
def test_every_dialects_usage_is_counted(parser: Parser, dialect: Dialect) -> None:
    assert parser.parse(exchange(*ANSWERS[dialect], dialect=dialect)).usage == Usage(7, 2)


def test_of_embeddings_the_usage_is_kept_and_no_vector(parser: Parser) -> None:
    response = {"data": [{"embedding": [0.25, 0.5]}], "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    call = parser.parse(exchange({"input": "x"}, response, dialect=Dialect.EMBEDDINGS))
    assert call.usage == Usage(4, 0)
    assert call.response["data"] == {"shape": [1, 2]}


IDENTITIES = [
    (Dialect.CHAT, {"user": "jane", "metadata": {"run": "jane"}, "prompt_cache_key": "jane"}),
    (Dialect.MESSAGES, {"metadata": {"user_id": "jane"}}),
    (Dialect.RESPONSES, {"conversation": "jane", "safety_identifier": "jane"}),
    (Dialect.RESPONSES, {"conversation": {"id": "jane"}, "previous_response_id": "jane"}),
    (Dialect.EMBEDDINGS, {"user": "jane"}),
    (Dialect.COMPLETIONS, {"user": "jane"}),
]


@pytest.mark.parametrize(("dialect", "fields"), IDENTITIES)
def test_no_dialects_identity_fields_are_kept(
    parser: Parser, dialect: Dialect, fields: dict[str, Any]
) -> None:
    response: dict[str, Any] = {
        "id": "jane",
        "user": "jane",
        "metadata": {"run": "jane"},
        "output": [],
        "error": None,
    }
    sent = exchange(fields, response if dialect is Dialect.RESPONSES else {"user": "jane"}, dialect=dialect)
    assert "jane" not in repr(parser.parse(sent))


def test_a_continued_response_stays_in_its_session(parser: Parser) -> None:
    first, second = (
        exchange({"input": text, **fields}, ANSWERS[Dialect.RESPONSES][1], dialect=Dialect.RESPONSES)
        for text, fields in (("book", {}), ("to Oslo", {"previous_response_id": "resp_1"}))
    )
    one, two = parser.parse(first), parser.parse(second)
    assert one.session == two.session
    assert two.request["previous_response_id"] == one.response["id"]


def test_part_of_a_message_is_told_by_its_status(parser: Parser) -> None:
    cut = (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1"}}\n\n'
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n'
    )
    sent = exchange(response=cut, content_type="text/event-stream", stream=True, dialect=Dialect.MESSAGES)
    call = parser.parse(sent)
    assert (call.status, call.response["error"]) == (499, {"type": "overloaded_error"})
