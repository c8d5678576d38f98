"""A teacher that does what a test wrote down: answers, errors, silence, half an answer."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from offramp.upstream.asgi import Receive, Scope, Send, read_body, target_of
from offramp.upstream.completions import events_of, filled_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.json import JsonObject
    from offramp.upstream.port import Headers

_LARGEST_BODY = 64 << 20


@dataclass(frozen=True, slots=True)
class Heard:
    """One request as the teacher got it.

    Attributes:
        method: HTTP method.
        target: Path and query, percent-encoded.
        headers: Header fields, names in lower case.
        body: The body's bytes.
    """

    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def json(self) -> JsonObject:
        """Decode the body."""
        decoded: JsonObject = orjson.loads(self.body)
        return decoded

    def header(self, name: str) -> str | None:
        """Return a header field, None where it was not sent."""
        return dict(self.headers).get(name.encode(), b"").decode() or None


@dataclass(frozen=True, slots=True)
class Scripted:
    """One response.

    Attributes:
        pieces: The body, piece by piece; each is sent by itself.
        status: HTTP status.
        headers: Header fields.
        delay_s: Seconds of silence before the head.
        pause_s: Seconds between pieces.
        breaks_off: End the connection after the pieces, with the response unfinished.
    """

    pieces: Sequence[bytes] = ()
    status: int = 200
    headers: Headers = ((b"content-type", b"application/json"),)
    delay_s: float = 0.0
    pause_s: float = 0.0
    breaks_off: bool = False


def says(text: str | None = None, *, tool_calls: Sequence[JsonObject] = (), **fields: object) -> JsonObject:
    """Build a chat completion that says a text, or calls tools (``{"name": ..., "arguments": "{...}"}``)."""
    message: JsonObject = {"role": "assistant", "content": text}
    if tool_calls:
        message["tool_calls"] = [
            {"id": f"call_{index}", "type": "function", "function": dict(call)}
            for index, call in enumerate(tool_calls)
        ]
    return filled_in({"choices": [{"message": message}], **fields}, {"model": "scripted"}, seed="scripted")


def whole(body: JsonObject, *, status: int = 200, headers: Headers = (), delay_s: float = 0.0) -> Scripted:
    """Script a JSON body in one piece, its length declared."""
    encoded = orjson.dumps(body)
    fields = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(encoded)),
        *headers,
    ]
    return Scripted([encoded], status=status, headers=fields, delay_s=delay_s)


def streamed(completion: JsonObject, *, include_usage: bool = False, pause_s: float = 0.0) -> Scripted:
    """Script a chat completion as a stream of events."""
    events = list(events_of(completion, include_usage=include_usage))
    return Scripted(events, headers=[(b"content-type", b"text/event-stream")], pause_s=pause_s)


@dataclass(slots=True)
class ScriptedTeacher:
    """An ASGI app that gives its scripted responses in order, and :attr:`otherwise` once they are used up.

    Attributes:
        otherwise: The response where nothing (more) is scripted.
        heard: Every request, in order of arrival.
        abandoned: How many requests were cut by the client before they were answered in full.
    """

    otherwise: Scripted = field(default_factory=lambda: whole(says("ok")))
    heard: list[Heard] = field(default_factory=list)
    abandoned: int = 0
    _script: deque[Scripted] = field(default_factory=deque)

    def then(self, *responses: Scripted) -> None:
        """Append to the script."""
        self._script.extend(responses)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        body = await read_body(receive, at_most=_LARGEST_BODY)
        if body is None:
            return
        self.heard.append(Heard(scope["method"], target_of(scope), tuple(scope["headers"]), body))
        response = self._script.popleft() if self._script else self.otherwise
        speaking = asyncio.create_task(_speak(response, send))
        leaving = asyncio.create_task(_departure(receive))
        await asyncio.wait({speaking, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not speaking.done():
            self.abandoned += 1
        for task in (speaking, leaving):
            task.cancel()
        await asyncio.gather(speaking, leaving, return_exceptions=True)


async def _speak(response: Scripted, send: Send) -> None:
    await asyncio.sleep(response.delay_s)
    await send({"type": "http.response.start", "status": response.status, "headers": list(response.headers)})
    for piece in response.pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(response.pause_s)
    if not response.breaks_off:
        await send({"type": "http.response.body", "body": b""})


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
