"""The worker: a process that holds the specialists, apart from the gateway that asks them.

Wire format on a Unix socket, one JSON object per line: ``{"id", "specialist", "task", "request"}`` in,
``{"id", "answer", "confidence"}`` or ``{"id", "error"}`` out, in any order.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from offramp.core.call import Answer, ToolCall
from offramp.core.errors import OfframpError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from offramp.core.decision import Proposal
    from offramp.core.json import JsonObject

log = logging.getLogger(__name__)

MAX_LINE = 64 * 1024 * 1024
MAX_BATCH = 32


@dataclass(frozen=True, slots=True)
class Question:
    """One request for one specialist."""

    specialist: str
    task: str
    request: JsonObject


class Masked(Protocol):
    """A request with surrogates in place of personal data, and the way back."""

    @property
    def value(self) -> Any:
        """The request as specialists were trained on such."""
        ...

    def restore(self, answer: Any) -> Any:
        """Return a part of an answer with this request's values in place of their surrogates."""
        ...


class Worker:
    """Answers questions in batches: whatever waits when the last batch ends forms the next.

    Args:
        propose: Answers a batch, in order; runs in a thread of its own, one batch at a time.
        mask: Masks a request as recorded calls are masked, so that a specialist meets what it was trained on;
            raises an `EngineError` where an answer could not be led back, and the call defers. Without it
            requests are passed on as they come.
    """

    def __init__(
        self,
        propose: Callable[[Sequence[Question]], Sequence[Proposal]],
        *,
        mask: Callable[[JsonObject], Masked] | None = None,
    ) -> None:
        self._propose = propose
        self._mask = mask
        self._waiting: asyncio.Queue[tuple[Question, int, asyncio.StreamWriter]] = asyncio.Queue()

    async def serve(self, path: Path, *, ready: Callable[[], None] = lambda: None) -> None:
        """Serve on a Unix socket until cancelled."""
        server = await asyncio.start_unix_server(self._connection, path, limit=MAX_LINE)
        os.chmod(path, 0o600)  # noqa: PTH101 - one call at start
        ready()
        async with server:
            await self._answer_batches()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                message = orjson.loads(line)
                question = Question(message["specialist"], message["task"], message["request"])
                await self._waiting.put((question, int(message["id"]), writer))
        except (ValueError, TypeError, KeyError) as error:
            # Whoever speaks another protocol gets no answer, and must not wait for one.
            log.warning("A connection sent no question (%s) and was closed", type(error).__name__)
        except OSError as error:
            log.warning("A connection broke: %s", error)
        finally:
            writer.close()

    async def _answer_batches(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < MAX_BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            replies = await asyncio.to_thread(self._replies, [question for question, _, _ in batch])
            for (_, number, writer), reply in zip(batch, replies, strict=True):
                if not writer.is_closing():
                    writer.write(b'{"id":%d,' % number + reply[1:] + b"\n")

    def _replies(self, questions: list[Question]) -> list[bytes]:
        """Return one JSON object per question, without its id."""
        try:
            return self._answers(questions)
        except OfframpError as error:
            if len(questions) == 1:
                return [orjson.dumps({"error": str(error)})]
        except Exception:
            # The process edge: one bad request must not end the worker, and the call defers.
            log.exception("A specialist failed")
            if len(questions) == 1:
                return [orjson.dumps({"error": "The specialist failed; see the worker's log."})]
        # One by one, so that only the question at fault goes without an answer.
        return [reply for question in questions for reply in self._replies([question])]

    def _answers(self, questions: list[Question]) -> list[bytes]:
        if self._mask is None:
            return [orjson.dumps(encode(proposal)) for proposal in self._propose(questions)]
        masked = [self._mask(question.request) for question in questions]
        asked = [
            replace(question, request=hidden.value)
            for question, hidden in zip(questions, masked, strict=True)
        ]
        return [
            orjson.dumps(encode(_restored(proposal, hidden)))
            for proposal, hidden in zip(self._propose(asked), masked, strict=True)
        ]


def _restored(proposal: Proposal, masked: Masked) -> Proposal:
    """Lead an answer back; names of tools are no data and stay."""
    answer = proposal.answer
    if answer is None:
        return proposal
    calls = tuple(ToolCall(call.name, masked.restore(call.arguments)) for call in answer.tool_calls)
    return replace(proposal, answer=Answer(masked.restore(answer.text), calls))


def encode(proposal: Proposal) -> JsonObject:
    """Render a proposal as a JSON object."""
    answer = proposal.answer
    if answer is None:
        return {"answer": None, "confidence": proposal.confidence}
    calls = [{"name": call.name, "arguments": call.arguments} for call in answer.tool_calls]
    return {"answer": {"text": answer.text, "tool_calls": calls}, "confidence": proposal.confidence}


def decode_answer(value: JsonObject | None) -> Answer | None:
    """Read the ``answer`` member of a reply."""
    if value is None:
        return None
    calls = tuple(ToolCall(call["name"], call["arguments"]) for call in value["tool_calls"])
    return Answer(value["text"], calls)
