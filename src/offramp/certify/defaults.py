"""Optional arguments of tools and the values that leaving them out stands for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from offramp.core.call import decode_json, functions_of

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

_TOLD: Final = re.compile(
    r"\bdefaults?(?:\s+value)?(?:\s+(?:is|to|as)|\s*[:=])?\s*(?:'([^']*)'|\"([^\"]*)\"|([\w.+-]*\w))",
    re.IGNORECASE,
)


def defaults_of(request: JsonObject) -> dict[str, JsonObject]:
    """Return the default of each optional argument, by tool and argument.

    A schema's ``default`` counts, and without one what a description says ("Default is 10", "defaults to
    'en'"): many schemas in the wild say it only there.

    Args:
        request: A request in chat-completions form.
    """
    found: dict[str, JsonObject] = {}
    for function in functions_of(request):
        schema = function.get("parameters")
        properties = schema.get("properties") if isinstance(schema, dict) else None
        if not isinstance(schema, dict) or not isinstance(properties, dict):
            continue
        required = schema.get("required")
        optional = set(properties) - set(required if isinstance(required, list) else [])
        told = {name: _default(properties[name]) for name in sorted(optional)}
        found[str(function.get("name"))] = {name: value for name, (known, value) in told.items() if known}
    return found


def _default(schema: object) -> tuple[bool, Any]:
    """Return whether a default is known, and which."""
    if not isinstance(schema, dict):
        return False, None
    if "default" in schema:
        return True, schema["default"]
    match = _TOLD.search(str(schema.get("description", "")))
    if match is None:
        return False, None
    text = next(group for group in match.groups() if group is not None)
    if schema.get("type") in {"string", None}:
        return True, text
    value = decode_json(text.lower() if text.lower() in {"true", "false", "none", "null"} else text)
    return value is not None, value
