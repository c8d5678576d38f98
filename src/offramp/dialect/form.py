"""What an API's form is: how its bodies and chat-completions bodies become each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.json import JsonObject

if TYPE_CHECKING:
    from offramp.core.call import Dialect

JSON = b"application/json"
"""Content type of a whole body."""

EVENTS = b"text/event-stream; charset=utf-8"
"""Content type of a stream."""


MORE_THAN_TEXT = "more than text"
"""What a request with images, audio, files or blocks of built-in tools is beyond a specialist for."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded stream.

    Attributes:
        body: The body that the same call without streaming would have given; where the stream broke off or
            carried an error, ``{"error": ..., "partial": ...}`` with what had come until then.
        complete: Whether the stream came to its end without an error.
    """

    body: JsonObject
    complete: bool


Translate = Callable[[JsonObject], JsonObject]
"""From one form of a body to another; never raises for what the body holds."""

Render = Callable[[JsonObject, JsonObject], tuple[bytes, bytes]]
"""From a chat completion and the dialect's request to content type and body."""

Refuse = Callable[[int, str, str, str], JsonObject]
"""From HTTP status, message, kind and code to an error body."""


@dataclass(frozen=True, slots=True)
class Form:
    """One API: pure functions between its bodies and chat-completions bodies.

    Attributes:
        dialect: Its name.
        path: Its path below ``/v1``.
        to_chat: A request in chat-completions form; fields that the form does not know stay.
        chat_response: A response in chat-completion form; an error stays as it is, but for what is in
            ``partial``.
        beyond: Names what a request asks for that an :class:`~offramp.core.call.Answer` cannot hold, or holds
            that a specialist cannot read, "" where there is nothing: one of a few fixed phrases, never a word
            of the request. Takes the dialect's request.
        render: A chat completion as the request wants it: one body, or all events of a stream.
        fold: A stream's body as the call without streaming would have given it; never raises.
        error: An error body: of HTTP status, message, OpenAI's ``type``, a word programs can compare.
    """

    dialect: Dialect
    path: str
    to_chat: Translate
    chat_response: Translate
    beyond: Callable[[JsonObject], str]
    render: Render
    fold: Callable[[bytes], Folded]
    error: Refuse


def broken(partial: object, error: object = None, *, usage: object = None) -> Folded:
    """Return what is left of a stream that broke off or carried an error.

    Part of an answer must never be taken for an answer: it stands under ``partial``.
    """
    body: JsonObject = {"error": _cut() if error is None else error, "partial": partial}
    return Folded(body | ({"usage": usage} if usage else {}), complete=False)


def damaged() -> JsonObject:
    """Return the error of a stream that a client could not have read."""
    return {"type": "unreadable_event", "message": "The stream holds an event that is not JSON."}


def _cut() -> JsonObject:
    return {"type": "incomplete_stream", "message": "The stream ended before the answer did."}


def openai_error(_status: int, message: str, kind: str, code: str) -> JsonObject:
    """Build an error body in OpenAI's form, which its clients turn into their own exceptions."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
