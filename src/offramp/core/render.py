"""Calls as text for small models: the variable part of a request in, a compact answer out.

Pure and light, because training and serving have to use the very same functions.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from offramp.core.call import Answer, OutputType, ToolCall, decode_json, text_of
from offramp.core.model import Constraint, ToolShape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from offramp.core.json import JsonObject

_STATIC_ROLES = frozenset({"system", "developer"})
COPY_SHARE = 0.9


def payload(request: JsonObject) -> str:
    """Return the variable part of a request: what is left when its call site is known.

    The user's text where that is all there is; otherwise the messages after the leading system prompt,
    one ``role: text`` line each.
    """
    messages = [m for m in request.get("messages") or [] if isinstance(m, dict)]
    while messages and messages[0].get("role") in _STATIC_ROLES:
        messages.pop(0)
    if len(messages) == 1 and messages[0].get("role") == "user":
        return text_of(messages[0].get("content"))
    return "\n".join(f"{message.get('role')}: {_said(message)}" for message in messages)


def prompt_of(hint: str, request: JsonObject) -> str:
    """Return the prompt of a specialist: the task's short name, a colon, the payload."""
    return f"{hint}: {payload(request)}"


def completion_of(output: OutputType, answer: Answer) -> str:
    """Render an answer as a specialist is to generate it.

    A tool call reads ``name {"argument":"value"}`` with the arguments in the teacher's order; JSON is
    compact, in the teacher's order; a label stays as the teacher wrote it.
    """
    if output is OutputType.TOOL_CALL:
        call = answer.tool_calls[0]
        return f"{call.name} {_compact(call.arguments)}"
    text = answer.text.strip()
    value = decode_json(text) if output is OutputType.JSON else None
    return text if value is None else _compact(value)


def parse_completion(output: OutputType, text: str) -> Answer | None:
    """Read what `completion_of` rendered; None where the text is no answer of this form."""
    if output is OutputType.TOOL_CALL:
        name, space, arguments = text.partition(" ")
        value = decode_json(arguments)
        return (
            Answer(tool_calls=(ToolCall(name, value),))
            if name and space and isinstance(value, dict)
            else None
        )
    if output is OutputType.JSON and decode_json(text) is None:
        return None
    return Answer(text=text) if text else None


def constraint_of(request: JsonObject, *, copies: bool, keys: tuple[str, ...] = ()) -> Constraint | None:
    """Return what a specialist may generate for a request.

    Args:
        request: Its tools are the allowed ones.
        copies: Whether string values have to be substrings of the payload.
        keys: Keys of a flat JSON answer, for requests without tools.

    Returns:
        None where neither tools nor keys say anything.
    """
    shapes = tuple(_shapes(request)) or ((ToolShape("", keys),) if keys else ())
    return Constraint(shapes, payload(request) if copies else None) if shapes else None


def copies_values(pairs: Iterable[tuple[JsonObject, Answer]]) -> bool:
    """Whether string argument values come from the payload, in nine of ten cases at least.

    Args:
        pairs: Requests with the teacher's answers to them.
    """
    copied = total = 0
    for request, answer in pairs:
        text = payload(request)
        for value in _strings([call.arguments for call in answer.tool_calls]):
            total += 1
            copied += value in text
    return total > 0 and copied >= COPY_SHARE * total


def _shapes(request: JsonObject) -> Iterable[ToolShape]:
    listed = [tool.get("function") for tool in request.get("tools") or [] if isinstance(tool, dict)]
    for function in (*listed, *(request.get("functions") or [])):
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            properties = (function.get("parameters") or {}).get("properties") or {}
            yield ToolShape(function["name"], tuple(properties))


def _said(message: JsonObject) -> str:
    parts = [text_of(message.get("content"))]
    for call in message.get("tool_calls") or []:
        function = call.get("function") or {}
        parts.append(f"{function.get('name')} {function.get('arguments')}")
    return " ".join(part for part in parts if part)


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
