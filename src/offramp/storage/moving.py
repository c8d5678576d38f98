"""Moving bodies into fresh segments: out of schema version 1, out of much garbage, under a new data key."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.errors import StorageError
from offramp.storage import frame, index
from offramp.storage.bodies import BodyReader, open_record, seal_record
from offramp.storage.codec import encode_call
from offramp.storage.index import Extent, Place
from offramp.storage.recovery import recover

if TYPE_CHECKING:
    from offramp.storage.database import Database, Row
    from offramp.storage.keys import KeyRing
    from offramp.storage.segment import Segment, SegmentFolder

_log = logging.getLogger("offramp.storage")

_ROWS = 256
_BYTES = 4 << 20
_ROOMY = (
    "SELECT number FROM segments"
    " WHERE kind = ? AND indexed BETWEEN 0 AND ? AND number <> ? AND lowest_key >= ?"
)


@dataclass(frozen=True, slots=True)
class Item:
    """One call on its way.

    Attributes:
        key: Its id.
        packed: The call as bytes, open.
        flags: Flags of its record.
        old: Where it was; None for a body of schema version 1.
    """

    key: str
    packed: bytes
    flags: int
    old: Place | None


class Mover:
    """Copies calls into segments of kind COPY and points the index at the copies, a batch at a time.

    A copy counts from the moment its batch is committed; what an interrupted move leaves behind is
    discarded by recovery, because the original is still where it was.

    Args:
        database: The index.
        folder: The segments; its upkeep lock must be held around every call.
        keys: What opens and seals.
        segment_bytes: Length at which a new segment is begun.
    """

    def __init__(self, database: Database, folder: SegmentFolder, keys: KeyRing, segment_bytes: int) -> None:
        self._database = database
        self._folder = folder
        self._keys = keys
        self._segment_bytes = segment_bytes

    def move_legacy(self, after: str) -> tuple[int, str | None]:
        """Move one batch of bodies of schema version 1.

        Args:
            after: Id of the last call that was looked at.

        Returns:
            How many moved, and the last id looked at: None when there are no more.
        """
        query = "SELECT id FROM calls WHERE segment IS NULL AND id > ? ORDER BY id LIMIT ?"
        ids = [row[0] for row in self._database.rows(query, (after, _ROWS))]
        items = []
        with BodyReader(self._database, self._folder, self._keys) as reader:
            for key in ids:
                try:
                    call = reader.call(key, None)
                except StorageError as error:
                    _log.error("A call stays in its old place: %s", error)
                    continue
                if call is not None:
                    packed, general = encode_call(call)
                    items.append(Item(key, packed, frame.GENERAL if general else 0, None))
        return self._move(items), ids[-1] if ids else None

    def compact(self, number: int) -> int | None:
        """Move what is left in a segment elsewhere and unlink it.

        A body that cannot be read stays, and the segment with it.

        Returns:
            How many calls moved; None where another process is writing to it.
        """
        source = self._folder.lock(number)
        if source is None:
            return None
        with source:
            # Bytes behind the indexed end are acknowledged calls where a power cut took the index back.
            recover(self._database, self._folder, self._keys, source)
            moved = self._empty(number)
            with self._database.transaction(durable=True) as connection:
                retired = index.retire(connection, number)
            if retired:
                source.unlink()
                with self._database.transaction() as connection:
                    index.forget(connection, number)
        return moved

    def _empty(self, number: int) -> int:
        moved, after = 0, -1
        query = "SELECT id, segment, offset, length FROM calls WHERE segment = ? AND offset > ?"
        while rows := self._database.rows(f"{query} ORDER BY offset LIMIT {_ROWS}", (number, after)):
            rows = _within(rows, _BYTES)
            moved += self._move(self._opened(rows), source=number)
            after = rows[-1][2]
        return moved

    def _opened(self, rows: list[Row]) -> list[Item]:
        items = []
        with BodyReader(self._database, self._folder, self._keys) as reader:
            for key, *place in rows:
                old = Place(*place)
                try:
                    record = reader.record(key, old)
                    packed = open_record(self._keys.refresh(), old.segment, record)
                except StorageError as error:
                    _log.error("A call stays in its old place: %s", error)
                    continue
                items.append(Item(key, packed, record.flags & frame.GENERAL, old))
        return items

    def _move(self, items: list[Item], source: int = 0) -> int:
        if not items:
            return 0
        with self._target(source) as target:
            vault, start = self._keys.refresh(), target.size
            records = [
                seal_record(vault, target.number, item.key, item.flags | frame.LAST, item.packed)
                for item in items
            ]
            target.write(start, b"".join(records))
            target.sync()
            extent = Extent(target.number, frame.COPY, target.size, vault.current)
            moved = 0
            with self._database.transaction(durable=True) as connection:
                for item, record in zip(items, records, strict=True):
                    new = Place(target.number, start, len(record))
                    start += len(record)
                    moved += index.move(connection, item.key, item.old, new)
                    if item.old is None:
                        connection.execute("DELETE FROM bodies WHERE call = ?", (item.key,))
                index.extend(connection, extent)
        return moved

    def _target(self, source: int) -> Segment:
        values = (frame.COPY, self._segment_bytes - 1, source, self._keys.vault.current)
        for (number,) in self._database.rows(_ROOMY, values):
            segment = self._folder.lock(number)
            if segment is None:
                continue
            recover(self._database, self._folder, self._keys, segment)
            indexed = self._database.value("SELECT indexed FROM segments WHERE number = ?", (number,))
            if segment.size == indexed and segment.header() is not None:
                return segment
            segment.close()
        return self._folder.create(frame.COPY, index.last_number(self._database))


def reseal_documents(database: Database, keys: KeyRing) -> int:
    """Seal one batch of documents with the current data key; return how many, 0 when all are."""
    current = keys.refresh().current
    query = "SELECT kind, key, value FROM documents WHERE substr(value, 1, 4) < ? LIMIT ?"
    with database.transaction(durable=True) as connection:
        rows = connection.execute(query, (current.to_bytes(4), _ROWS)).fetchall()
        for kind, key, value in rows:
            context = f"document/{kind}/{key}"
            sealed = keys.vault.seal(keys.vault.open(value, context), context)
            connection.execute(
                "UPDATE documents SET value = ? WHERE kind = ? AND key = ?", (sealed, kind, key)
            )
    return len(rows)


def drop_keys(database: Database, keys: KeyRing) -> int:
    """Drop the data keys that nothing is sealed with any more; return how many."""
    current = keys.refresh().current
    with database.transaction(durable=True) as connection:
        legacy = connection.execute("SELECT 1 FROM bodies LIMIT 1").fetchone()
        segments = connection.execute("SELECT min(lowest_key) FROM segments WHERE indexed >= 0").fetchone()[0]
        documents = connection.execute("SELECT min(substr(value, 1, 4)) FROM documents").fetchone()[0]
        used = [current, segments or current, int.from_bytes(documents) if documents else current]
        lowest = 0 if legacy else min(used)
        return connection.execute("DELETE FROM data_keys WHERE number < ?", (lowest,)).rowcount


def _within(rows: list[Row], limit: int) -> list[Row]:
    """Return as many rows as fit into so many bytes, at least one."""
    taken = 0
    for place, row in enumerate(rows):
        taken += row[3]
        if taken > limit and place:
            return rows[:place]
    return rows
