"""An endpoint of offramp's own: what it takes, what it does, what it gives."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value in the path or the query.

    Attributes:
        name: Its name; one that stands in braces in the endpoint's path is taken from there.
        meaning: What it says.
        type: ``string``, ``integer``, ``number`` or ``boolean``.
        required: Whether it has to be there.
    """

    name: str
    meaning: str
    type: str = "string"
    required: bool = False

    def read(self, text: str) -> Any:
        """Read the value from its text.

        Raises:
            BadInput: It is not of the type.
        """
        try:
            if self.type == "boolean":
                return _TRUTH[text.lower()]
            return {"integer": int, "number": float}.get(self.type, str)(text)
        except (KeyError, ValueError):
            raise BadInput(f"{self.name} is {text!r}, which is no {self.type}.") from None


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
    """Hold a body against the required properties and the types of its schema.

    Raises:
        BadInput: It is no object, lacks a property, or one has another type.
    """
    if not isinstance(body, dict):
        raise BadInput("The body has to be a JSON object.")
    for name in schema.get("required", ()):
        if name not in body:
            raise BadInput(f"The body lacks {name!r}.")
    for name, expected in schema.get("properties", {}).items():
        if name in body and not _is_of(body[name], expected.get("type", "")):
            raise BadInput(f"{name!r} has to be of type {expected['type']}.")
    return body


def _is_of(value: object, kind: str) -> bool:
    if kind in {"integer", "number"} and isinstance(value, bool):
        return False
    return kind not in _TYPES or isinstance(value, _TYPES[kind])
