"""Another model's name in a request, and not one other byte changed."""

from __future__ import annotations

import json
import re

# Possessive quantifiers (3.11): one pass, no backtracking, whatever the bytes are.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SPACE = re.compile(rb"[ \t\r\n]*+")
_TOKEN = re.compile(rb"(" + _STRING + rb")|([{\[])|([}\]])", re.DOTALL)
_KEY = re.compile(_STRING, re.DOTALL)
_SCALAR = re.compile(rb"[^,}\]\s]++")
_QUOTE, _COMMA, _COLON, _END = b'",:}'


def splice_model(body: bytes, model: str) -> bytes:
    """Put a model's name into the top level of a JSON object.

    Every top-level ``model`` is replaced (parsers differ in which of two they read); where there is none,
    one is put first. All other bytes, white space and escapes included, stay.

    Args:
        body: An object that a JSON parser has accepted.
        model: The new name.

    Raises:
        ValueError: The body is no JSON object.
    """
    value = json.dumps(model, ensure_ascii=False).encode("utf-8", "surrogatepass")
    spans, start, empty = _models(body)
    if not spans:
        return b"".join((body[:start], b'"model":', value, b"" if empty else b",", body[start:]))
    pieces: list[bytes] = []
    done = 0
    for first, last in spans:
        pieces += (body[done:first], value)
        done = last
    pieces.append(body[done:])
    return b"".join(pieces)


def _models(body: bytes) -> tuple[list[tuple[int, int]], int, bool]:
    """Return where the values of ``model`` stand, where the object's content begins, whether it is empty."""
    try:
        start = at = _expect(body, _space(body, 0), b"{"[0])
        at = _space(body, at)
        if body[at] == _END:
            return [], start, True
        spans: list[tuple[int, int]] = []
        while True:
            key, at = _string(body, at)
            first = _space(body, _expect(body, _space(body, at), _COLON))
            last = _value_end(body, first)
            if _is_model(key):
                spans.append((first, last))
            at = _space(body, last)
            if body[at] != _COMMA:
                _expect(body, at, _END)
                return spans, start, False
            at = _space(body, at + 1)
    except IndexError:
        raise ValueError("the body ends inside its object") from None


def _space(body: bytes, at: int) -> int:
    found = _SPACE.match(body, at)
    return at if found is None else found.end()


def _expect(body: bytes, at: int, byte: int) -> int:
    if body[at] != byte:
        raise ValueError(f"byte {at} is {body[at : at + 1]!r} where {chr(byte)!r} has to stand")
    return at + 1


def _string(body: bytes, at: int) -> tuple[bytes, int]:
    found = _KEY.match(body, at)
    if found is None:
        raise ValueError(f"byte {at} begins no string")
    return found[0], found.end()


def _value_end(body: bytes, at: int) -> int:
    if body[at] == _QUOTE:
        return _string(body, at)[1]
    if body[at] not in b"{[":
        found = _SCALAR.match(body, at)
        if found is None:
            raise ValueError(f"byte {at} begins no value")
        return found.end()
    depth = 0
    for token in _TOKEN.finditer(body, at):
        if token.lastindex == 2:
            depth += 1
        elif token.lastindex == 3:
            depth -= 1
            if depth == 0:
                return token.end()
    raise ValueError("the body ends inside a value")


def _is_model(key: bytes) -> bool:
    if b"\\" not in key:
        return key == b'"model"'
    return bool(json.loads(key) == "model")
