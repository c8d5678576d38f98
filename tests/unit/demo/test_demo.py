from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.call import Answer, ToolCall
from offramp.core.errors import OfframpError
from offramp.demo import drive, processes, traffic
from offramp.demo.drive import Sent, fingerprint, known_answers, same
from offramp.demo.traffic import Recorded

if TYPE_CHECKING:
    from offramp.core.json import JsonObject


def recorded(number: int, session: str, message: JsonObject | None = None, request: bytes = b"") -> Recorded:
    message = message or {"content": f"answer {number}"}
    return Recorded(f"r{number}", f"2026-01-01T{number:06d}", session, request, message, "site")


def sessions_of(sizes: list[int]) -> list[list[Recorded]]:
    numbers = itertools.count()
    return [[recorded(next(numbers), f"s{index}") for _ in range(size)] for index, size in enumerate(sizes)]


@given(st.lists(st.integers(1, 9), max_size=30))
def test_a_cut_parts_no_session_and_loses_no_call(sizes: list[int]) -> None:
    sessions = sessions_of(sizes)
    seen, unseen = traffic.cut(sessions)
    assert [*seen, *unseen] == sessions
    assert sum(map(len, seen)) <= traffic.SEEN_SHARE * sum(sizes)
    if unseen:
        assert sum(map(len, seen)) + len(unseen[0]) > traffic.SEEN_SHARE * sum(sizes)


def test_a_sample_keeps_whole_sessions_of_all_sources() -> None:
    sessions = traffic.load(300)
    assert 200 <= sum(map(len, sessions)) <= 450
    starts = [calls[0].ts for calls in sessions]
    assert starts == sorted(starts)
    assert all(len({call.session for call in calls}) == 1 for calls in sessions)
    assert len({calls[0].session[:4] for calls in sessions}) >= 3
    assert orjson.loads(sessions[0][0].request)["messages"]


@pytest.mark.parametrize(
    "other",
    [
        None,
        Answer("hi"),
        Answer("", (ToolCall("go", {"a": 1}),)),
        Answer("", (ToolCall("go", {"a": 2}),)),
        Answer("", (ToolCall("go", {"a": 1}), ToolCall("go", {"a": 1}))),
        Answer("hi", (ToolCall("go", {"a": 1}),)),
    ],
)
def test_different_answers_have_different_fingerprints(other: Answer | None) -> None:
    assert fingerprint(other) != fingerprint(Answer("hello"))
    assert fingerprint(other) == fingerprint(other)


def test_the_fingerprint_does_not_depend_on_how_arguments_are_spaced() -> None:
    one, two = (
        {"content": None, "tool_calls": [{"function": {"name": "go", "arguments": text}}]}
        for text in ('{"a":1}', '{ "a" : 1 }')
    )
    calls = [recorded(0, "s", one), recorded(1, "s", two)]
    assert len(known_answers([calls])[b""]) == 1


def sent(record: Recorded, answer: Answer | None) -> Sent:
    return Sent(record, answer, "t", "teacher", None, stream=False)


def test_any_recorded_answer_to_the_same_request_is_the_teachers() -> None:
    calls = [recorded(0, "s", {"content": "one"}, b"q"), recorded(1, "t", {"content": "two"}, b"q")]
    known = drive.known_answers([calls])
    assert same(sent(calls[0], Answer("two")), known)
    assert not same(sent(calls[0], Answer("three")), known)
    assert not same(sent(calls[0], None), known)


def test_what_was_expected_is_the_recorded_answer() -> None:
    assert sent(recorded(3, "s"), None).expected == Answer("answer 3")


def test_a_command_that_ends_at_once_says_why() -> None:
    with pytest.raises(OfframpError, match="There is no file"), processes.command(["replay", "nowhere"]):
        pytest.fail("it must not be ready")


def test_a_command_is_ready_and_then_stopped_for_certain() -> None:
    path = str(traffic.files()[-1])
    with processes.command(["replay", path, "--port", "0"]) as teacher:
        assert teacher["calls"] > 100
        assert "data" in processes.fetch(f"{teacher['url']}/v1/models")
    with pytest.raises(OSError, match="refused"):
        processes.fetch(f"{teacher['url']}/v1/models")
