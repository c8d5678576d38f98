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
    data: list[bytes] = []
    for line in stream.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if not line:
            if data:
                yield b"\n".join(data)
                data = []
        elif line.startswith(b"data:"):
            data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line == b"data":
            data.append(b"")
    if data:
        yield b"\n".join(data)


def ends(data: bytes) -> bool:
    """Whether an event's data is OpenAI's mark for the end of a stream."""
    return data.strip() == _DONE


def payload(data: bytes) -> Any:
    """Decode an event's data as clients do: bytes that are no UTF-8 are U+FFFD; None where it is no JSON."""
    found = decode(data)
    return decode(data.decode("utf-8", "replace").encode()) if found is None else found


def cut(text: str) -> list[str]:
    """Cut a text into a few pieces: enough to make a client put them together, few enough to cost nothing."""
    step = max(1, -(-len(text) // _PIECES))
    return [text[start : start + step] for start in range(0, len(text), step)]
