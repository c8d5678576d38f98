"""A call as bytes: JSON, compressed; what a segment's record seals."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import orjson

from offramp.core.call import Call, Dialect, Usage

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

_LEVEL = 1
_STRICT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def encode_call(call: Call) -> tuple[bytes, bool]:
    """Encode everything of a call but its id.

    Returns:
        The compressed JSON, and whether only the standard library can read it (see ``dump``).
    """
    plain, general = dump(
        [
            call.at,
            call.session,
            call.origin,
            call.status,
            call.stream,
            call.latency_s,
            call.usage.prompt_tokens,
            call.usage.completion_tokens,
            call.route,
            call.dialect.value,
            call.trainable,
            call.request,
            call.response,
            call.meta,
        ]
    )
    return zlib.compress(plain, _LEVEL), general


def decode_call(key: str, packed: bytes, *, general: bool) -> Call:
    """Make the call again that ``encode_call`` was given.

    Raises:
        ValueError: The bytes are none of ``encode_call``'s.
    """
    try:
        fields: list[Any] = (json.loads if general else orjson.loads)(zlib.decompress(packed))
        at, session, origin, status, stream, latency, prompt, completion, route, dialect = fields[:10]
        trainable, request, response, meta = fields[10:]
    except (zlib.error, TypeError) as error:
        raise ValueError("These bytes are no call.") from error
    return Call(
        id=key,
        at=at,
        session=session,
        origin=origin,
        request=request,
        response=response,
        status=status,
        stream=stream,
        latency_s=latency,
        usage=Usage(prompt, completion),
        route=route,
        meta=meta,
        dialect=Dialect(dialect),
        trainable=trainable,
    )


def dump(value: object) -> tuple[bytes, bool]:
    """Encode JSON fast where that is exact, and by the standard library where it is not.

    The fast encoder refuses lone surrogates and large integers, and writes NaN and infinities as null: a
    document with a null in it is read back and compared.

    Returns:
        The text, and whether the standard library wrote it and has to read it.
    """
    try:
        fast = orjson.dumps(value, option=_STRICT)
        if b"null" not in fast or orjson.loads(fast) == value:
            return fast, False
    except (TypeError, ValueError):
        pass
    return json.dumps(value, separators=(",", ":")).encode(), True


def encode_document(value: JsonObject) -> bytes:
    """Encode and compress a document."""
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode(), _LEVEL)


def decode_document(packed: bytes) -> JsonObject:
    """Decode what ``encode_document`` gave, or a body of schema version 1."""
    value: JsonObject = json.loads(zlib.decompress(packed))
    return value
