from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import pytest_asyncio

from offramp.core.call import Answer, ToolCall
from offramp.core.decision import Proposal
from offramp.core.errors import EngineError
from offramp.engine.remote import RemoteSpecialists
from offramp.engine.worker import MAX_BATCH, Worker, decode_answer, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from offramp.core.json import JsonObject
    from offramp.engine.worker import Question

    Propose = Callable[[Sequence[Question]], Sequence[Proposal]]

BOOKING = Answer("", (ToolCall("book", {"to": "Zürich", "seats": 2}),))


class Specialists:
    """Answers with the request's text; fails on some; can be held back to let questions pile up."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def __call__(self, questions: Sequence[Question]) -> list[Proposal]:
        self.batches.append(len(questions))
        self.entered.set()
        self.gate.wait(30)
        return [self.answer(question) for question in questions]

    def answer(self, question: Question) -> Proposal:
        text = question.request["say"]
        if text == "refuse":
            raise EngineError("It refused.")
        if text == "crash":
            raise RuntimeError("secret payload")
        if text == "nothing":
            return Proposal(None, 0.0)
        if text == "surrogate":
            return Proposal(Answer("\ud800"), 1.0)
        return Proposal(BOOKING if text == "book" else Answer(text), 0.75)


@dataclass(frozen=True)
class Hidden:
    """Shouts the request, and whispers the answer."""

    value: Any

    def restore(self, answer: Any) -> Any:
        return json.loads(json.dumps(answer).lower())


def shout(request: JsonObject) -> Hidden:
    if request["say"] == "unclear":
        raise EngineError("No way back.")
    return Hidden({"say": request["say"].upper()})


@contextlib.asynccontextmanager
async def serving(
    path: Path, propose: Propose, mask: Callable[[JsonObject], Hidden] | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    ready = asyncio.Event()
    task = asyncio.create_task(Worker(propose, mask=mask).serve(path, ready=ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture
def specialists() -> Specialists:
    return Specialists()


@pytest_asyncio.fixture
async def remote(path: Path, specialists: Specialists) -> AsyncIterator[RemoteSpecialists]:
    async with serving(path, specialists):
        made = RemoteSpecialists(path, timeout_s=30)
        yield made
        await made.close()


async def ask(remote: RemoteSpecialists, text: str) -> Proposal:
    return await remote.ask("s1", "t1", {"say": text})


async def test_a_question_is_answered(remote: RemoteSpecialists) -> None:
    assert await ask(remote, "hello") == Proposal(Answer("hello"), 0.75)


async def test_tool_calls_travel_whole(remote: RemoteSpecialists) -> None:
    assert (await ask(remote, "book")).answer == BOOKING


@pytest_asyncio.fixture
async def masking(path: Path) -> AsyncIterator[tuple[RemoteSpecialists, list[str]]]:
    seen: list[str] = []

    def propose(questions: Sequence[Question]) -> list[Proposal]:
        seen.extend(question.request["say"] for question in questions)
        calls = (ToolCall("Book", {"To": question.request["say"]}) for question in questions)
        return [
            Proposal(None if question.request["say"] == "NONE" else Answer("GIVEN", (call,)), 0.5)
            for question, call in zip(questions, calls, strict=True)
        ]

    async with serving(path, propose, shout):
        made = RemoteSpecialists(path, timeout_s=30)
        yield made, seen
        await made.close()


async def test_a_specialist_sees_the_masked_request_and_the_client_gets_the_original(
    masking: tuple[RemoteSpecialists, list[str]],
) -> None:
    remote, seen = masking
    proposal = await ask(remote, "oslo")
    assert seen == ["OSLO"]
    assert proposal == Proposal(Answer("given", (ToolCall("Book", {"to": "oslo"}),)), 0.5)


async def test_no_answer_to_a_masked_request_is_none(masking: tuple[RemoteSpecialists, list[str]]) -> None:
    assert (await ask(masking[0], "none")).answer is None


async def test_a_request_that_cannot_be_masked_defers_and_no_other(
    masking: tuple[RemoteSpecialists, list[str]],
) -> None:
    remote, seen = masking
    good, bad = await asyncio.gather(ask(remote, "oslo"), ask(remote, "unclear"), return_exceptions=True)
    assert isinstance(good, Proposal)
    assert isinstance(bad, EngineError)
    assert "No way back" in str(bad)
    assert set(seen) == {"OSLO"}


async def test_no_answer_travels_as_none(remote: RemoteSpecialists) -> None:
    assert await ask(remote, "nothing") == Proposal(None, 0.0)


@pytest.mark.parametrize("answer", [None, Answer("x"), BOOKING])
def test_an_encoded_answer_decodes_to_itself(answer: Answer | None) -> None:
    wire = orjson.loads(orjson.dumps(encode(Proposal(answer, 0.5))))
    assert decode_answer(wire["answer"]) == answer
    assert wire["confidence"] == 0.5


async def test_what_waits_forms_one_batch(remote: RemoteSpecialists, specialists: Specialists) -> None:
    specialists.gate.clear()
    first = asyncio.create_task(ask(remote, "first"))
    await asyncio.to_thread(specialists.entered.wait, 30)
    rest = [asyncio.create_task(ask(remote, str(number))) for number in range(5)]
    # A further connection's question comes after those, so they have all arrived when it is answered.
    while remote._writer is None or len(remote._pending) < 6:  # noqa: ASYNC110 - sent by other tasks
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    specialists.gate.set()
    answers = await asyncio.gather(first, *rest)
    assert [proposal.answer for proposal in answers] == [Answer(t) for t in ("first", *"01234")]
    assert specialists.batches[0] == 1
    assert sum(specialists.batches) == 6
    assert max(specialists.batches) > 1


async def test_batches_have_a_largest_size(remote: RemoteSpecialists, specialists: Specialists) -> None:
    texts = [str(number) for number in range(3 * MAX_BATCH)]
    answers = await asyncio.gather(*(ask(remote, text) for text in texts))
    assert [proposal.answer for proposal in answers] == [Answer(text) for text in texts]
    assert max(specialists.batches) <= MAX_BATCH


@pytest.mark.parametrize(("bad", "said"), [("refuse", "It refused."), ("crash", "specialist failed")])
async def test_one_bad_request_does_not_spoil_the_batch(
    remote: RemoteSpecialists, specialists: Specialists, bad: str, said: str
) -> None:
    specialists.gate.clear()
    first = asyncio.create_task(ask(remote, "first"))
    await asyncio.to_thread(specialists.entered.wait, 30)
    texts = ["a", bad, "b"]
    rest = [asyncio.create_task(ask(remote, text)) for text in texts]
    await asyncio.sleep(0.05)
    specialists.gate.set()
    await first
    good, failed, other = await asyncio.gather(*rest, return_exceptions=True)
    assert isinstance(good, Proposal)
    assert isinstance(other, Proposal)
    assert isinstance(failed, EngineError)
    assert said in str(failed)
    assert "secret" not in str(failed)


async def test_an_answer_that_is_no_text_for_exchange_fails_alone(remote: RemoteSpecialists) -> None:
    with pytest.raises(EngineError, match="specialist failed"):
        await ask(remote, "surrogate")
    assert (await ask(remote, "good")).answer == Answer("good")


@pytest.mark.parametrize(
    "line",
    [b"nonsense\n", b"[]\n", b"{}\n", b'{"id": "x", "specialist": "s", "task": "t", "request": {}}\n'],
)
async def test_a_malformed_line_ends_its_connection_and_no_other(
    remote: RemoteSpecialists, path: Path, line: bytes
) -> None:
    await ask(remote, "before")
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    assert (await ask(remote, "after")).answer == Answer("after")


async def test_a_client_that_leaves_early_costs_nothing(
    remote: RemoteSpecialists, specialists: Specialists, path: Path
) -> None:
    specialists.gate.clear()
    _, writer = await asyncio.open_unix_connection(path)
    writer.write(orjson.dumps({"id": 1, "specialist": "s", "task": "t", "request": {"say": "x"}}) + b"\n")
    await asyncio.to_thread(specialists.entered.wait, 30)
    writer.close()
    await writer.wait_closed()
    specialists.gate.set()
    assert (await ask(remote, "still here")).answer == Answer("still here")


async def test_the_socket_is_private(remote: RemoteSpecialists, path: Path) -> None:
    found = await asyncio.to_thread(path.stat)
    assert found.st_mode & 0o777 == 0o600


async def test_a_slow_worker_is_not_waited_for(path: Path, specialists: Specialists) -> None:
    async with serving(path, specialists):
        specialists.gate.clear()
        remote = RemoteSpecialists(path, timeout_s=0.05)
        with pytest.raises(EngineError, match=r"No proposal within 0\.05 s"):
            await ask(remote, "slow")
        assert remote._pending == {}
        specialists.gate.set()
        await remote.close()


async def test_without_a_worker_the_call_defers(path: Path) -> None:
    with pytest.raises(EngineError, match="is not there"):
        await ask(RemoteSpecialists(path), "hello")


async def test_a_worker_that_comes_back_is_asked_again(path: Path, specialists: Specialists) -> None:
    remote = RemoteSpecialists(path, timeout_s=30)
    async with serving(path, specialists):
        await ask(remote, "one")
    assert remote._reading is not None
    remote._writer.close() if remote._writer else None
    await asyncio.wait({remote._reading})
    with pytest.raises(EngineError):
        await ask(remote, "two")
    async with serving(path, specialists):
        assert (await ask(remote, "three")).answer == Answer("three")
        await remote.close()


async def peer(path: Path, say: bytes) -> asyncio.Server:
    """A worker that answers the first question with these bytes and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(say)
        writer.close()

    return await asyncio.start_unix_server(answer, path)


@pytest.mark.parametrize("said", [b"", b"nonsense\n", b"[]\n", b"{}\n"])
async def test_a_worker_that_goes_away_or_talks_nonsense_defers_at_once(path: Path, said: bytes) -> None:
    async with await peer(path, said):
        remote = RemoteSpecialists(path, timeout_s=30)
        with pytest.raises(EngineError, match="went away"):
            await ask(remote, "hello")
        await remote.close()


async def test_closing_does_not_leave_anyone_waiting(path: Path, specialists: Specialists) -> None:
    async with serving(path, specialists):
        specialists.gate.clear()
        remote = RemoteSpecialists(path, timeout_s=30)
        asked: asyncio.Task[Any] = asyncio.create_task(ask(remote, "hello"))
        await asyncio.to_thread(specialists.entered.wait, 30)
        await remote.close()
        with pytest.raises(EngineError, match="went away"):
            await asked
        await remote.close()
        specialists.gate.set()
