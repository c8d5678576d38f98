"""JSON values as YAML: the part of YAML that needs no library to write."""

from __future__ import annotations

import json
import re
from typing import Any

_PLAIN = re.compile(r"(?:--|/)?[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def to_yaml(value: Any) -> str:
    """Render a JSON value as a YAML document; reading it gives the value back."""
    return "\n".join(_lines(value)) + "\n"


def documents(values: list[Any]) -> str:
    """Render several documents into one file."""
    return "---\n".join(to_yaml(value) for value in values)


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        lines: list[str] = []
        for key, inner in value.items():
            lines += _entry(f"{_scalar(str(key))}:", inner, indent="  ")
        return lines
    if isinstance(value, list | tuple) and value:
        lines = []
        for inner in value:
            nested = _lines(inner)
            lines += [f"- {nested[0]}", *(f"  {line}" for line in nested[1:])]
        return lines
    return [_scalar(value)]


def _entry(head: str, value: Any, *, indent: str) -> list[str]:
    if isinstance(value, str) and "\n" in value and value.endswith("\n") and _is_block(value):
        return [f"{head} |", *(f"{indent}{line}" for line in value.splitlines())]
    if isinstance(value, dict | list | tuple) and value:
        return [head, *(f"{indent}{line}" for line in _lines(value))]
    return [f"{head} {_scalar(value)}"]


def _is_block(text: str) -> bool:
    """Whether a literal block holds a text as it is: no odd characters, one newline at its end."""
    lines = text.split("\n")[:-1]
    return all(line and line.isprintable() for line in lines) and not lines[0].startswith(" ")


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
        return value if plain else '"' + "".join(map(_quoted, value)) + '"'
    if isinstance(value, float):
        mantissa, power, exponent = repr(value).partition("e")
        # YAML 1.1 takes 1e+22 for a word: a number has a point.
        return repr(value) if not power or "." in mantissa else f"{mantissa}.0e{exponent}"
    if isinstance(value, list | tuple | dict):
        return "{}" if isinstance(value, dict) else "[]"
    return json.dumps(value)


def _quoted(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if " " <= character <= "~":
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < _WIDE else f"\\U{code:08x}"


_WIDE = 1 << 16
