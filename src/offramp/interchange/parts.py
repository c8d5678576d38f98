"""Messages as the GenAI conventions write them: a role, and parts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from offramp.core.call import decode_json, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.json import JsonObject

_FINISH = {"tool_calls": "tool_call"}
_FINISH_BACK = {"tool_call": "tool_calls"}
_KNOWN = frozenset({"role", "content", "tool_calls", "tool_call_id", "name", "function_call"})


def input_of(message: JsonObject) -> JsonObject:
    """Write a chat message as a role and its parts."""
    role = str(message.get("role", "user"))
    if role == "tool":
        answer = {
            "type": "tool_call_response",
            "id": message.get("tool_call_id"),
            "response": message.get("content"),
        }
        parts = [answer]
    else:
        parts = [*_content(message.get("content")), *_calls(message)]
    name = {"name": message["name"]} if message.get("name") else {}
    more = {key: value for key, value in message.items() if key not in _KNOWN and value is not None}
    return {"role": role, "parts": parts, **name, **more}


def output_of(message: JsonObject, finish: str | None) -> JsonObject:
    """Write the answer."""
    reason = finish or "stop"
    return input_of(message | {"role": "assistant"}) | {"finish_reason": _FINISH.get(reason, reason)}


def finish_from(reason: object) -> str | None:
    """Read a finish reason, the conventions' or a provider's."""
    return _FINISH_BACK.get(reason, reason) if isinstance(reason, str) else None


def messages_from(item: JsonObject) -> Iterator[JsonObject]:
    """Read one message of parts; answers of several tools become messages of their own."""
    parts = item["parts"]
    answers = [part for part in parts if part.get("type") == "tool_call_response"]
    for part in answers:
        response = part.get("response", part.get("result"))
        content = response if isinstance(response, str | list) else json.dumps(response)
        yield {"role": "tool", "tool_call_id": part.get("id"), "content": content}
    rest = [part for part in parts if part.get("type") != "tool_call_response"]
    if answers and not rest:
        return
    more = {key: value for key, value in item.items() if key not in ("parts", "finish_reason")}
    calls = [_call_from(part) for part in rest if part.get("type") == "tool_call"]
    content = _content_from([part for part in rest if part.get("type") != "tool_call"])
    message = {**more, "content": content}
    if calls:
        message |= {"tool_calls": calls, "content": content or None}
    yield message


def system_from(instructions: object) -> list[JsonObject]:
    """Read system instructions that stand apart from the messages."""
    if not isinstance(instructions, list) or not instructions:
        return []
    return [{"role": "system", "content": _content_from(instructions)}]


def tool_from(tool: Any) -> Any:
    """Read a tool's definition, flat as in the conventions or wrapped as in chat."""
    if isinstance(tool, dict) and "function" not in tool and "name" in tool:
        function = {key: value for key, value in tool.items() if key != "type"}
        return {"type": "function", "function": function}
    return tool


def _content(content: object) -> list[JsonObject]:
    if isinstance(content, str):
        return [{"type": "text", "content": content}] if content else []
    if not isinstance(content, list):
        return []
    return [
        {"type": "text", "content": part.get("text", "")} if part.get("type") == "text" else part
        for part in content
        if isinstance(part, dict)
    ]


def _content_from(parts: list[JsonObject]) -> Any:
    """Join texts to one; where something else is among them, the list stays a list."""
    made = [
        {"type": "text", "text": part.get("content", "")} if part.get("type") == "text" else part
        for part in parts
    ]
    if all(part.get("type") == "text" for part in made):
        return text_of(made)
    return made


def _calls(message: JsonObject) -> list[JsonObject]:
    made = message.get("tool_calls")
    calls = list(made) if isinstance(made, list) else []
    if message.get("function_call"):
        calls.append({"function": message["function_call"]})
    return [
        _call(call) for call in calls if isinstance(call, dict) and isinstance(call.get("function"), dict)
    ]


def _call(call: JsonObject) -> JsonObject:
    function = call["function"]
    text = function.get("arguments") or "{}"
    arguments = decode_json(text) if isinstance(text, str) else text
    return {
        "type": "tool_call",
        "id": call.get("id"),
        "name": function.get("name"),
        "arguments": text if arguments is None else arguments,
    }


def _call_from(part: JsonObject) -> JsonObject:
    arguments = part.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return {
        "id": part.get("id"),
        "type": "function",
        "function": {"name": part.get("name"), "arguments": text},
    }
