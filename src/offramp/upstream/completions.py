"""Chat completions on the wire: the fields a client expects, and a completion cut into stream events."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.json import JsonObject

DONE = b"data: [DONE]\n\n"
"""The event that ends a stream."""

# The usual rule of thumb; only where no provider counted.
_CHARACTERS_PER_TOKEN = 4
# Enough to make a client put pieces together, few enough to cost nothing.
_PIECES = 4


def encode(value: object) -> bytes:
    """Encode JSON, also what orjson refuses (integers over 64 bits, lone surrogates)."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode()


def event(payload: object) -> bytes:
    """Encode one server-sent event."""
    return b"data: " + encode(payload) + b"\n\n"


def estimate_usage(request: JsonObject, completion: JsonObject) -> JsonObject:
    """Estimate the tokens of a call from its characters, where nobody counted.

    Returns:
        OpenAI's ``usage`` object.
    """
    asked = [request.get("messages"), request.get("tools"), request.get("functions")]
    said = [choice.get("message") for choice in completion.get("choices") or []]
    prompt = _tokens(asked)
    answer = _tokens(said)
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def _tokens(value: object) -> int:
    return max(1, len(encode(value)) // _CHARACTERS_PER_TOKEN)


def filled_in(completion: JsonObject, request: JsonObject, *, seed: str) -> JsonObject:
    """Add what a client expects and a recording may lack: ids, time, model, roles, finish reasons, usage.

    Args:
        completion: A chat completion; what it says stays as it is.
        request: The request it answers.
        seed: Equal seeds give equal ids.

    Returns:
        A completed copy.
    """
    choices = [
        _filled_choice(choice, index, seed) for index, choice in enumerate(completion.get("choices") or [])
    ]
    given = {key: value for key, value in completion.items() if value is not None}
    return {
        "id": f"chatcmpl-{_short(seed)}",
        "object": "chat.completion",
        "created": 0,
        "model": request.get("model", ""),
        "usage": completion.get("usage") or estimate_usage(request, completion),
        **given,
        "choices": choices,
    }


def _filled_choice(choice: JsonObject, index: int, seed: str) -> JsonObject:
    message = {"role": "assistant", "content": None, **(choice.get("message") or {})}
    if message.get("tool_calls"):
        message["tool_calls"] = [
            {"id": f"call_{_short(f'{seed}/{index}/{at}')}", "type": "function", **call}
            for at, call in enumerate(message["tool_calls"])
        ]
    reason = choice.get("finish_reason") or _reason_of(message)
    return {"index": index, "logprobs": None, **choice, "message": message, "finish_reason": reason}


def _reason_of(message: JsonObject) -> str:
    if message.get("tool_calls"):
        return "tool_calls"
    return "function_call" if message.get("function_call") else "stop"


def _short(seed: str) -> str:
    return hashlib.blake2b(seed.encode(), digest_size=12).hexdigest()


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
    for piece in _cut(content) if isinstance(content, str) else []:
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
    yield from ({"arguments": piece} for piece in _cut(arguments))


def _cut(text: str) -> list[str]:
    step = max(1, -(-len(text) // _PIECES))
    return [text[start : start + step] for start in range(0, len(text), step)]
