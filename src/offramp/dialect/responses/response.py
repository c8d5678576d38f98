"""OpenAI's Responses: a response in chat-completion form, and a chat completion as a response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.dialect.fields import child, count, given, objects, text
from offramp.dialect.responses.request import assistant_part, joined

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

_FINISHES = {"max_output_tokens": "length", "content_filter": "content_filter"}
_ENDED = frozenset({"completed", "incomplete"})
_ECHOED: JsonObject = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def chat_response(response: JsonObject) -> JsonObject:
    """Return a response in chat-completion form; an error stays, what came before it becomes choices.

    One that has not ended (queued, in progress, cancelled, failed) is no answer: it becomes an error.
    """
    if response.get("error") and "output" not in response:
        partial = response.get("partial")
        if not isinstance(partial, dict):
            return response
        counted = given(usage=chat_usage(response.get("usage")))
        return response | {"partial": [_choice(partial)]} | counted
    if not isinstance(response.get("output"), list):
        return response
    usage = given(usage=chat_usage(response.get("usage")))
    status = text(response, "status") or "completed"
    if status not in _ENDED or response.get("error"):
        error = response.get("error") or {
            "type": "unfinished_response",
            "message": f"The response is {status}.",
        }
        return {"error": error, "partial": [_choice(response)]} | usage
    head = {"id": text(response, "id"), "object": "chat.completion", "model": text(response, "model")}
    return head | given(created=response.get("created_at")) | {"choices": [_choice(response)]} | usage


def _choice(response: JsonObject) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": None}
    texts: list[str] = []
    others: list[JsonObject] = []
    for item in objects(response.get("output")):
        part = assistant_part(item)
        if item.get("type") == "message":
            said = objects(item.get("content"))
            texts += [text(piece, "text") for piece in said if piece.get("type") == "output_text"]
            refusal = "".join(text(piece, "refusal") for piece in said)
            message |= {"refusal": refusal} if refusal else {}
        elif part is not None:
            message = joined(message, part)
        else:
            others.append(item)
    message["content"] = "".join(texts) if texts or not message.get("tool_calls") else None
    if others:
        message["output_items"] = others
    return {"index": 0, "message": message, "finish_reason": _finish(response, message)}


def _finish(response: JsonObject, message: JsonObject) -> str | None:
    if response.get("status", "completed") == "incomplete":
        return _FINISHES.get(text(child(response, "incomplete_details"), "reason"), "length")
    if response.get("status", "completed") != "completed":
        return None
    return "tool_calls" if message.get("tool_calls") else "stop"


def chat_usage(usage: object) -> JsonObject | None:
    """Return usage under the names of chat completions."""
    if not isinstance(usage, dict):
        return None
    prompt, said = count(usage, "input_tokens"), count(usage, "output_tokens")
    return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said} | given(
        prompt_tokens_details=usage.get("input_tokens_details"),
        completion_tokens_details=usage.get("output_tokens_details"),
    )


def response_of(completion: JsonObject, request: JsonObject) -> JsonObject:
    """Return the first choice of a chat completion as the body of a response.

    Args:
        completion: A chat completion.
        request: The request of the Responses API; its settings are echoed.
    """
    choice = next(iter(objects(completion.get("choices"))), {})
    number = text(completion, "id").removeprefix("chatcmpl-")
    cut = choice.get("finish_reason") == "length"
    given_settings = {key: request[key] for key in _ECHOED if request.get(key) is not None}
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": completion.get("created", 0),
        "status": "incomplete" if cut else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "model": text(completion, "model"),
        "output": _items(child(choice, "message"), number),
        **_ECHOED,
        **given_settings,
        "usage": _usage(child(completion, "usage")),
    }


def _items(message: JsonObject, number: str) -> list[JsonObject]:
    calls = objects(message.get("tool_calls"))
    if message.get("function_call"):
        calls = [{"function": message["function_call"]}]
    said = text(message, "content")
    part: JsonObject = {"type": "output_text", "annotations": [], "logprobs": [], "text": said}
    spoken: JsonObject = {
        "type": "message",
        "id": f"msg_{number}",
        "status": "completed",
        "role": "assistant",
    }
    head = [spoken | {"content": [part]}] if said or not calls else []
    return head + [_function_call(call, f"fc_{number}_{at}") for at, call in enumerate(calls)]


def _function_call(call: JsonObject, name: str) -> JsonObject:
    function = child(call, "function")
    return {
        "type": "function_call",
        "id": name,
        "call_id": text(call, "id") or f"call_{name}",
        "name": text(function, "name"),
        "arguments": text(function, "arguments"),
        "status": "completed",
    }


def _usage(usage: JsonObject) -> JsonObject:
    prompt, said = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
    details = child(usage, "prompt_tokens_details")
    reasoned = count(child(usage, "completion_tokens_details"), "reasoning_tokens")
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            name: count(details, name) for name in ("cached_tokens", "cache_write_tokens")
        },
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": reasoned},
        "total_tokens": prompt + said,
    }
