"""Drives recorded traffic through the gateway with the official, unmodified `openai` client."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import openai
import orjson

from offramp.core.call import Answer, answer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offramp.core.json import JsonObject
    from offramp.demo.traffic import Recorded

CLIENTS = 24
STREAMED = 8
"""Every eighth call streams."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One call as it was sent and answered.

    Attributes:
        recorded: The recorded call.
        answer: What came back through the gateway, None where it could not be read.
        task: Task it was assigned to, "" where none.
        route: Who answered.
        confidence: The specialist's confidence, None where it was not asked.
        stream: Whether it streamed.
    """

    recorded: Recorded
    answer: Answer | None
    task: str
    route: str
    confidence: float | None
    stream: bool

    @property
    def expected(self) -> Answer | None:
        """The teacher's recorded answer."""
        return answer_of({"choices": [{"message": self.recorded.response}]})


async def drive(
    url: str, sessions: Sequence[Sequence[Recorded]], progress: Callable[[int], None]
) -> list[Sent]:
    """Send every call: sessions in order of their start, the calls of a session one after the other.

    Args:
        url: The gateway's root URL.
        sessions: What to send.
        progress: Told how many calls are done.
    """
    waiting = iter(sessions)
    sent: list[Sent] = []
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-demo-key", max_retries=0) as client:

        async def work() -> None:
            for session in waiting:
                for recorded in session:
                    sent.append(await _send(client, recorded))
                    progress(len(sent))

        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(work())
    return sent


async def _send(client: openai.AsyncOpenAI, recorded: Recorded) -> Sent:
    request: dict[str, Any] = orjson.loads(recorded.request)
    stream = zlib.crc32(recorded.id.encode()) % STREAMED == 0
    create = client.chat.completions.with_raw_response.create
    if stream:
        raw = await create(**request, stream=True)
        message = await _folded(raw.parse())
    else:
        # As ``extra_body`` the request is not walked key by key against the client's types, which costs
        # more than everything else on this path; it is the same client and the same bytes.
        raw = await create(model=request["model"], messages=[], extra_body=request)
        message = raw.parse().choices[0].message.model_dump()
    confidence = raw.headers.get("x-offramp-confidence")
    return Sent(
        recorded=recorded,
        answer=answer_of({"choices": [{"message": message}]}),
        task=raw.headers.get("x-offramp-task", ""),
        route=raw.headers.get("x-offramp-route", ""),
        confidence=float(confidence) if confidence else None,
        stream=stream,
    )


async def _folded(chunks: Any) -> JsonObject:
    content = ""
    calls: dict[int, dict[str, str]] = {}
    async for chunk in chunks:
        for choice in chunk.choices:
            content += choice.delta.content or ""
            for call in choice.delta.tool_calls or ():
                function = calls.setdefault(call.index, {"name": "", "arguments": ""})
                function["name"] += call.function.name or ""
                function["arguments"] += call.function.arguments or ""
    return {"content": content, "tool_calls": [{"function": function} for function in calls.values()]}


def same(sent: Sent, known: dict[bytes, set[str]]) -> bool:
    """Whether an answer of the teacher came back unchanged.

    Args:
        sent: The call.
        known: All recorded answers by request (an identical request may have several).
    """
    return fingerprint(sent.answer) in known[sent.recorded.request]


def known_answers(sessions: Sequence[Sequence[Recorded]]) -> dict[bytes, set[str]]:
    """Collect every recorded answer by request."""
    known: dict[bytes, set[str]] = {}
    for session in sessions:
        for recorded in session:
            answer = answer_of({"choices": [{"message": recorded.response}]})
            known.setdefault(recorded.request, set()).add(fingerprint(answer))
    return known


def fingerprint(answer: Answer | None) -> str:
    """Render an answer as text that is equal for equal answers."""
    return "unreadable" if answer is None else "\0".join([answer.text, *map(str, answer.tool_calls)])
