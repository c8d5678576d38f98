"""After a crash: what lies behind a segment's indexed part is verified and indexed, a torn end is cut."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from offramp.core.errors import StorageError
from offramp.storage import frame, index
from offramp.storage.bodies import open_record
from offramp.storage.codec import decode_call
from offramp.storage.index import DROPPED, Extent, Place

if TYPE_CHECKING:
    from offramp.core.call import Call
    from offramp.storage.database import Database
    from offramp.storage.keys import KeyRing
    from offramp.storage.segment import Segment, SegmentFolder

_log = logging.getLogger("offramp.storage")

_INDEXED = "SELECT indexed FROM segments WHERE number = ?"


def recover_all(database: Database, folder: SegmentFolder, keys: KeyRing) -> None:
    """Bring index and segments together, but for those that another process is writing to."""
    indexed: dict[int, int] = dict(database.rows("SELECT number, indexed FROM segments"))
    for number, size in folder.sizes().items():
        if indexed.get(number) == size:
            continue
        segment = folder.lock(number)
        if segment is not None:
            with segment:
                recover(database, folder, keys, segment)
    gone = {number for number, end in indexed.items() if end == DROPPED} - set(folder.numbers())
    if gone:
        with database.transaction() as connection:
            for number in gone:
                index.forget(connection, number)


def recover(database: Database, folder: SegmentFolder, keys: KeyRing, segment: Segment) -> bool:
    """Bring index and one locked segment together.

    Returns:
        Whether calls may be appended at the segment's end.
    """
    indexed: int | None = database.value(_INDEXED, (segment.number,))
    header = segment.header()
    if indexed == DROPPED or (indexed is None and segment.size <= frame.HEADER_BYTES):
        segment.unlink()
        return False
    if header is None or (header.number, header.store) != (segment.number, folder.store):
        _log.warning("Segment %s is damaged at its head, or of another store; it is left alone", segment.path)
        return False
    start = frame.HEADER_BYTES if indexed is None else indexed
    if segment.size < start:
        _log.error("Segment %s has lost its end; the calls in it are lost", segment.path)
        return False
    if header.kind == frame.COPY:
        _discard_copies(segment, indexed)
        return False
    if segment.size > start:
        _index_end(database, keys, segment, start)
    return True


def _discard_copies(segment: Segment, indexed: int | None) -> None:
    """Drop copies whose move was not finished: the originals are where they were."""
    if indexed is None:
        segment.unlink()
    elif segment.size > indexed:
        segment.cut(indexed)
        segment.sync()


def _index_end(database: Database, keys: KeyRing, segment: Segment, start: int) -> None:
    batches, end = _verified(keys, segment, start)
    # The index must not know what the disk may still lose.
    segment.sync()
    lowest = index.lowest_key([record.sealed for _, record in batches], keys.vault.current)
    placed = [(call, Place(segment.number, start + record.offset, record.length)) for call, record in batches]
    with database.transaction(durable=True) as connection:
        new = index.add(connection, placed, Extent(segment.number, frame.LOG, end, lowest))
    _log.info("Segment %s: %d calls indexed again, %d bytes cut", segment.path, new, segment.size - end)
    segment.cut(end)
    segment.sync()


def _verified(keys: KeyRing, segment: Segment, start: int) -> tuple[list[tuple[Call, frame.Record]], int]:
    """Return the calls of all whole batches behind ``start``, and where the last such batch ends."""
    vault = keys.refresh()
    whole: list[tuple[Call, frame.Record]] = []
    batch: list[tuple[Call, frame.Record]] = []
    end = start
    for record in frame.scan(segment.read(start, segment.size - start)):
        if record.flags & frame.ERASED:
            continue
        try:
            packed = open_record(vault, segment.number, record)
            call = decode_call(record.key, packed, general=bool(record.flags & frame.GENERAL))
        except (StorageError, ValueError):
            continue
        batch.append((call, record))
        if record.flags & frame.LAST:
            whole += batch
            batch = []
            end = start + record.offset + record.length
    return whole, end
