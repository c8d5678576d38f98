from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from offramp.record.pseudonym import Pseudonyms
from offramp.record.session import SessionTracker

PSEUDONYMS = Pseudonyms(b"k" * 32)


@pytest.fixture
def tracker() -> SessionTracker:
    return SessionTracker(PSEUDONYMS)


def chat(first: str, *more: str, **facts: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "You help."}, {"role": "user", "content": first}]
    return {"messages": messages + [{"role": "user", "content": text} for text in more], **facts}


@pytest.mark.parametrize(
    ("run", "facts"),
    [
        ("run-7", {}),
        ("", {"metadata": {"session_id": "run-7"}}),
        ("", {"conversation": "run-7"}),
        ("", {"conversation": {"id": "run-7"}}),
        ("", {"metadata": {"user_id": "user_1_account_2_session_run-7"}}),
        ("", {"metadata": {"user_id": '{"device_id":"d","session_id":"run-7"}'}}),
    ],
)
def test_an_explicit_session_id_is_followed_and_hidden(
    tracker: SessionTracker, run: str, facts: dict[str, Any]
) -> None:
    one = tracker.session("o", run, chat("a", **facts), 0.0)
    assert tracker.session("o", run, chat("b", **facts), 99_999.0) == one
    assert "run-7" not in one


def test_the_same_session_id_of_another_origin_is_another_session(tracker: SessionTracker) -> None:
    assert tracker.session("o", "1", {}, 0.0) != tracker.session("p", "1", {}, 0.0)


def test_calls_of_one_user_belong_together_whatever_they_say(tracker: SessionTracker) -> None:
    one = tracker.session("o", "", chat("book", user="jane"), 0.0)
    assert tracker.session("o", "", chat("summarise", user="jane"), 60.0) == one


def test_half_an_hour_of_silence_ends_a_session(tracker: SessionTracker) -> None:
    one = tracker.session("o", "", chat("a", user="jane"), 0.0)
    assert tracker.session("o", "", chat("a", user="jane"), 1800.0) == one
    assert tracker.session("o", "", chat("a", user="jane"), 3601.0) != one


def test_without_a_user_each_conversation_is_a_session(tracker: SessionTracker) -> None:
    one = tracker.session("o", "", chat("book a flight"), 0.0)
    assert tracker.session("o", "", chat("book a flight", "to Oslo"), 5.0) == one
    assert tracker.session("o", "", chat("cancel it"), 6.0) != one


def test_the_same_conversation_of_another_origin_is_another_session(tracker: SessionTracker) -> None:
    assert tracker.session("o", "", chat("a"), 0.0) != tracker.session("p", "", chat("a"), 0.0)


def test_calls_that_end_out_of_order_stay_together(tracker: SessionTracker) -> None:
    one = tracker.session("o", "", chat("a", user="j"), 100.0)
    assert tracker.session("o", "", chat("b", user="j"), 40.0) == one
    assert tracker.session("o", "", chat("c", user="j"), 1900.0) == one


def test_a_session_keeps_its_id_while_thousands_of_others_begin() -> None:
    tracker = SessionTracker(PSEUDONYMS, most_open=100)
    ids = set()
    for number in range(1000):
        tracker.session("o", "", chat(f"another {number}"), float(number))
        if not number % 40:
            ids.add(tracker.session("o", "", chat("the long one"), float(number)))
    assert len(ids) == 1


def test_open_sessions_take_little_memory() -> None:
    tracker = SessionTracker(PSEUDONYMS)
    tracemalloc.start()
    try:
        for number in range(5_000):
            tracker.session("origin-0123456789abcdef", "", chat(f"question {number}"), float(number))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / 5_000 < 250


def test_the_session_idle_for_longest_is_forgotten_first() -> None:
    tracker = SessionTracker(PSEUDONYMS, most_open=2)
    ids = {user: tracker.session(user, "", chat("x", user=user), 0.0) for user in ("a", "b")}
    tracker.session("a", "", chat("x", user="a"), 1.0)
    tracker.session("c", "", chat("x", user="c"), 2.0)
    assert tracker.session("a", "", chat("x", user="a"), 3.0) == ids["a"]
    assert tracker.session("b", "", chat("x", user="b"), 3.0) != ids["b"]


@pytest.mark.parametrize(
    "request_", [{}, {"messages": None}, {"messages": [None, 3, {"role": 1}]}, {"metadata": 3}]
)
def test_any_request_gets_a_session(tracker: SessionTracker, request_: dict[str, Any]) -> None:
    assert tracker.session("o", "", request_, 0.0).startswith("session-")


def test_text_with_lone_surrogates_gets_a_session(tracker: SessionTracker) -> None:
    assert tracker.session("o", "", chat("\ud800"), 0.0)


def test_a_continued_response_stays_in_its_session(tracker: SessionTracker) -> None:
    one = tracker.session("o", "", chat("book"), 0.0)
    tracker.answered("o", "resp_1", one)
    assert tracker.session("o", "", {"previous_response_id": "resp_1"}, 9999.0) == one
    assert tracker.session("p", "", {"previous_response_id": "resp_1"}, 9999.0) != one


def test_branches_of_an_unknown_response_are_one_session(tracker: SessionTracker) -> None:
    ids = {tracker.session("o", "", {"previous_response_id": "resp_0"}, at) for at in (0.0, 9999.0)}
    assert len(ids) == 1
    assert "resp_0" not in ids.pop()


def test_the_response_answered_first_is_forgotten_first() -> None:
    tracker = SessionTracker(PSEUDONYMS, most_open=2)
    for number in (1, 2, 3):
        tracker.answered("o", f"resp_{number}", f"session-{number}")
    assert tracker.session("o", "", {"previous_response_id": "resp_3"}, 0.0) == "session-3"
    assert tracker.session("o", "", {"previous_response_id": "resp_2"}, 0.0) == "session-2"
    assert tracker.session("o", "", {"previous_response_id": "resp_1"}, 0.0) != "session-1"


def test_a_user_id_without_its_session_names_the_user(tracker: SessionTracker) -> None:
    one = tracker.session("o", "", chat("a", metadata={"user_id": "jane"}), 0.0)
    assert tracker.session("o", "", chat("b", metadata={"user_id": "jane"}), 60.0) == one
