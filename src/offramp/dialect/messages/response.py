"""Anthropic's Messages: a response in chat-completion form, and a chat completion as a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offramp.dialect.codec import decode
from offramp.dialect.fields import child, count, given, objects, text
from offramp.dialect.messages.request import assistant

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

_FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
_STOPS = {"tool_calls": "tool_use", "function_call": "tool_use", "length": "max_tokens"}
_REFUSED = "The model refused."

# By HTTP status, as the API's documentation lists them.
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def chat_response(response: JsonObject) -> JsonObject:
    """Return a response in chat-completion form; an error stays, what came before it becomes choices."""
    if response.get("error"):
        partial = response.get("partial")
        if not isinstance(partial, dict):
            return response
        # What was said before the error is billed too.
        counted = given(usage=chat_usage(partial.get("usage")))
        return response | {"partial": [_choice(partial)]} | counted
    if response.get("type") != "message":
        return response
    head = {"id": text(response, "id"), "object": "chat.completion", "model": text(response, "model")}
    usage = chat_usage(response.get("usage"))
    return head | {"choices": [_choice(response)]} | given(usage=usage)


def _choice(message: JsonObject) -> JsonObject:
    turn = assistant(message)
    reason = message.get("stop_reason")
    finish = _FINISHES.get(reason, reason) if isinstance(reason, str) else None
    if reason == "refusal":
        turn["refusal"] = text(child(message, "stop_details"), "explanation") or _REFUSED
    return {"index": 0, "message": turn, "finish_reason": finish}


def chat_usage(usage: object) -> JsonObject | None:
    """Return usage as chat completions count it: cached tokens are part of the prompt's."""
    if not isinstance(usage, dict):
        return None
    read, written = count(usage, "cache_read_input_tokens"), count(usage, "cache_creation_input_tokens")
    prompt = count(usage, "input_tokens") + read + written
    said = count(usage, "output_tokens")
    return {
        "prompt_tokens": prompt,
        "completion_tokens": said,
        "total_tokens": prompt + said,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
    }


def message_of(completion: JsonObject) -> JsonObject:
    """Return the first choice of a chat completion as the body of a message."""
    choice = next(iter(objects(completion.get("choices"))), {})
    said = child(choice, "message")
    return {
        "id": _renamed(text(completion, "id"), "chatcmpl-", "msg_"),
        "type": "message",
        "role": "assistant",
        "model": text(completion, "model"),
        "content": _blocks(said),
        "stop_reason": _STOPS.get(str(choice.get("finish_reason")), "end_turn"),
        "stop_sequence": None,
        "usage": _usage(child(completion, "usage")),
    }


def _blocks(message: JsonObject) -> list[JsonObject]:
    said = text(message, "content")
    blocks: list[JsonObject] = [{"type": "text", "text": said}] if said else []
    calls = objects(message.get("tool_calls"))
    if message.get("function_call"):
        calls = [{"function": message["function_call"]}]
    return blocks + [_tool_use(call) for call in calls]


def _tool_use(call: JsonObject) -> JsonObject:
    function = child(call, "function")
    arguments: Any = decode(text(function, "arguments").encode("utf-8", "surrogatepass"))
    return {
        "type": "tool_use",
        "id": _renamed(text(call, "id"), "call_", "toolu_"),
        "name": text(function, "name"),
        "input": arguments if isinstance(arguments, dict) else {},
    }


def _usage(usage: JsonObject) -> JsonObject:
    details = child(usage, "prompt_tokens_details")
    read, written = count(details, "cached_tokens"), count(details, "cache_write_tokens")
    return {
        "input_tokens": max(0, count(usage, "prompt_tokens") - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": count(usage, "completion_tokens"),
    }


def _renamed(name: str, prefix: str, new: str) -> str:
    return new + name.removeprefix(prefix)


def error(status: int, message: str, kind: str, code: str) -> JsonObject:
    """Build an error body in Anthropic's form; its ``type`` follows from the status where it has one."""
    known = _KINDS.get(status) or (kind if status < 500 else "api_error")
    return {"type": "error", "error": {"type": known, "message": message, "code": code}}
