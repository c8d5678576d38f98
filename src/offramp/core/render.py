"""How a call becomes a specialist's prompt and completion: the same text in training and in serving."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.askers import MIN_ORIGINS, shared
from offramp.core.call import Answer, OutputType, ToolCall, decode_json, functions_of, text_of
from offramp.core.model import Constraint, Example, TeacherToken, ToolShape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from offramp.core.call import Call
    from offramp.core.dataset import Item
    from offramp.core.json import JsonObject

MAX_LABEL = 64
"""Characters of a label at most; a longer answer is text."""

COPIED = 0.9
"""Share of string values found in their payload from which a task is said to copy."""

_STATIC_ROLES = ("system", "developer")


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """What a task's training answers have in common.

    Attributes:
        keys: Keys of its flat JSON answers in the teacher's order; empty for tool calls and plain text.
        copies: Whether string values are copied from the payload.
    """

    keys: tuple[str, ...] = ()
    copies: bool = False


def payload_of(request: JsonObject) -> str:
    """Return the variable part of a request.

    The text of the only user message where the request is a single turn; else every message after the
    leading system prompt, one ``role: text`` line each, tool calls as ``name {...}``.
    """
    messages = [message for message in request.get("messages") or [] if isinstance(message, dict)]
    start = next((i for i, m in enumerate(messages) if m.get("role") not in _STATIC_ROLES), len(messages))
    turns = messages[start:]
    if len(turns) == 1 and turns[0].get("role") == "user":
        return text_of(turns[0].get("content"))
    return "\n".join(f"{turn.get('role', '')}: {_turn_text(turn)}" for turn in turns)


def is_text_only(request: JsonObject) -> bool:
    """Whether the payload is the whole request: no image, audio or file stands in any message."""
    for message in request.get("messages") or []:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list) and any(
            not isinstance(part, dict) or part.get("type") != "text" for part in content
        ):
            return False
    return True


def render_prompt(hint: str, request: JsonObject) -> str:
    """Render a request for a specialist.

    Args:
        hint: The task's slug, which tells the members of a group apart.
        request: The chat-completions request.
    """
    return f"{hint}: {payload_of(request)}"


def render_completion(output: OutputType, answer: Answer) -> str | None:
    """Render an answer compactly.

    Returns:
        ``name {"arg":"value"}`` for a tool call, the text for free text, compact JSON or the label otherwise;
        None where the answer does not have the task's form.
    """
    if output is OutputType.TOOL_CALL:
        if len(answer.tool_calls) != 1 or answer.text.strip():
            return None
        call = answer.tool_calls[0]
        return f"{call.name} {_compact(call.arguments)}"
    if answer.tool_calls or output is OutputType.ERROR:
        return None
    text = answer.text.strip()
    if output is OutputType.TEXT:
        return text or None
    decoded = decode_json(text) if text.startswith("{") else None
    if isinstance(decoded, dict):
        return _compact(decoded)
    return text if output is OutputType.LABEL and _is_label(text) else None


def parse_completion(output: OutputType, text: str) -> Answer | None:
    """Read a completion back; the inverse of :func:`render_completion`.

    Returns:
        The answer, None where the text is not in the task's form.
    """
    if output is OutputType.TOOL_CALL:
        name, _, rest = text.strip().partition(" ")
        arguments = decode_json(rest)
        return (
            Answer(tool_calls=(ToolCall(name, arguments),)) if name and isinstance(arguments, dict) else None
        )
    rendered = render_completion(output, Answer(text=text))
    return Answer(text=rendered) if rendered is not None else None


def render_example(call: Call, answer: Answer, *, hint: str, output: OutputType) -> Example | None:
    """Render a call as a training pair, None where its answer does not have the task's form."""
    completion = render_completion(output, answer)
    if completion is None:
        return None
    return Example(call.id, render_prompt(hint, call.request), completion, _told(call.response))


def observe(items: Sequence[Item], min_origins: int = MIN_ORIGINS) -> AnswerFacts:
    """Collect what constrained decoding may rely on.

    Args:
        items: One task's training part.
        min_origins: Distinct askers whose answers must hold a key of a JSON answer, as it may be a name.
    """
    fields = [_fields(item.answer.text) for item in items]
    keys = dict.fromkeys(key for named in fields for key in named)
    kept = {key for _, key in shared(items, fields, min_origins)}
    values = copied = 0
    for item, named in zip(items, fields, strict=True):
        payload = payload_of(item.call.request)
        for holder in (named, *(call.arguments for call in item.answer.tool_calls)):
            texts = list(_strings(holder))
            values += len(texts)
            copied += sum(1 for value in texts if value in payload)
    copies = values > 0 and copied >= COPIED * values
    return AnswerFacts(tuple(key for key in keys if key in kept), copies=copies)


def _fields(text: str) -> JsonObject:
    decoded = decode_json(text) if text.lstrip().startswith("{") else None
    return decoded if isinstance(decoded, dict) else {}


def constraint_of(request: JsonObject, output: OutputType, facts: AnswerFacts) -> Constraint | None:
    """Return what an engine may generate for a request.

    Args:
        request: The chat-completions request; tools and a JSON schema in it are binding.
        output: The task's output type.
        facts: What its training answers showed.

    Returns:
        The constraint, None where nothing is known that would bind (a plain-text label).
    """
    if output is OutputType.TOOL_CALL:
        shapes = tuple(
            ToolShape(str(function.get("name")), _properties(function.get("parameters")))
            for function in functions_of(request)
        )
    else:
        keys = _schema_keys(request) or facts.keys
        shapes = (ToolShape("", keys),) if keys else ()
    if not shapes:
        return None
    return Constraint(shapes, payload_of(request) if facts.copies else None)


def _told(response: JsonObject) -> tuple[TeacherToken, ...]:
    """Read the answer's tokens with their alternatives; none where the teacher gave none for any."""
    choices = response.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    given = choice.get("logprobs")
    content = given.get("content") if isinstance(given, dict) else None
    tokens = [_told_token(item) for item in content] if isinstance(content, list) else []
    whole = tuple(token for token in tokens if token is not None)
    # What masking changed has no alternatives, and yet is part of the text.
    return whole if len(whole) == len(tokens) and any(token.alternatives for token in whole) else ()


def _told_token(item: object) -> TeacherToken | None:
    if not isinstance(item, dict) or not isinstance(item.get("token"), str):
        return None
    alternatives = item.get("top_logprobs")
    pairs = tuple(
        (other["token"], float(other["logprob"]))
        for other in (alternatives if isinstance(alternatives, list) else ())
        if isinstance(other, dict)
        and isinstance(other.get("token"), str)
        and isinstance(other.get("logprob"), int | float)
    )
    return TeacherToken(item["token"], pairs)


def _turn_text(turn: JsonObject) -> str:
    calls = [call.get("function") for call in turn.get("tool_calls") or [] if isinstance(call, dict)]
    calls += [turn.get("function_call")]
    shown = [f"{f.get('name')} {f.get('arguments') or '{}'}" for f in calls if isinstance(f, dict)]
    return " ".join(filter(None, [text_of(turn.get("content")), *shown]))


def _schema_keys(request: JsonObject) -> tuple[str, ...]:
    form = request.get("response_format")
    wrapped = form.get("json_schema") if isinstance(form, dict) else None
    return _properties(wrapped.get("schema")) if isinstance(wrapped, dict) else ()


def _properties(schema: object) -> tuple[str, ...]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return tuple(properties) if isinstance(properties, dict) else ()


def _is_label(text: str) -> bool:
    return 0 < len(text) <= MAX_LABEL and "\n" not in text


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
