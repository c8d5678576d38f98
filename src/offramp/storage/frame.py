"""The bytes of a segment file: one header, then records, each framed so that a torn end is noticed.

::

    header   magic 8 | version 2 | kind 1 | reserved 1 | number 8 | store 16 | crc32 4            = 40 bytes
    record   marker 2 | flags 1 | reserved 1 | length 4 | id length 2 | crc32 4 | id | sealed

``length`` counts the whole record; a record's crc32 covers its frame and its id. What is sealed is covered
by AES-GCM's tag, whose associated data names the segment, the id and the flags. All numbers are big-endian.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"offrseg\n"
VERSION = 1
LOG, COPY = 0, 1
"""Kinds: calls as they arrived; calls moved here, whose originals outlive an unfinished move."""

GENERAL, LAST, ERASED = 1, 2, 4
"""Flags of a record: written by the general JSON encoder; the last of its batch; overwritten."""

_HEADER = struct.Struct(">8sHBxQ16s")
_FRAME = struct.Struct(">2sBxIH")
_CRC = struct.Struct(">I")
_MARKER = b"\xf5\xc1"
HEADER_BYTES = _HEADER.size + _CRC.size
FRAME_BYTES = _FRAME.size + _CRC.size
LARGEST_RECORD = (1 << 32) - 1
LONGEST_ID = (1 << 16) - 1


@dataclass(frozen=True, slots=True)
class Header:
    """A segment file's first bytes.

    Attributes:
        kind: LOG or COPY.
        number: The segment's number.
        store: Id of the store it belongs to.
    """

    kind: int
    number: int
    store: bytes

    def encode(self) -> bytes:
        """Return its bytes."""
        raw = _HEADER.pack(MAGIC, VERSION, self.kind, self.number, self.store)
        return raw + _CRC.pack(zlib.crc32(raw))

    @classmethod
    def decode(cls, raw: bytes) -> Header | None:
        """Read a header, None where there is none or it is damaged."""
        if len(raw) < HEADER_BYTES or _CRC.unpack_from(raw, _HEADER.size)[0] != zlib.crc32(
            raw[: _HEADER.size]
        ):
            return None
        magic, version, kind, number, store = _HEADER.unpack_from(raw)
        return cls(kind, number, store) if (magic, version) == (MAGIC, VERSION) else None


@dataclass(frozen=True, slots=True)
class Record:
    """One framed record.

    Attributes:
        key: Id of the call.
        flags: GENERAL, LAST, ERASED.
        sealed: The sealed call.
        offset: Where it starts in its file.
        length: Its whole length in bytes.
    """

    key: str
    flags: int
    sealed: bytes
    offset: int = 0
    length: int = 0


def frame(key: str, flags: int, sealed: bytes) -> bytes:
    """Return a record's bytes."""
    name = key.encode()
    raw = _FRAME.pack(_MARKER, flags, FRAME_BYTES + len(name) + len(sealed), len(name))
    return b"".join((raw, _CRC.pack(zlib.crc32(name, zlib.crc32(raw))), name, sealed))


def erased(length: int) -> bytes:
    """Return a record of a given length that holds nothing."""
    raw = _FRAME.pack(_MARKER, ERASED, length, 0)
    return raw + _CRC.pack(zlib.crc32(raw)) + bytes(length - FRAME_BYTES)


def parse(raw: bytes | memoryview, start: int = 0) -> Record | None:
    """Read the record at ``start``, None where none is there whole with an undamaged frame."""
    if len(raw) - start < FRAME_BYTES:
        return None
    marker, flags, length, name_length = _FRAME.unpack_from(raw, start)
    body = start + FRAME_BYTES + name_length
    if marker != _MARKER or length < FRAME_BYTES + name_length or start + length > len(raw):
        return None
    name = bytes(raw[start + FRAME_BYTES : body])
    crc = zlib.crc32(name, zlib.crc32(raw[start : start + _FRAME.size]))
    if crc != _CRC.unpack_from(raw, start + _FRAME.size)[0]:
        return None
    return Record(name.decode(errors="replace"), flags, bytes(raw[body : start + length]), start, length)


def scan(raw: bytes) -> Iterator[Record]:
    """Yield the records in some bytes; a damaged stretch is passed over to the next whole frame."""
    place = 0
    while place >= 0:
        record = parse(raw, place)
        if record is not None:
            yield record
            place += record.length
        elif place < len(raw):
            place = raw.find(_MARKER, place + 1)
        else:
            return
