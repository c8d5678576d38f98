"""A chat completion cut into the events of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offramp.dialect.codec import DONE, cut, event
from offramp.dialect.fields import child

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.json import JsonObject


def wants_usage(request: JsonObject) -> bool:
    """Whether a request asks for a last event with the usage."""
    return bool(child(request, "stream_options").get("include_usage"))


def events_of(completion: JsonObject, *, include_usage: bool) -> Iterator[bytes]:
    """Cut a chat completion into the events a streaming server would have sent.

    Args:
        completion: A complete chat completion.
        include_usage: As the client's ``stream_options.include_usage``: a last chunk with the usage and
            no choices.

    Yields:
        One encoded event at a time: role, pieces of what is said, finish reason, usage, ``[DONE]``.
    """
    head = {key: value for key, value in completion.items() if key not in {"choices", "usage", "object"}}
    head["object"] = "chat.completion.chunk"
    if include_usage:
        head["usage"] = None
    for choice in completion.get("choices") or []:
        for delta in _deltas(choice["message"]):
            yield event({**head, "choices": [_part(choice, delta, None)]})
        yield event({**head, "choices": [_part(choice, {}, choice.get("finish_reason"))]})
    if include_usage:
        yield event({**head, "choices": [], "usage": completion.get("usage")})
    yield DONE


def _part(choice: JsonObject, delta: JsonObject, finish_reason: str | None) -> JsonObject:
    return {
        "index": choice.get("index", 0),
        "delta": delta,
        # All at once and last: a client that puts pieces together must not meet them twice.
        "logprobs": choice.get("logprobs") if finish_reason is not None else None,
        "finish_reason": finish_reason,
    }


def _deltas(message: JsonObject) -> Iterator[JsonObject]:
    spoken = {"content", "tool_calls", "function_call"}
    yield {
        **{key: value for key, value in message.items() if key not in spoken},
        "content": _opening(message),
    }
    content = message.get("content")
    for piece in cut(content) if isinstance(content, str) else []:
        yield {"content": piece}
    if message.get("function_call"):
        yield from ({"function_call": part} for part in _function_parts(message["function_call"]))
    for index, call in enumerate(message.get("tool_calls") or []):
        yield from _tool_call_deltas(call, index)


def _opening(message: JsonObject) -> str | None:
    return "" if isinstance(message.get("content"), str) else None


def _tool_call_deltas(call: JsonObject, index: int) -> Iterator[JsonObject]:
    parts = _function_parts(call.get("function") or {})
    opening: dict[str, Any] = {**call, "index": index, "function": next(parts)}
    yield {"tool_calls": [opening]}
    for part in parts:
        yield {"tool_calls": [{"index": index, "function": part}]}


def _function_parts(function: JsonObject) -> Iterator[JsonObject]:
    arguments = function.get("arguments") or ""
    yield {**function, "arguments": ""}
    yield from ({"arguments": piece} for piece in cut(arguments))
