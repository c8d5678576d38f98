from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.redact import Redactor
from offramp.redact.adapters import open_recogniser
from offramp.redact.memory import Memory

KEY = b"k" * 32
RECOGNISER = open_recogniser("bundled")
REDACTOR = Redactor(KEY, RECOGNISER)
ARGUMENTS = json.dumps({"name": "Mia Lindqvist", "card": "180016070420458", "note": "call \u00e9 467 3395"})
CALLED = {"id": "c1", "type": "function", "function": {"name": "book", "arguments": ARGUMENTS}}
MESSAGES = [
    {"role": "system", "content": "You help Mia. Labels: alarm, Paris. Write to desk@acme.com."},
    {"role": "user", "content": "I am Mia Lindqvist of Oslo, mia@acme.com, my password is hunter2!x"},
    {"role": "user", "content": "I noted 467 3395 and hunter2!x"},
    {"role": "user", "content": "my phone is 467 3395, block my card 180016070420458"},
    {"role": "user", "content": "Lindqvist"},
    {"role": "user", "content": [{"type": "text", "text": "Ask mia_lindqvist_12 about Oslo"}]},
    {"role": "assistant", "content": None, "tool_calls": [CALLED]},
    {"role": "tool", "tool_call_id": "c1", "content": '{"city": "Oslo", "n": 180016070420458, "x": null}'},
    {"role": "tool", "tool_call_id": "c2", "content": "a\0b Oslo"},
    {"role": "user", "content": 3.5, "n": 180016070420458},
    {"role": "user", "content": float("nan")},
    {"role": "user", "content": None},
    {"role": "user", "content": "\ud800 Mia Lindqvist here"},
]
TOOLS = [
    {"type": "function", "function": {"name": "book", "description": "Mail desk@acme.com, phone 467 3395"}},
    {"type": "function", "function": {"name": "go", "parameters": {"properties": {"x": {"enum": ["Oslo"]}}}}},
]

messages = st.lists(st.sampled_from(MESSAGES), max_size=6)


def call(history: list[Any], answer: Any, tools: list[Any]) -> dict[str, Any]:
    request = {"model": "m", "messages": history} | ({"tools": tools} if tools else {})
    return {
        "request": request,
        "response": {"choices": [{"index": 0, "message": answer}]},
        "meta": {"who": "x"},
    }


@given(messages, st.sampled_from(MESSAGES), st.lists(st.sampled_from(TOOLS), max_size=2))
def test_what_other_calls_left_behind_changes_nothing(
    history: list[Any], answer: Any, tools: list[Any]
) -> None:
    value = call(history, answer, tools)
    known, fresh = REDACTOR.redact(value), Redactor(KEY, RECOGNISER).redact(value)
    assert repr(known) == repr(fresh)
    assert list(known.counts) == list(fresh.counts)


def test_a_message_is_masked_in_the_light_of_those_that_came_after_it() -> None:
    redactor = Redactor(KEY)
    early = redactor.redact(call(MESSAGES[2:3], None, [])).value["request"]["messages"][0]
    assert early == MESSAGES[2]
    late = redactor.redact(call(MESSAGES[2:4], None, [])).value["request"]["messages"][0]
    assert "467 3395" not in late["content"]
    assert redactor.redact(call(MESSAGES[2:3], None, [])).value["request"]["messages"][0] == early


def test_what_is_used_stays_and_what_is_not_goes() -> None:
    memory = Memory[int](100)
    memory.put(b"used", 1, 10)
    memory.put(b"unused", 2, 10)
    for number in range(50):
        memory.put(b"%d" % number, number, 10)
        assert memory.get(b"used") == 1
    assert memory.get(b"unused") is None


@pytest.mark.parametrize("cost", [1, 7, 50])
def test_no_more_is_kept_than_there_is_room_for(cost: int) -> None:
    memory = Memory[int](100)
    for number in range(1_000):
        memory.put(b"%d" % number, number, cost)
    assert len(memory) * cost <= 100


def test_what_is_larger_than_half_the_room_is_not_kept() -> None:
    memory = Memory[int](100)
    memory.put(b"small", 1, 50)
    memory.put(b"large", 2, 51)
    assert (memory.get(b"small"), memory.get(b"large")) == (1, None)
