"""Group commit: records into the active segment, one fsync, then their rows in one transaction."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from offramp.core.errors import DiskFull, StorageError
from offramp.storage import frame, index
from offramp.storage.bodies import seal_record
from offramp.storage.codec import encode_call
from offramp.storage.index import Extent, Place
from offramp.storage.recovery import recover

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from offramp.core.call import Call
    from offramp.storage.crypto import Vault
    from offramp.storage.database import Database
    from offramp.storage.keys import KeyRing
    from offramp.storage.segment import Segment, SegmentFolder

_CANDIDATES = 8
_ATTEMPTS = 3
_OPEN_ENDED = (
    "SELECT number FROM segments WHERE kind = ? AND indexed BETWEEN 0 AND ? ORDER BY number DESC LIMIT ?"
)

Packed = tuple["Call", bytes, int]
"""A call, itself as bytes, and its record's flags."""


class _KeyGoneError(Exception):
    """The data key was dropped between sealing and committing; seal again."""


class SegmentWriter:
    """Appends calls to a segment that no other process is appending to at that moment.

    Args:
        database: The index.
        folder: The segments.
        keys: What seals.
        segment_bytes: Length at which a new segment is begun.
        max_bytes: Size of the store at which writing fails with DiskFull; None for what the disk holds.
    """

    def __init__(
        self,
        database: Database,
        folder: SegmentFolder,
        keys: KeyRing,
        *,
        segment_bytes: int,
        max_bytes: int | None,
    ) -> None:
        self._database = database
        self._folder = folder
        self._keys = keys
        self._segment_bytes = segment_bytes
        self._max_bytes = max_bytes
        self._writing = threading.Lock()
        self._active: Segment | None = None
        self._end = 0

    def append(self, calls: Sequence[Call]) -> None:
        """Write calls durably, all or none; known ids are left out."""
        packed = [_pack(call) for call in {call.id: call for call in reversed(calls)}.values()][::-1]
        with self._writing, self._database.translated():
            there = index.known(self._database, [call.id for call, _, _ in packed])
            new = [item for item in packed if item[0].id not in there]
            if new:
                self._commit_with_a_living_key(new)

    def close(self) -> None:
        """Close the active segment; idempotent."""
        with self._writing:
            self._leave()

    def _commit_with_a_living_key(self, packed: Sequence[Packed]) -> None:
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(_KeyGoneError):
                self._commit(packed)
                return
        raise StorageError("The data key is replaced faster than calls are written.", hint="Try again.")

    def _commit(self, packed: Sequence[Packed]) -> None:
        vault = self._keys.refresh()
        with self._locked() as segment:
            raw, placed = _records(vault, segment.number, self._end, packed)
            self._check_room(len(raw))
            end = self._end + len(raw)
            try:
                segment.write(self._end, raw)
                segment.sync()
                self._index(placed, Extent(segment.number, frame.LOG, end, vault.current))
            except BaseException:
                self._undo(segment)
                raise
            self._end = end

    def _index(self, placed: Sequence[tuple[Call, Place]], extent: Extent) -> None:
        with self._database.transaction() as connection:
            query = "SELECT 1 FROM data_keys WHERE number = ?"
            if not connection.execute(query, (extent.lowest_key,)).fetchone():
                raise _KeyGoneError
            index.add(connection, placed, extent)

    def _undo(self, segment: Segment) -> None:
        """Cut off what no row refers to; where that cannot be told, leave it to recovery."""
        with contextlib.suppress(StorageError, OSError):
            indexed = self._database.value("SELECT indexed FROM segments WHERE number = ?", (segment.number,))
            if indexed is None or indexed == self._end:
                segment.cut(self._end)
                return
        self._leave()

    def _check_room(self, more: int) -> None:
        if self._max_bytes is None:
            return
        taken = sum(self._folder.sizes().values()) + self._database.path.stat().st_size
        if taken + more > self._max_bytes:
            raise DiskFull(
                f"No space left: the store may take {self._max_bytes} bytes; nothing was written.",
                hint="Remove calls, or allow more.",
            )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[Segment]:
        """Hold a segment to append to at ``_end``."""
        if not self._take_active():
            self._leave()
            self._adopt() or self._create()
        segment = self._active
        assert segment is not None
        try:
            yield segment
        finally:
            if self._active is segment:
                segment.unlock()

    def _take_active(self) -> bool:
        segment = self._active
        if segment is None or not segment.lock():
            return False
        if segment.size != self._end:  # another process was here
            if not recover(self._database, self._folder, self._keys, segment):
                return False
            self._end = segment.size
        return self._end < self._segment_bytes

    def _adopt(self) -> bool:
        """Go on with a segment that has room."""
        values = (frame.LOG, self._segment_bytes - 1, _CANDIDATES)
        for (number,) in self._database.rows(_OPEN_ENDED, values):
            segment = self._folder.lock(number)
            if segment is None:
                continue
            if recover(self._database, self._folder, self._keys, segment):
                self._active, self._end = segment, segment.size
                if self._end < self._segment_bytes:
                    return True
            segment.close()
            self._active = None
        return False

    def _create(self) -> bool:
        self._active = self._folder.create(frame.LOG, index.last_number(self._database))
        self._end = frame.HEADER_BYTES
        return True

    def _leave(self) -> None:
        if self._active is not None:
            self._active.close()
            self._active = None


def _pack(call: Call) -> Packed:
    packed, general = encode_call(call)
    return call, packed, frame.GENERAL if general else 0


def _records(
    vault: Vault, segment: int, start: int, packed: Sequence[Packed]
) -> tuple[bytes, list[tuple[Call, Place]]]:
    """Seal calls as one batch that begins at ``start``; return its bytes and where each call is."""
    records: list[bytes] = []
    placed: list[tuple[Call, Place]] = []
    offset = start
    for number, (call, body, flags) in enumerate(packed, 1):
        last = frame.LAST if number == len(packed) else 0
        record = seal_record(vault, segment, call.id, flags | last, body)
        records.append(record)
        placed.append((call, Place(segment, offset, len(record))))
        offset += len(record)
    return b"".join(records), placed
