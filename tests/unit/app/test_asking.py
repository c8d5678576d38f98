from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from offramp.app.asking import AT_ONCE, LONGEST_PAUSE_S, TRIES, HttpChat
from offramp.core.errors import UpstreamError, UpstreamUnreachable
from offramp.testing.replay import InProcessUpstream, replay_upstream
from offramp.testing.scripted_teacher import Scripted, ScriptedTeacher, says, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.json import JsonObject
    from offramp.upstream.asgi import Receive, Scope, Send


class Pauses:
    """Notes how long it was asked to wait, and does not."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def teacher() -> ScriptedTeacher:
    return ScriptedTeacher()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def chat(teacher: ScriptedTeacher, pauses: Pauses) -> Iterator[HttpChat]:
    made = HttpChat(lambda: InProcessUpstream(teacher), pause=pauses)
    yield made
    made.close()
    made.close()


def question(text: str) -> JsonObject:
    return {"model": "mini", "messages": [{"role": "user", "content": text}]}


def said(reply: object) -> str:
    assert isinstance(reply, dict)
    return str(reply["choices"][0]["message"]["content"])


def test_a_request_is_sent_and_its_answer_read(chat: HttpChat, teacher: ScriptedTeacher) -> None:
    (reply,) = chat.ask([question("hello")])
    assert said(reply) == "ok"
    (heard,) = teacher.heard
    assert (heard.method, heard.target) == ("POST", "/v1/chat/completions")
    assert heard.json() == question("hello")


def test_answers_come_in_the_order_of_the_requests() -> None:
    pairs = [(question(f"q{number}"), says(f"a{number}")) for number in range(30)]
    chat = HttpChat(lambda: replay_upstream(pairs))
    assert [said(reply) for reply in chat.ask([request for request, _ in pairs])] == [
        f"a{number}" for number in range(30)
    ]
    chat.close()


def test_one_refusal_leaves_the_others(chat: HttpChat, teacher: ScriptedTeacher) -> None:
    teacher.then(whole({"error": {"message": "no such model"}}, status=404))
    replies = chat.ask([question("a"), question("b")])
    errors = [reply for reply in replies if isinstance(reply, UpstreamError)]
    assert [str(error).startswith("HTTP 404: no such model") for error in errors] == [True]
    assert sum(isinstance(reply, dict) for reply in replies) == 1


@pytest.mark.parametrize("body", [b"<html>busy</html>", b"[1]", b""])
def test_what_is_no_completion_is_an_error(body: bytes, chat: HttpChat, teacher: ScriptedTeacher) -> None:
    teacher.then(Scripted([body] if body else []))
    (reply,) = chat.ask([question("a")])
    assert isinstance(reply, UpstreamError)
    assert "HTTP 200" in str(reply)


def test_a_provider_that_asks_for_patience_gets_it(
    chat: HttpChat, teacher: ScriptedTeacher, pauses: Pauses
) -> None:
    busy = {"error": {"message": "slow down"}}
    teacher.then(
        whole(busy, status=429, headers=[(b"retry-after", b"7")]),
        whole(busy, status=503, headers=[(b"retry-after", b"tomorrow")]),
        whole(busy, status=429, headers=[(b"retry-after", b"3600")]),
    )
    (reply,) = chat.ask([question("a")])
    assert said(reply) == "ok"
    assert pauses.seconds == [7.0, 2.0, LONGEST_PAUSE_S]


def test_patience_ends(chat: HttpChat, teacher: ScriptedTeacher, pauses: Pauses) -> None:
    teacher.otherwise = whole({"error": {"message": "slow down"}}, status=429)
    (reply,) = chat.ask([question("a")])
    assert isinstance(reply, UpstreamError)
    assert len(teacher.heard) == TRIES
    assert pauses.seconds == [1.0, 2.0, 4.0]


def test_a_server_that_is_not_there_is_an_error_for_each() -> None:
    upstream = InProcessUpstream(ScriptedTeacher())
    asyncio.run(upstream.aclose())
    chat = HttpChat(lambda: upstream)
    assert [type(reply) for reply in chat.ask([question("a"), question("b")])] == [UpstreamUnreachable] * 2
    chat.close()


def test_no_more_than_a_few_are_asked_at_once() -> None:
    running = most = 0

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        await teacher(scope, receive, send)
        running -= 1

    teacher = ScriptedTeacher()
    chat = HttpChat(lambda: InProcessUpstream(counting))
    assert len(chat.ask([question(str(number)) for number in range(4 * AT_ONCE)])) == 4 * AT_ONCE
    assert 1 < most <= AT_ONCE
    chat.close()


def test_closing_what_was_never_asked_starts_nothing() -> None:
    def refuse() -> InProcessUpstream:
        raise AssertionError("it was opened")

    HttpChat(refuse).close()


def test_who_waits_for_an_answer_is_not_left_waiting_when_the_way_is_closed() -> None:
    asked = threading.Event()

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        await asyncio.Event().wait()

    chat = HttpChat(lambda: InProcessUpstream(silent))
    replies: list[object] = []
    waiting = threading.Thread(target=lambda: replies.extend(chat.ask([question("a"), question("b")])))
    waiting.start()
    assert asked.wait(30)
    chat.close()
    waiting.join(30)
    assert [type(reply) for reply in replies] == [UpstreamError] * 2
