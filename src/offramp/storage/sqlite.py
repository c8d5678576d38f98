"""Calls and documents in one SQLite file: metadata in columns, bodies encrypted."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any

from offramp.core.call import Call, Usage
from offramp.core.errors import DiskFull, OfframpError, StorageError
from offramp.storage.crypto import Vault
from offramp.storage.migrations import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from offramp.core.json import JsonObject

_BUSY_MS = 10_000
_WAL_ATTEMPTS = 50
_PAGE = 64
_COLUMNS = "id, at, session, origin, status, stream, latency_s, prompt_tokens, completion_tokens, route"


class SqliteStore:
    """The default store: one file that several threads and processes may open.

    Write-ahead log, so that readers never block the writer; request, response, meta and documents are
    compressed and encrypted under associated data that binds them to their record.

    Args:
        path: The database file; created with mode 0600 where it is absent.
        key: Master key, 32 bytes.
        max_bytes: Size at which writing fails with DiskFull; None for what the disk holds.

    Raises:
        WrongKey: The key does not open the store.
        SchemaTooNew: A later version wrote it.
        StorageError: The file cannot be opened, or is no store.
    """

    def __init__(self, path: Path, key: bytes, *, max_bytes: int | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        with _translated(path):
            _create_private(path)
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False
            )
        try:
            with _translated(path):
                self._prepare(max_bytes)
                self._vault = self._open_vault(key)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, max_bytes: int | None) -> None:
        _switch_to_wal(self._connection)
        migrate(self._connection)
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        if max_bytes is not None:
            page = int(self._connection.execute("PRAGMA page_size").fetchone()[0])
            self._connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page)}")

    def _open_vault(self, key: bytes) -> Vault:
        rows = self._data_keys()
        if not rows:
            with self._transaction():
                rows = self._data_keys()  # another process may have been first
                if not rows:
                    rows = [(1, Vault.wrap(key, 1))]
                    self._connection.executemany("INSERT INTO data_keys VALUES (?, ?)", rows)
        return Vault(key, dict(rows))

    def _data_keys(self) -> list[tuple[int, bytes]]:
        return self._connection.execute("SELECT number, wrapped FROM data_keys").fetchall()

    def append(self, calls: Sequence[Call]) -> None:
        """Write calls in one transaction; one whose id is there already is left as it is."""
        heads = [_head(call) for call in calls]
        bodies = [self._body(call) for call in calls]
        places = ", ".join("?" * len(_COLUMNS.split(",")))
        with self._lock, _translated(self._path), self._transaction():
            self._connection.executemany(f"INSERT OR IGNORE INTO calls ({_COLUMNS}) VALUES ({places})", heads)  # noqa: S608 - constants
            self._connection.executemany("INSERT OR IGNORE INTO bodies VALUES (?, ?, ?, ?)", bodies)

    def _body(self, call: Call) -> tuple[str, bytes, bytes, bytes]:
        return (
            call.id,
            self._seal(call.request, f"call/{call.id}/request"),
            self._seal(call.response, f"call/{call.id}/response"),
            self._seal(call.meta, f"call/{call.id}/meta"),
        )

    def calls(self, *, since: float = 0.0, limit: int | None = None) -> Iterator[Call]:
        """Yield calls in order of ``(at, id)``, a page at a time: no lock is held between pages."""
        last = (since, "")
        left = limit
        while left is None or left > 0:
            page = self._page(last, _PAGE if left is None else min(_PAGE, left))
            if not page:
                return
            for row in page:
                yield self._call(row)
            last = (page[-1][1], page[-1][0])
            left = None if left is None else left - len(page)

    def _page(self, last: tuple[float, str], size: int) -> list[tuple[Any, ...]]:
        query = (
            f"SELECT {_COLUMNS}, request, response, meta FROM calls JOIN bodies ON call = id"  # noqa: S608 - constants
            " WHERE (at, id) > (?, ?) ORDER BY at, id LIMIT ?"
        )
        with self._lock, _translated(self._path):
            return self._connection.execute(query, (*last, size)).fetchall()

    def _call(self, row: tuple[Any, ...]) -> Call:
        number, at, session, origin, status, stream, latency, prompt, completion, route = row[:10]
        request, response, meta = (
            self._open(sealed, f"call/{number}/{field}")
            for sealed, field in zip(row[10:], ("request", "response", "meta"), strict=True)
        )
        return Call(
            id=number,
            at=at,
            session=session,
            origin=origin,
            request=request,
            response=response,
            status=status,
            stream=bool(stream),
            latency_s=latency,
            usage=Usage(prompt, completion),
            route=route,
            meta=meta,
        )

    def count(self) -> int:
        """Return how many calls the store holds."""
        with self._lock, _translated(self._path):
            return int(self._connection.execute("SELECT count(*) FROM calls").fetchone()[0])

    def put(self, kind: str, key: str, value: JsonObject) -> None:
        """Write a document, replacing the one of the same kind and key."""
        sealed = self._seal(value, f"document/{kind}/{key}")
        with self._lock, _translated(self._path), self._transaction():
            self._connection.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (kind, key, sealed))

    def get(self, kind: str, key: str) -> JsonObject | None:
        """Read a document, None where there is none."""
        query = "SELECT value FROM documents WHERE kind = ? AND key = ?"
        with self._lock, _translated(self._path):
            row = self._connection.execute(query, (kind, key)).fetchone()
        return None if row is None else self._open(row[0], f"document/{kind}/{key}")

    def documents(self, kind: str) -> dict[str, JsonObject]:
        """Read all documents of a kind by key, in order of key."""
        query = "SELECT key, value FROM documents WHERE kind = ? ORDER BY key"
        with self._lock, _translated(self._path):
            rows = self._connection.execute(query, (kind,)).fetchall()
        return {key: self._open(value, f"document/{kind}/{key}") for key, value in rows}

    def delete(self, kind: str, key: str) -> None:
        """Remove a document; absent is fine."""
        with self._lock, _translated(self._path), self._transaction():
            self._connection.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key))

    def close(self) -> None:
        """Close the connection; idempotent."""
        with self._lock:
            self._connection.close()

    def _seal(self, value: JsonObject, context: str) -> bytes:
        plain = json.dumps(value, separators=(",", ":")).encode()
        return self._vault.seal(zlib.compress(plain, 1), context)

    def _open(self, sealed: bytes, context: str) -> JsonObject:
        value: JsonObject = json.loads(zlib.decompress(self._vault.open(sealed, context)))
        return value

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # A full disk may have rolled back by itself.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def _head(call: Call) -> tuple[Any, ...]:
    return (
        call.id,
        call.at,
        call.session,
        call.origin,
        call.status,
        int(call.stream),
        call.latency_s,
        call.usage.prompt_tokens,
        call.usage.completion_tokens,
        call.route,
    )


def _create_private(path: Path) -> None:
    """Create the file before SQLite would, so that it and its log are never readable by others."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switch the journal; SQLite does not wait for other processes doing the same, so this does."""
    for attempt in range(_WAL_ATTEMPTS):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if attempt == _WAL_ATTEMPTS - 1:
                raise
            time.sleep(0.02)
        else:
            return


_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system raise into offramp's errors."""
    try:
        yield
    except OfframpError:
        raise
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code in _FULL:
            raise DiskFull(
                f"No space left for {path}; nothing was written.", hint="Free some space."
            ) from error
        if code is not None and code & 0xFF in _BUSY:
            raise StorageError(
                f"Another process holds {path} for longer than {_BUSY_MS // 1000} s."
            ) from error
        raise StorageError(f"SQLite cannot use {path}: {error}.") from error
    except OSError as error:
        raise StorageError(
            f"{path} cannot be opened: {error.strerror}.", hint="Check path and rights."
        ) from error
