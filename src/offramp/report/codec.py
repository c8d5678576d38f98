"""Frozen dataclasses to JSON and back, without losing what is optional."""

from __future__ import annotations

import math
import types
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

T = TypeVar("T")

_SCALARS = (str, bool, int, float)


def encode(value: Any) -> Any:
    """Turn dataclasses, tuples and dicts into JSON; a number that is none (NaN, infinity) becomes null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def decode(cls: type[T], raw: JsonObject, *, where: str = "") -> T:
    """Build a dataclass from JSON.

    Keys that the class does not know are ignored, so that an older offramp reads a newer file; missing keys
    take their defaults.

    Args:
        cls: The dataclass.
        raw: The object.
        where: Path to it, for messages.

    Raises:
        BadInput: A value has the wrong type, or one without a default is missing.
    """
    where = where or cls.__name__
    if not isinstance(raw, dict):
        raise BadInput(f"{where} is {_shown(raw)}; an object is needed.")
    hints = get_type_hints(cls)
    values = {}
    for field in fields(cls):  # type: ignore[arg-type]  # T is a dataclass: every caller passes one
        if field.name in raw:
            values[field.name] = _value(hints[field.name], raw[field.name], f"{where}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise BadInput(f"{where} lacks {field.name!r}.")
    return cls(**values)


def _value(hint: Any, raw: Any, where: str) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return raw
    if origin in (types.UnionType, Union):
        inner = [arg for arg in get_args(hint) if arg is not type(None)]
        return None if raw is None else _value(inner[0], raw, where)
    if origin is tuple:
        if not isinstance(raw, list | tuple):
            raise BadInput(f"{where} is {_shown(raw)}; a list is needed.")
        item = get_args(hint)[0]
        return tuple(_value(item, entry, f"{where}[{index}]") for index, entry in enumerate(raw))
    if origin is dict:
        if not isinstance(raw, dict):
            raise BadInput(f"{where} is {_shown(raw)}; an object is needed.")
        item = get_args(hint)[1]
        return {str(key): _value(item, entry, f"{where}.{key}") for key, entry in raw.items()}
    if is_dataclass(hint):
        return decode(hint, raw, where=where)  # type: ignore[arg-type]  # a type, not an instance: it is a hint
    return _scalar(hint, raw, where)


def _scalar(hint: Any, raw: Any, where: str) -> Any:
    if hint is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if hint not in _SCALARS or not isinstance(raw, hint) or (hint is int and isinstance(raw, bool)):
        raise BadInput(f"{where} is {_shown(raw)}; {getattr(hint, '__name__', hint)} is needed.")
    return raw


def _shown(raw: Any) -> str:
    text = repr(raw)
    return text if len(text) <= 40 else f"{text[:40]}..."
