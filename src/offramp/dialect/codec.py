"""JSON and server-sent events as bytes: exact where speed could cost a digit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE = b"data: [DONE]\n\n"
"""The event that ends an OpenAI stream."""

_DONE = b"[DONE]"
# Digits to 0, all else to a blank: twenty zeros in a row are a number that may not fit 64 bits.
_DIGITS = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_LONG = b"0" * 19
_PIECES = 4
_SHORT = 16


def encode(value: object) -> bytes:
    """Encode JSON, also what orjson refuses (integers over 64 bits, lone surrogates).

    Raises:
        RecursionError: The value is nested deeper than can be written.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def encode_text(value: object) -> str:
    """Encode JSON as text, as the arguments of a tool call are written: compact, letters as they are.

    What is nested deeper than can be written is ``null``, which nobody takes for arguments.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        pass
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return "null"


def decode(raw: bytes) -> Any:
    """Decode JSON exactly; None where it is none, or is nested deeper than can be read.

    orjson reads most bodies. It makes a float of an integer over 64 bits and refuses lone surrogates and
    ``NaN``, which providers do send; these go to the standard library.
    """
    try:
        if _LONG not in raw.translate(_DIGITS):
            return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def event(payload: object, name: str = "") -> bytes:
    """Encode one server-sent event, named where ``name`` is given."""
    head = b"event: " + name.encode() + b"\n" if name else b""
    return head + b"data: " + encode(payload) + b"\n\n"


def events(stream: bytes) -> Iterator[bytes]:
    """Yield the data of each event; comments and other fields are skipped (WHATWG server-sent events).

    An event that the end of the stream cuts short is yielded too: many servers leave out the last newline.
    """
    if b"\r" in stream:
        stream = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for block in stream.removeprefix(b"\xef\xbb\xbf").split(b"\n\n"):
        if block.startswith(b"data: ") and b"\n" not in block:
            yield block[6:]
        elif block:
            data = [_value(line) for line in block.split(b"\n") if line.startswith(b"data")]
            lines = [value for value in data if value is not None]
            if lines:
                yield b"\n".join(lines)


def _value(line: bytes) -> bytes | None:
    """Return the value of a line's ``data`` field, None where its field has a longer name."""
    name, _, value = line.partition(b":")
    return value.removeprefix(b" ") if name == b"data" else None


def payloads(stream: bytes) -> Iterator[Any]:
    """Yield what each event of a stream holds; it ends at OpenAI's ``[DONE]``, which is yielded as ``DONE``.

    Events are decoded as clients do: bytes that are no UTF-8 are U+FFFD. What is no JSON is None.
    """
    numbers = _LONG in stream.translate(_DIGITS)
    for data in events(stream):
        if len(data) < _SHORT and data.strip() == _DONE:
            yield DONE
            return
        try:
            yield json.loads(data) if numbers else orjson.loads(data)
        except (ValueError, RecursionError):
            yield decode(data.decode("utf-8", "replace").encode())


def cut(text: str) -> list[str]:
    """Cut a text into a few pieces: enough to make a client put them together, few enough to cost nothing."""
    step = max(1, -(-len(text) // _PIECES))
    return [text[start : start + step] for start in range(0, len(text), step)]
