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

import orjson

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
_SHALLOW = 200

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

Literals = list[tuple[int, int, str | None, str | None]]
"""Start and end of each literal; its text, None for an integer; the key it stands under, None for a key."""

LITERAL = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|(?<![\w.+-])\d{7,19}(?![\w.])')


class Walk:
    """Applies a function to every text of a JSON value, texts of JSON inside texts included.

    Args:
        visit: Called with a text, the key it stands under, and its zone; returns what takes its place.
        literals: Takes texts of JSON apart, as `literals_of` does.
        known: Returns what takes a message's place where that needs no walk, None where it does.
    """

    def __init__(
        self,
        visit: Callable[[str, str, Zone], str],
        literals: Callable[[str], Literals | None] | None = None,
        known: Callable[[Any], Any] | None = None,
    ) -> None:
        self._visit = visit
        self._literals = literals or literals_of
        self._known = known

    def value(self, value: Any, name: str = "", zone: Zone = Zone.FREE, depth: int = 0) -> Any:
        """Return the value with every text replaced; keys stay."""
        if isinstance(value, str):
            return self._text(value, name, zone, depth)
        if depth > _DEEPEST or zone is Zone.FIXED:
            return value
        if isinstance(value, list):
            return [self.value(item, name, zone, depth + 1) for item in value]
        if isinstance(value, dict):
            if self._known is not None and zone is Zone.OUTER:
                made = self._known(value)
                if made is not None:
                    return made
            inner = _inner(value, zone)
            return {k: self.value(v, k, _under(k, v, inner), depth + 1) for k, v in value.items()}
        return value

    def _text(self, text: str, name: str, zone: Zone, depth: int) -> str:
        if zone is Zone.FIXED or len(text) < 2:
            return text
        if zone is not Zone.OUTER and text[0] in '{["' and depth <= _DEEPEST:
            literals = self._literals(text)
            if literals is not None:
                return self._inside(text, literals, zone, depth)
        return self._visit(text, name, zone)

    def _inside(self, text: str, literals: Literals, zone: Zone, depth: int) -> str:
        deep = Zone.DEEP if zone is Zone.FREE else zone
        edits = []
        for start, end, value, name in literals:
            if value is None or name is None:
                continue
            made = self._text(value, name, deep, depth + 1)
            if made != value:
                edits.append((start, end, json.dumps(made, ensure_ascii=text[start:end].isascii())))
        return edited(text, edits)


def _inner(value: dict[str, Any], zone: Zone) -> Zone:
    """Return the zone of an object's frame, given where the object stands."""
    if zone is Zone.DEEP or zone is Zone.STATIC:
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


def literals_of(text: str) -> Literals | None:
    """Take a text of JSON apart into its strings and long integers; None where it is none."""
    if not is_json(text):
        return None
    literals: Literals = []
    name = ""
    for match in LITERAL.finditer(text):
        quoted, colon = match.group(1, 2)
        if quoted is None:
            literals.append((match.start(), match.end(), None, name))
        elif colon is None:
            literals.append((match.start(), match.end(), decode_literal(quoted), name))
        else:
            name = decode_literal(quoted)
            literals.append((match.start(), match.end(1), name, None))
    return literals


def edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    """Return a text with some stretches, in order, replaced."""
    if not edits:
        return text
    pieces: list[str] = []
    at = 0
    for start, end, made in edits:
        pieces += (text[at:start], made)
        at = end
    return "".join((*pieces, text[at:]))


def is_json(text: str) -> bool:
    """Whether a text is a JSON object, list or string as a whole."""
    stripped = text.strip()
    if not stripped or stripped[0] + stripped[-1] not in ("{}", "[]", '""'):
        return False
    # What the fast decoder reads is JSON; it reads deeper than the other, and not all that the other does.
    if text.count("[") + text.count("{") < _SHALLOW:
        try:
            orjson.loads(stripped)
        except orjson.JSONDecodeError:
            pass
        else:
            return True
    try:
        json.loads(stripped)
    except (ValueError, RecursionError):
        return False
    return True
