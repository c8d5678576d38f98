"""Chat completions as bodies: made of an answer, or completed where a recording lacks fields."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING

from offramp.dialect.codec import encode, encode_text

if TYPE_CHECKING:
    from offramp.core.call import Answer, ToolCall
    from offramp.core.json import JsonObject

# The usual rule of thumb; only where no provider counted.
_CHARACTERS_PER_TOKEN = 4


def completion_of(answer: Answer, request: JsonObject, *, created: float) -> JsonObject:
    """Build the chat completion for an answer.

    Args:
        answer: What the specialist said.
        request: The request in chat form; its ``model`` is echoed, and where it offers ``functions`` (the old
            form) a call of one takes the old form too.
        created: Seconds since the epoch.
    """
    message: JsonObject = {"role": "assistant", "content": answer.text or None, "refusal": None}
    reason = "stop"
    if answer.tool_calls and request.get("functions") and not request.get("tools"):
        message["function_call"] = _function(answer.tool_calls[0])
        reason = "function_call"
    elif answer.tool_calls:
        message["tool_calls"] = [
            {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": _function(call)}
            for call in answer.tool_calls
        ]
        reason = "tool_calls"
    else:
        message["content"] = answer.text
    completion: JsonObject = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(created),
        "model": request.get("model", ""),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
    }
    completion["usage"] = estimate_usage(request, completion)
    return completion


def _function(call: ToolCall) -> JsonObject:
    return {"name": call.name, "arguments": encode_text(call.arguments)}


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
