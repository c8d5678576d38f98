import json
from typing import Any

import pytest
from bench.gateway import special
from bench.gateway.answers import dump, event
from bench.gateway.fates import events_of, fate, header_field, response_field, same, stream_fields
from bench.gateway.running import Heard


def heard(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Heard:
    return Heard(status, headers or {}, body)


@pytest.mark.parametrize(
    ("received", "verdict"),
    [
        ({"tools": [{"strict": True}]}, "kept"),
        ({"tools": [{"strict": False}]}, "CHANGED"),
        ({"tools": [{"function": {"strict": True}}]}, "moved"),
        ({"tools": [{}]}, "LOST"),
        ({"strict": "another"}, "LOST"),
        ({}, "LOST"),
    ],
)
def test_a_field_is_kept_changed_moved_or_lost(received: dict[str, Any], verdict: str) -> None:
    assert fate({"tools": [{"strict": True}]}, received, ("tools", 0, "strict")) == verdict


def test_null_is_a_value_and_not_a_loss() -> None:
    assert fate({"a": None}, {"a": None}, ("a",)) == "kept"


def test_the_special_answer_keeps_all_its_own_fields() -> None:
    body = dump(special.unary())
    assert response_field(heard(body), ("choices", 0, "message", "reasoning_content")) == "kept"
    assert same(heard(body), 200, body) == "kept"
    assert same(heard(body + b" "), 200, body) == "CHANGED"


@pytest.mark.parametrize(
    ("answer", "verdict"), [(heard(b"{}", 502), "HTTP 502"), (heard(b"<html>"), "not JSON")]
)
def test_what_is_no_answer_is_told_instead_of_a_verdict(answer: Heard, verdict: str) -> None:
    assert response_field(answer, ("x_top",)) == verdict


def test_an_exception_stands_for_itself() -> None:
    assert response_field("TimeoutError", ("x_top",)) == same("TimeoutError", 200, b"") == "TimeoutError"


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({"retry-after": "7"}, "kept"),
        ({"retry-after": "8"}, "CHANGED"),
        ({"llm_provider-retry-after": "7"}, "moved"),
        ({}, "LOST"),
    ],
)
def test_a_header_is_kept_changed_moved_or_lost(headers: dict[str, str], verdict: str) -> None:
    assert header_field(heard(b"", headers=headers), "retry-after") == verdict


def test_a_header_of_an_error_counts_only_where_asked_for() -> None:
    answer = heard(b"", 429, {"retry-after": "7"})
    assert header_field(answer, "retry-after") == "HTTP 429"
    assert header_field(answer, "retry-after", any_status=True) == "kept"


def test_the_special_stream_keeps_all_its_own_fields() -> None:
    assert set(stream_fields(heard(special.stream_body())).values()) == {"kept"}


def changed(**tool_call: Any) -> bytes:
    events = special.stream()
    call = events[3]["choices"][0]["delta"]["tool_calls"][0]
    call.update(tool_call)
    return b"".join(event(one) for one in events)


@pytest.mark.parametrize(
    ("call", "verdict"),
    [
        ({"id": None}, "id LOST"),
        ({"function": {"arguments": special.TOOL_CALL["function"]["arguments"]}}, "name LOST"),  # type: ignore[index]  # one literal
        ({"id": "", "function": {}}, "LOST"),
    ],
)
def test_a_tool_call_that_comes_in_part_is_told_in_part(call: dict[str, Any], verdict: str) -> None:
    assert stream_fields(heard(changed(**call)))["tool call in one delta"] == verdict


def test_a_tool_call_in_pieces_is_kept_but_split() -> None:
    events = special.stream()
    whole = events[3]["choices"][0]["delta"]["tool_calls"][0]
    first = {**whole, "function": {**whole["function"], "arguments": '{"city":'}}
    rest = {"index": 0, "function": {"arguments": '"Bern","days":3}'}}
    events[3]["choices"][0]["delta"]["tool_calls"] = [first, rest]
    body = b"".join(event(one) for one in events)
    assert stream_fields(heard(body))["tool call in one delta"] == "kept, split"


def test_a_stream_that_breaks_off_lost_its_end() -> None:
    assert stream_fields(heard(changed()))["[DONE]"] == "LOST"


def test_events_are_read_past_comments_and_names() -> None:
    body = b': ping\n\nevent: x\ndata: {"a": 1}\n\ndata:[DONE]\n\n'
    assert events_of(body) == ([json.loads('{"a": 1}')], True)
