"""Which parts of a call are free text, which are fixed, and which words of it are vocabulary.

System prompts and tool schemas come again with every call: what a recogniser takes for a name there is
noise, and would make of one prompt many. So it reads the conversation alone: messages of user, assistant and
tools, and arguments of tool calls. In system prompts only what was found in the conversation is replaced;
tool schemas, names of tools, roles, types, ids and keys of JSON stay as they are.
"""

from __future__ import annotations

import enum
import json
import re
from typing import TYPE_CHECKING, Any

from offramp.redact.recogniser import ADDRESS, ORGANISATION, PERSON, PLACE

if TYPE_CHECKING:
    from collections.abc import Callable


class Zone(enum.Enum):
    """How a text is treated.

    ``FIXED``: never touched. ``STATIC``: the part of a system prompt or of the call's frame, where only what
    was found elsewhere is replaced. ``FREE``: read by the recogniser. ``DEEP``: read too, and so is
    everything below, whatever its keys (arguments and results of tools).
    """

    FIXED = enum.auto()
    STATIC = enum.auto()
    OUTER = enum.auto()
    FREE = enum.auto()
    DEEP = enum.auto()


_STATIC_ROLES = ("system", "developer")
_FIXED = frozenset(
    [
        "tools",
        "functions",
        "tool_choice",
        "response_format",
        "model",
        "role",
        "type",
        "id",
        "name",
        "object",
        "tool_call_id",
        "call_id",
        "finish_reason",
        "system_fingerprint",
        "status",
        "format",
    ]
)
_STATIC = frozenset(("system", "instructions"))
_FREE = frozenset(
    [
        "content",
        "prompt",
        "text",
        "output",
        "reasoning_content",
        "reasoning",
        "refusal",
        "thinking",
        "summary",
    ]
)
_DEEP = frozenset(("arguments", "input"))
_DEEPEST = 100

KEYS = {
    **dict.fromkeys(
        [
            "first_name",
            "last_name",
            "full_name",
            "surname",
            "given_name",
            "family_name",
            "firstname",
            "lastname",
            "middle_name",
            "maiden_name",
            "customer_name",
            "patient_name",
            "passenger_name",
            "employee_name",
            "contact_name",
            "guest_name",
            "recipient_name",
        ],
        PERSON,
    ),
    **dict.fromkeys(["city", "town", "hometown", "birthplace"], PLACE),
    **dict.fromkeys(
        [
            "street",
            "address",
            "address1",
            "address2",
            "address_line1",
            "address_line2",
            "street_address",
            "zip",
            "zip_code",
            "zipcode",
            "postal_code",
            "postcode",
        ],
        ADDRESS,
    ),
    **dict.fromkeys(["company", "company_name", "employer", "organization", "organisation"], ORGANISATION),
}
"""Keys of JSON whose values are what the key says, in arguments and in results of tools."""

LITERAL = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|(?<![\w.+-])\d{7,19}(?![\w.])')


class Walk:
    """Applies a function to every text of a JSON value, texts of JSON inside texts included.

    Args:
        visit: Called with a text, the key it stands under, and its zone; returns what takes its place.
    """

    def __init__(self, visit: Callable[[str, str, Zone], str]) -> None:
        self._visit = visit

    def value(self, value: Any, name: str = "", zone: Zone = Zone.FREE, depth: int = 0) -> Any:
        """Return the value with every text replaced; keys stay."""
        if isinstance(value, str):
            return self._text(value, name, zone, depth)
        if depth > _DEEPEST or zone is Zone.FIXED:
            return value
        if isinstance(value, list):
            return [self.value(item, name, zone, depth + 1) for item in value]
        if isinstance(value, dict):
            inner = _inner(value, zone)
            return {k: self.value(v, k, _under(k, v, inner), depth + 1) for k, v in value.items()}
        return value

    def _text(self, text: str, name: str, zone: Zone, depth: int) -> str:
        if zone is Zone.FIXED or len(text) < 2:
            return text
        if zone is not Zone.OUTER and text[0] in '{["' and depth <= _DEEPEST and is_json(text):
            return self._inside(text, zone, depth)
        return self._visit(text, name, zone)

    def _inside(self, text: str, zone: Zone, depth: int) -> str:
        name = ""
        deep = Zone.DEEP if zone is Zone.FREE else zone

        def literal(match: re.Match[str]) -> str:
            nonlocal name
            quoted, colon = match.group(1), match.group(2)
            if quoted is None:
                return match.group()
            value = decode_literal(quoted)
            if colon is not None:
                name = value
                return match.group()
            made = self._text(value, name, deep, depth + 1)
            return quoted if made == value else json.dumps(made, ensure_ascii=quoted.isascii())

        return LITERAL.sub(literal, text)


def _inner(value: dict[str, Any], zone: Zone) -> Zone:
    """Return the zone of an object's frame, given where the object stands."""
    if zone in {Zone.DEEP, Zone.STATIC}:
        return zone
    return Zone.STATIC if value.get("role") in _STATIC_ROLES else Zone.OUTER


def _under(key: str, item: Any, zone: Zone) -> Zone:
    """Return the zone of a member of an object whose frame is ``zone``."""
    if zone is Zone.DEEP:
        return zone
    if key in _FIXED:
        return Zone.FIXED
    if zone is Zone.STATIC or key in _STATIC:
        return Zone.STATIC
    if key in _DEEP:
        # The Responses API calls its messages "input" as Anthropic calls the arguments of a tool.
        return Zone.DEEP if isinstance(item, dict) else Zone.FREE
    return Zone.FREE if key in _FREE else Zone.OUTER


def decode_literal(quoted: str) -> str:
    """Decode one JSON string."""
    return quoted[1:-1] if "\\" not in quoted else str(json.loads(quoted))


def is_json(text: str) -> bool:
    """Whether a text is a JSON object, list or string as a whole."""
    stripped = text.strip()
    if not stripped or stripped[0] + stripped[-1] not in ("{}", "[]", '""'):
        return False
    try:
        json.loads(stripped)
    except (ValueError, RecursionError):
        return False
    return True
