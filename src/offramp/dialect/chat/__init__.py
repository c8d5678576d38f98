"""OpenAI's chat completions: the form that every call has inside the product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.call import Dialect
from offramp.dialect.chat.completion import completion_of, estimate_usage, filled_in
from offramp.dialect.chat.fold import fold
from offramp.dialect.chat.stream import events_of, wants_usage
from offramp.dialect.codec import encode
from offramp.dialect.fields import objects
from offramp.dialect.form import EVENTS, JSON, Form, openai_error

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

__all__ = ["CHAT", "completion_of", "estimate_usage", "events_of", "filled_in", "fold"]


def _same(body: JsonObject) -> JsonObject:
    return body


def _beyond(request: JsonObject) -> str:
    modalities = request.get("modalities")
    if request.get("n") not in (None, 1):
        return "n > 1"
    if request.get("logprobs") or request.get("top_logprobs"):
        return "logprobs asked for"
    if request.get("audio") or (isinstance(modalities, list) and "audio" in modalities):
        return "audio asked for"
    if request.get("web_search_options") is not None:
        return "built-in tool web_search"
    # Whoever stores completions asks for them by id later.
    if request.get("store"):
        return "stored completion"
    return next((f"{kind} tool" for kind in _kinds(request) if kind != "function"), "")


def _kinds(request: JsonObject) -> list[str]:
    return [str(tool.get("type", "function")) for tool in objects(request.get("tools"))]


def _render(completion: JsonObject, request: JsonObject) -> tuple[bytes, bytes]:
    if not request.get("stream"):
        return JSON, encode(completion)
    return EVENTS, b"".join(events_of(completion, include_usage=wants_usage(request)))


CHAT = Form(
    dialect=Dialect.CHAT,
    path="/chat/completions",
    to_chat=_same,
    chat_response=_same,
    beyond=_beyond,
    render=_render,
    fold=fold,
    error=openai_error,
)
"""``POST /v1/chat/completions``."""
