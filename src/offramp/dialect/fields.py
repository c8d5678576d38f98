"""Reads fields of payloads that may hold anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offramp.core.json import JsonObject


def objects(value: object) -> list[JsonObject]:
    """Return the objects of a list; nothing where it is none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def child(value: JsonObject, name: str) -> JsonObject:
    """Return the object under ``name``, an empty one where there is none."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def text(value: JsonObject, name: str) -> str:
    """Return the text under ``name``, "" where there is none."""
    found = value.get(name)
    return found if isinstance(found, str) else ""


def count(value: JsonObject, name: str) -> int:
    """Return the count under ``name``, 0 where there is none or it is negative."""
    found = value.get(name)
    return max(found, 0) if isinstance(found, int) and not isinstance(found, bool) else 0


def without(value: JsonObject, *names: str) -> JsonObject:
    """Return a copy without some fields."""
    return {key: item for key, item in value.items() if key not in names}


def given(**fields: Any) -> JsonObject:
    """Return the fields that are not None."""
    return {key: item for key, item in fields.items() if item is not None}
