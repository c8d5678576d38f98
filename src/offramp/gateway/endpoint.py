"""An endpoint of offramp's own: what it takes, what it does, what it gives."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from offramp.core.errors import BadInput
from offramp.core.json import JsonObject

if TYPE_CHECKING:
    from offramp.core.admission import Admission

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
# Python reads more as numbers than JSON does: 1_000, blanks around it, nan.
_NUMBERS = {
    "integer": (re.compile(r"-?[0-9]+"), int),
    "number": (re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"), float),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value in the path or the query.

    Attributes:
        name: Its name; one that stands in braces in the endpoint's path is taken from there.
        meaning: What it says.
        type: ``string``, ``integer``, ``number`` or ``boolean``.
        required: Whether it has to be there.
        least: The least number allowed, None for no such limit.
        most: The greatest one.
    """

    name: str
    meaning: str
    type: str = "string"
    required: bool = False
    least: int | None = None
    most: int | None = None

    @property
    def schema(self) -> JsonObject:
        """What it may be, as JSON Schema."""
        limits = {"minimum": self.least, "maximum": self.most}
        return {"type": self.type} | {name: limit for name, limit in limits.items() if limit is not None}

    def read(self, text: str) -> Any:
        """Read the value from its text.

        Raises:
            BadInput: It is not of the type, or beyond its limits.
        """
        try:
            value = self._value(text)
        except (KeyError, ValueError):
            raise BadInput(f"{self.name} is {text[:60]!r}, which is no {self.type}.") from None
        if fault := _fault(value, self.schema):
            raise BadInput(f"{self.name} is {text[:60]!r}; it {fault}.")
        return value

    def _value(self, text: str) -> Any:
        if self.type == "boolean":
            return _TRUTH[text.lower()]
        if self.type in _NUMBERS:
            form, number = _NUMBERS[self.type]
            if not form.fullmatch(text):
                raise ValueError(text)
            return number(text)
        return text


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What an endpoint is asked.

    Attributes:
        parameters: Values of the path and the query, by name, of the declared types.
        body: The decoded body; empty where the endpoint takes none.
        admission: What the guard said.
    """

    parameters: JsonObject
    body: JsonObject
    admission: Admission


@dataclass(frozen=True, slots=True)
class Page:
    """An answer that is no JSON object, or has a status of its own."""

    body: bytes
    content_type: bytes = b"application/json"
    status: int = 200


Answered = JsonObject | Page
Handler = Callable[[Inquiry], Answered | Awaitable[Answered]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint, which :class:`offramp.gateway.app.Gateway` serves and describes in ``/openapi.json``.

    Attributes:
        method: HTTP method; ``GET`` answers ``HEAD`` too.
        path: Its path, with parameters in braces: ``/offramp/tasks/{id}``.
        action: What it does, for the guard; "" is open to all and never asked about.
        handler: Answers an inquiry, at once or awaitably. :class:`OfframpError` becomes a JSON error.
        summary: One line on what it does.
        parameters: Values it takes from path and query.
        body: JSON Schema of the object it takes, None where it takes no body.
        answer: JSON Schema of the object it gives.
        content_type: Content type of its answer.
        statuses: Further statuses it may answer with, and what they mean.
    """

    method: str
    path: str
    action: str
    handler: Handler
    summary: str = ""
    parameters: Sequence[Parameter] = ()
    body: JsonObject | None = None
    answer: JsonObject = field(default_factory=lambda: {"type": "object"})
    content_type: str = "application/json"
    statuses: Sequence[tuple[int, str]] = ()


def check(body: object, schema: JsonObject) -> JsonObject:
    """Hold a body against its schema: what is required, and the type, limits and items of each property.

    Raises:
        BadInput: It is no object, lacks a property, or one is not what it has to be.
    """
    if not isinstance(body, dict):
        raise BadInput("The body has to be a JSON object.")
    for name in schema.get("required", ()):
        if name not in body:
            raise BadInput(f"The body lacks {name!r}.")
    for name, expected in schema.get("properties", {}).items():
        if name in body and (fault := _fault(body[name], expected)):
            raise BadInput(f"{name!r} {fault}.")
    return body


def _fault(value: Any, schema: JsonObject) -> str:
    """Say what of a schema, of the few words that are used here, a value does not keep to, "" for nothing."""
    kind = schema.get("type", "")
    if not _is_of(value, kind):
        return f"has to be of type {kind}"
    if "enum" in schema and value not in schema["enum"]:
        return f"has to be one of {', '.join(map(str, schema['enum']))}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return f"has to hold {schema['pattern']}"
    if isinstance(value, list):
        faults = (_fault(item, schema.get("items", {})) for item in value)
        return next((f"holds an item that {fault}" for fault in faults if fault), "")
    return _beyond(value, schema) if isinstance(value, int | float) else ""


def _beyond(value: float, schema: JsonObject) -> str:
    if value < schema.get("minimum", value):
        return f"has to be {schema['minimum']} at least"
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        return f"has to be more than {schema['exclusiveMinimum']}"
    if value > schema.get("maximum", value):
        return f"has to be {schema['maximum']} at most"
    return ""


def _is_of(value: object, kind: str) -> bool:
    if kind in {"integer", "number"} and isinstance(value, bool):
        return False
    if kind == "integer" and isinstance(value, float):
        # JSON does not tell 5 from 5.0.
        return value.is_integer()
    return kind not in _TYPES or isinstance(value, _TYPES[kind])
