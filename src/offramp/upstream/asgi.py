"""The little of ASGI that gateway and replay teacher need: types, reading a body, answering JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import orjson

from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from offramp.core.json import JsonObject
    from offramp.upstream.port import Headers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI application."""


async def read_body(receive: Receive, *, at_most: int) -> bytes | None:
    """Read the whole request body.

    Args:
        receive: The request's ``receive``.
        at_most: Largest body taken, in bytes.

    Returns:
        The body; None where the client left before its end.

    Raises:
        BadInput: The body is larger.
    """
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body", False) and len(body) <= at_most:
        return body
    pieces: list[bytes] = []
    size = 0
    while message["type"] == "http.request":
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > at_most:
            raise BadInput(
                f"The request body is larger than {at_most} bytes, the most that is taken.",
                hint="Send less, or raise the limit.",
            )
        if not message.get("more_body", False):
            return b"".join(pieces)
        message = await receive()
    return None


def target_of(scope: Scope) -> str:
    """Return path and query as the client wrote them, percent-encoding kept."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    return (raw + b"?" + query if query else raw).decode("latin-1")


async def send_body(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Answer with a whole body."""
    fields = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, status: int, payload: JsonObject, headers: Headers = ()) -> None:
    """Answer with a JSON object."""
    fields = [(b"content-type", b"application/json"), *headers]
    await send_body(send, status, fields, orjson.dumps(payload))


def error_payload(message: str, *, kind: str, code: str) -> JsonObject:
    """Build an error body in OpenAI's form, which its clients turn into their own exceptions.

    Args:
        message: What happened and what to do.
        kind: OpenAI's ``type``: ``invalid_request_error``, ``api_error``.
        code: A word programs can compare.
    """
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
