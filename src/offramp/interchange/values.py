"""Values that several formats share: times, tokens, messages."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from offramp.core.call import Dialect, Usage
from offramp.dialect.codec import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.call import Call
    from offramp.core.json import JsonObject

CHARACTERS_PER_TOKEN = 4
_MILLISECONDS_FROM = 1e11
_NANOSECONDS_FROM = 1e17


def time_in(row: JsonObject, keys: Sequence[str]) -> float | None:
    """Read the first time there is under ``keys``: a number (s, ms or ns) or ISO 8601 text, UTC by default.

    Returns:
        Seconds since the epoch, None where there is none.
    """
    for key in keys:
        at = seconds(row.get(key))
        if at is not None:
            return at
    return None


def seconds(value: object) -> float | None:
    """Read one time; None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _scaled(value)
    if not isinstance(value, str):
        return None
    if value.isdigit():
        return _scaled(int(value))
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _scaled(number: float) -> float:
    if number > _NANOSECONDS_FROM:
        return number / 1e9
    return number / 1000 if number > _MILLISECONDS_FROM else float(number)


def iso(at: float) -> str:
    """Write a time as ISO 8601 in UTC, to the microsecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def decoded(value: Any) -> Any:
    """Decode what a tool wrote as JSON inside text; anything else is returned as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def usage_of(prompt: object, completion: object, request: JsonObject, response: JsonObject) -> Usage:
    """Return the tokens as counted, or a token for four characters where nobody did.

    Raises:
        TypeError: The count is no number.
    """
    if prompt is not None and not isinstance(prompt, int | float):
        raise TypeError("the count of tokens has to be a number")
    if prompt:
        return Usage(int(prompt), int(completion) if isinstance(completion, int | float) else 0)
    asked = len(encode([request.get("messages"), request.get("tools")]))
    made = response.get("choices")
    choices = made if isinstance(made, list) else []
    said = len(encode([choice.get("message") for choice in choices if isinstance(choice, dict)]))
    return Usage(asked // CHARACTERS_PER_TOKEN, said // CHARACTERS_PER_TOKEN)


def messages_in(value: object, name: str) -> list[JsonObject]:
    """Check that something is a list of messages.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        raise TypeError(f"{name} has to be a list of messages")
    return value


def checked(response: object) -> JsonObject:
    """Check that something has the outline of a response: choices and usage, where they are there.

    Raises:
        TypeError: It has not.
    """
    if not isinstance(response, dict):
        raise TypeError("response has to be an object")
    choices, usage = response.get("choices"), response.get("usage")
    if choices is not None and not (isinstance(choices, list) and all(isinstance(c, dict) for c in choices)):
        raise TypeError("response.choices has to be a list of objects")
    if usage is not None and not isinstance(usage, dict):
        raise TypeError("response.usage has to be an object")
    return response


def conversation_of(call: Call) -> list[JsonObject]:
    """Return the messages of a call that is to be written in a form for conversations.

    Raises:
        ValueError: It holds none: embeddings, and whatever a client sent that was no conversation.
    """
    messages = call.request.get("messages")
    if call.dialect is Dialect.EMBEDDINGS or not isinstance(messages, list) or not messages:
        raise ValueError("the call has no messages")
    if not all(isinstance(message, dict) for message in messages):
        raise ValueError("the call's messages are none")
    return messages


def completion(message: JsonObject, *, finish: str | None = None, **fields: Any) -> JsonObject:
    """Build a chat completion around one message."""
    reason = finish or ("tool_calls" if message.get("tool_calls") else "stop")
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {**{key: value for key, value in fields.items() if value is not None}, "choices": [choice]}


def message_of(response: JsonObject) -> JsonObject | None:
    """Return the first choice's message, None where the response is an error."""
    choices = response.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    return message if isinstance(message, dict) else None


def finish_of(response: JsonObject) -> str | None:
    """Return the first choice's finish reason."""
    choices = response.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    reason = choice.get("finish_reason") if isinstance(choice, dict) else None
    return reason if isinstance(reason, str) else None
