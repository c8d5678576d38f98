"""A specialist's answer in the client's form: one completion, or a stream of events."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from offramp.upstream.completions import encode, estimate_usage, events_of

if TYPE_CHECKING:
    from offramp.core.call import Answer
    from offramp.core.json import JsonObject


def beyond(request: JsonObject) -> str:
    """Name what the request asks for that an :class:`Answer` cannot hold, "" where there is nothing."""
    if request.get("n") not in (None, 1):
        return "n > 1"
    if request.get("logprobs") or request.get("top_logprobs"):
        return "logprobs asked for"
    return ""


def completion_of(answer: Answer, request: JsonObject, *, created: float) -> JsonObject:
    """Build the chat completion for an answer.

    Args:
        answer: What the specialist said.
        request: The request; its ``model`` is echoed, and where it offers ``functions`` (the old form)
            a call of one takes the old form too.
        created: Seconds since the epoch.
    """
    message: JsonObject = {"role": "assistant", "content": answer.text or None, "refusal": None}
    reason = "stop"
    if answer.tool_calls and request.get("functions") and not request.get("tools"):
        first = answer.tool_calls[0]
        message["function_call"] = {"name": first.name, "arguments": _arguments(first.arguments)}
        reason = "function_call"
    elif answer.tool_calls:
        message["tool_calls"] = [
            {
                "id": f"call_{uuid.uuid4().hex[:24]}",
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call.arguments)},
            }
            for call in answer.tool_calls
        ]
        reason = "tool_calls"
    else:
        message["content"] = answer.text
    choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}]
    completion: JsonObject = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(created),
        "model": request.get("model", ""),
        "choices": choices,
    }
    completion["usage"] = estimate_usage(request, completion)
    return completion


def _arguments(arguments: JsonObject) -> str:
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))


def rendered(completion: JsonObject, request: JsonObject) -> tuple[bytes, bytes]:
    """Render a completion as the request wants it.

    Returns:
        The content type and the body.
    """
    if not request.get("stream"):
        return b"application/json", encode(completion)
    options = request.get("stream_options")
    include_usage = isinstance(options, dict) and bool(options.get("include_usage"))
    return b"text/event-stream; charset=utf-8", b"".join(events_of(completion, include_usage=include_usage))
