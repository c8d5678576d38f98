"""Anthropic's Messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.call import Dialect
from offramp.dialect.codec import encode
from offramp.dialect.form import EVENTS, JSON, Form
from offramp.dialect.messages.request import beyond, to_chat
from offramp.dialect.messages.response import chat_response, error, message_of
from offramp.dialect.messages.stream import events_of, fold

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

__all__ = ["MESSAGES"]


def _render(completion: JsonObject, request: JsonObject) -> tuple[bytes, bytes]:
    message = message_of(completion)
    return (EVENTS, b"".join(events_of(message))) if request.get("stream") else (JSON, encode(message))


MESSAGES = Form(
    dialect=Dialect.MESSAGES,
    path="/messages",
    to_chat=to_chat,
    chat_response=chat_response,
    beyond=beyond,
    render=_render,
    fold=fold,
    error=error,
)
"""``POST /v1/messages``."""
