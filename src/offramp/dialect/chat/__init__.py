"""OpenAI's chat completions: the form that every call has inside the product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.call import Dialect
from offramp.dialect.chat.completion import completion_of, estimate_usage, filled_in
from offramp.dialect.chat.fold import fold
from offramp.dialect.chat.stream import events_of, wants_usage
from offramp.dialect.codec import encode
from offramp.dialect.fields import objects, text
from offramp.dialect.form import EVENTS, JSON, MORE_THAN_TEXT, Form, openai_error

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

__all__ = ["CHAT", "completion_of", "estimate_usage", "events_of", "filled_in", "fold"]


_TEXTS = frozenset({"text", "refusal"})


def _same(body: JsonObject) -> JsonObject:
    return body


def _beyond(request: JsonObject) -> str:
    modalities = request.get("modalities")
    speaks = isinstance(modalities, list) and "audio" in modalities
    kinds = [tool.get("type", "function") for tool in objects(request.get("tools"))]
    asked = {
        "n > 1": request.get("n") not in (None, 1),
        "logprobs asked for": request.get("logprobs") or request.get("top_logprobs"),
        "audio asked for": request.get("audio") or speaks,
        "built-in tool": request.get("web_search_options") is not None,
        # Whoever stores completions asks for them by id later.
        "stored completion": request.get("store"),
        "tool without a schema": any(kind != "function" for kind in kinds),
        MORE_THAN_TEXT: not _is_text(request),
    }
    return next((phrase for phrase, is_asked in asked.items() if is_asked), "")


def _is_text(request: JsonObject) -> bool:
    contents = [message.get("content") for message in objects(request.get("messages"))]
    return all(text(part, "type") in _TEXTS for content in contents for part in objects(content))


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
