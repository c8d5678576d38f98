"""The default store: bodies in append-only encrypted segments, index and documents in one SQLite file."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from offramp.core.errors import StorageError
from offramp.storage import index
from offramp.storage.bodies import BodyReader
from offramp.storage.codec import decode_document, encode_document
from offramp.storage.crypto import create_key, replace_key
from offramp.storage.database import Database, peek
from offramp.storage.erasing import overwrite, remove
from offramp.storage.index import Place
from offramp.storage.keys import KeyRing, check_master
from offramp.storage.port import KEEP
from offramp.storage.recovery import recover_all
from offramp.storage.segment import SegmentFolder
from offramp.storage.upkeep import Caretaker, footprint
from offramp.storage.writing import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from offramp.core.call import Call
    from offramp.core.json import JsonObject
    from offramp.storage.port import Footprint, Retention, Upkeep

_log = logging.getLogger("offramp.storage")

SEGMENT_BYTES = 64 << 20
BUSY_S = 10.0
_PAGE = 64


class SqliteStore:
    """One SQLite file and a folder ``segments`` beside it; several threads and processes may open them.

    Writers append to segments of their own and wait for one another only while rows are committed; readers
    wait for nobody. Everything but ids, times, pseudonyms and counts is encrypted, bound to its place.

    Args:
        path: The database file; created with mode 0600 where it is absent.
        key: Master key, 32 bytes.
        max_bytes: Size at which writing fails with DiskFull; None for what the disk holds.
        busy_s: Longest wait in seconds for another process.
        segment_bytes: Length at which a new segment is begun.

    Attributes:
        lost: Calls that could not be read since this store was opened.

    Raises:
        WrongKey: The key does not open the store; no file was changed.
        SchemaTooNew: A later version wrote it; no file was changed.
        StorageError: The file cannot be opened, or is no store.
    """

    def __init__(
        self,
        path: Path,
        key: bytes,
        *,
        max_bytes: int | None = None,
        busy_s: float = BUSY_S,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.lost = 0
        peek(path, busy_s=busy_s, look=lambda connection: check_master(connection, key))
        self._database = Database(path, busy_s=busy_s)
        try:
            with self._database.translated():
                self._database.prepare(max_bytes)
                self._keys = KeyRing(self._database, key)
                store: bytes = self._database.value("SELECT value FROM properties WHERE name = 'store'")
                self._folder = SegmentFolder(path.parent / "segments", store, busy_s=busy_s)
                self._repair()
        except BaseException:
            self._database.close()
            raise
        self._caretaker = Caretaker(self._database, self._folder, self._keys, segment_bytes)
        self._writer = SegmentWriter(
            self._database, self._folder, self._keys, segment_bytes=segment_bytes, max_bytes=max_bytes
        )

    def _repair(self) -> None:
        """Finish what a killed process began."""
        self._folder.keep_reserve()
        recover_all(self._database, self._folder, self._keys)
        if self._database.value("SELECT 1 FROM erasures LIMIT 1"):
            with self._folder.upkeep(wait=False) as held:
                if held:
                    overwrite(self._database, self._folder)

    def append(self, calls: Sequence[Call]) -> None:
        """Write calls durably, all or none; one whose id is there already is left as it is."""
        self._writer.append(calls)

    def calls(self, *, since: float = 0.0, limit: int | None = None) -> Iterator[Call]:
        """Yield calls in order of ``(at, id)``, a page at a time: no lock is held between pages.

        A call that cannot be read is left out, counted in ``lost`` and logged.
        """
        last = (since, "")
        left = limit
        while left is None or left > 0:
            page = self._page(last, _PAGE if left is None else min(_PAGE, left))
            if not page:
                return
            found = self._read(page)
            yield from found
            last = (page[-1][1], page[-1][0])
            left = None if left is None else left - len(found)

    def _page(self, last: tuple[float, str], size: int) -> list[tuple[str, float, Place | None]]:
        query = (
            "SELECT id, at, segment, offset, length FROM calls"
            " WHERE (at, id) > (?, ?) ORDER BY at, id LIMIT ?"
        )
        rows = self._database.rows(query, (*last, size))
        return [(key, at, None if place[0] is None else Place(*place)) for key, at, *place in rows]

    def _read(self, page: list[tuple[str, float, Place | None]]) -> list[Call]:
        found = []
        with self._database.translated(), BodyReader(self._database, self._folder, self._keys) as reader:
            for key, _, place in page:
                try:
                    call = reader.call(key, place)
                except StorageError as error:
                    self.lost += 1
                    _log.error("A call cannot be read: %s", error)
                    continue
                if call is not None:
                    found.append(call)
        return found

    def call(self, key: str) -> Call | None:
        """Read one call by its id, None where there is none.

        Raises:
            StorageError: It is there and cannot be read; the message names its segment.
        """
        if not index.known(self._database, [key]):
            return None
        with self._database.translated(), BodyReader(self._database, self._folder, self._keys) as reader:
            return reader.call(key, index.place_of(self._database, key))

    def count(self) -> int:
        """Return how many calls the store holds."""
        return int(self._database.value("SELECT count(*) FROM calls"))

    def remove(self, ids: Iterable[str]) -> int:
        """Remove calls so that no byte of them is left in any file; return how many were there."""
        with self._database.translated():
            return remove(self._database, self._folder, self._keys, ids)

    def upkeep(self, retention: Retention = KEEP, *, now: float | None = None) -> Upkeep:
        """Drop what is too old or too much and give the space back; see the port."""
        with self._database.translated():
            return self._caretaker.run(retention, time.time() if now is None else now)

    def footprint(self) -> Footprint:
        """Say what the store holds and what it takes."""
        with self._database.translated():
            return footprint(self._database, self._folder)

    def secret(self, purpose: str) -> bytes:
        """Return this store's 32-byte secret for a purpose; no rotation changes it."""
        return self._keys.secret(purpose)

    def data_keys(self) -> list[int]:
        """Return the numbers of the data keys; the last one seals, the others still open something."""
        return [row[0] for row in self._database.rows("SELECT number FROM data_keys ORDER BY number")]

    def rotate_key(self) -> int:
        """Make a new data key and return its number; upkeep reseals what old ones seal, and drops them."""
        with self._database.translated(), self._folder.upkeep():
            return self._keys.rotate()

    def rotate_master(self, path: Path) -> None:
        """Replace the master key, in the store and in its key file.

        Cut short at any point, the key file that is there then opens the store. Processes that have the
        store open go on reading and writing; to make new keys they have to be started again.

        Args:
            path: The key file.
        """
        new = create_key()
        with self._database.translated(), self._folder.upkeep():
            self._keys.stage(new)
            replace_key(path, new)
            self._keys.adopt(new)
            self._database.empty_log()

    def put(self, kind: str, key: str, value: JsonObject) -> None:
        """Write a document, replacing the one of the same kind and key."""
        packed = encode_document(value)
        with self._database.transaction(durable=True) as connection:
            sealed = self._keys.refresh().seal(packed, _context(kind, key))
            connection.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (kind, key, sealed))

    def get(self, kind: str, key: str) -> JsonObject | None:
        """Read a document, None where there is none."""
        query = "SELECT value FROM documents WHERE kind = ? AND key = ?"
        sealed: bytes | None = self._database.value(query, (kind, key))
        return None if sealed is None else self._opened(kind, key, sealed)

    def documents(self, kind: str) -> dict[str, JsonObject]:
        """Read all documents of a kind by key, in order of key."""
        query = "SELECT key, value FROM documents WHERE kind = ? ORDER BY key"
        return {key: self._opened(kind, key, value) for key, value in self._database.rows(query, (kind,))}

    def _opened(self, kind: str, key: str, sealed: bytes) -> JsonObject:
        vault = self._keys.vault_for(sealed)
        return decode_document(vault.open(sealed, _context(kind, key)))

    def delete(self, kind: str, key: str) -> None:
        """Remove a document; absent is fine."""
        with self._database.transaction(durable=True) as connection:
            connection.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key))

    def close(self) -> None:
        """Close all files; idempotent."""
        self._writer.close()
        self._database.close()


def _context(kind: str, key: str) -> str:
    return f"document/{kind}/{key}"
