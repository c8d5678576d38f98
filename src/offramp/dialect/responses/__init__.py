"""OpenAI's Responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.call import Dialect
from offramp.dialect.codec import encode
from offramp.dialect.form import EVENTS, JSON, Form, openai_error
from offramp.dialect.responses.request import beyond, to_chat
from offramp.dialect.responses.response import chat_response, response_of
from offramp.dialect.responses.stream import events_of, fold

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

__all__ = ["RESPONSES"]


def _render(completion: JsonObject, request: JsonObject) -> tuple[bytes, bytes]:
    response = response_of(completion, request)
    return (EVENTS, b"".join(events_of(response))) if request.get("stream") else (JSON, encode(response))


RESPONSES = Form(
    dialect=Dialect.RESPONSES,
    path="/responses",
    to_chat=to_chat,
    chat_response=chat_response,
    beyond=beyond,
    render=_render,
    fold=fold,
    error=openai_error,
)
"""``POST /v1/responses``."""
