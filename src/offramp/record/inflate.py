"""Undoes the content encodings that responses come in."""

from __future__ import annotations

import zlib

LARGEST = 64 * 1024 * 1024
"""Bytes of a body at most: what grows beyond is cut, and so unreadable."""


def inflated(raw: bytes, encoding: str) -> bytes | None:
    """Undo a content encoding.

    ``br`` and ``zstd`` are none of them: the gateway asks the teacher for gzip or nothing.

    Returns:
        The bytes; None where the encoding is none that can be undone, or the bytes are broken.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return raw
        case "gzip" | "x-gzip" | "deflate":
            return _zlib(raw)
        case _:
            return None


def _zlib(raw: bytes) -> bytes | None:
    """Undo gzip or zlib, or the bare deflate that some servers send under the name."""
    for wbits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
        pieces: list[bytes] = []
        left = raw
        try:
            # A server that flushes may send several members.
            while left and (room := LARGEST - sum(map(len, pieces))) > 0:
                inflater = zlib.decompressobj(wbits=wbits)
                pieces.append(inflater.decompress(left, room))
                left = inflater.unused_data
            return b"".join(pieces)
        except zlib.error:
            continue
    return None
