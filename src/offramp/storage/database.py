"""The SQLite file: opened privately, one lock, transactions that say how durable they are, our errors."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

from offramp.core.errors import DiskFull, OfframpError, StorageError
from offramp.storage.migrations import check_version, migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_WAL_ATTEMPTS = 50

Row = tuple[Any, ...]
"""One row; SQLite's values are narrowed where a row is taken apart."""


class Database:
    """One connection that several threads share.

    Args:
        path: The database file; created with mode 0600 where it is absent.
        busy_s: Longest wait in seconds for a lock that another process holds.

    Raises:
        StorageError: The file cannot be opened, or is no store.
    """

    def __init__(self, path: Path, *, busy_s: float) -> None:
        self.path = path
        self._busy_s = busy_s
        self._lock = threading.RLock()
        with self.translated():
            create_private(path)
            self._connection = sqlite3.connect(
                path, timeout=busy_s, isolation_level=None, check_same_thread=False
            )

    def prepare(self, max_bytes: int | None) -> None:
        """Bring the file to the latest schema and set the connection up."""
        with self._lock, self.translated():
            self._connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of effect before the first table
            _switch_to_wal(self._connection)
            migrate(self._connection)
            for pragma in ("synchronous = NORMAL", "foreign_keys = ON", "secure_delete = ON"):
                self._connection.execute(f"PRAGMA {pragma}")
            if max_bytes is not None:
                page = int(self._connection.execute("PRAGMA page_size").fetchone()[0])
                self._connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page)}")

    def rows(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        """Run one statement and return what it finds."""
        with self._lock, self.translated():
            return self._connection.execute(query, values).fetchall()

    def value(self, query: str, values: Sequence[object] = ()) -> Any:
        """Return the first column of the first row, None where there is no row."""
        found = self.rows(query, values)
        return found[0][0] if found else None

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Hold the write lock; all or nothing.

        Args:
            durable: Wait until the disk has it. Without it a power cut may take the last transactions
                back: right for what the segments can tell again, and for nothing else.
        """
        with self._lock, self.translated():
            connection = self._connection
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled back by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def empty_log(self) -> bool:
        """Move the write-ahead log into the file and cut it to nothing; False where readers hold it."""
        deadline = time.monotonic() + self._busy_s
        while True:
            if not self.value("PRAGMA wal_checkpoint(TRUNCATE)"):
                return True
            if time.monotonic() >= deadline:
                return False

    def give_back(self, pages: int) -> bool:
        """Return up to ``pages`` free pages to the file system; False where that gave none back."""
        free = int(self.value("PRAGMA freelist_count"))
        if not free:
            return False
        if self.value("PRAGMA auto_vacuum") == 0:  # a file of schema version 1: written anew, once
            self.rows("PRAGMA auto_vacuum = INCREMENTAL")
            self.rows("VACUUM")
        else:
            self.rows(f"PRAGMA incremental_vacuum({pages})")
        return int(self.value("PRAGMA freelist_count")) < free

    def close(self) -> None:
        """Close the connection; idempotent."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what SQLite and the system raise into offramp's errors."""
        with translated(self.path, self._busy_s):
            yield


def peek(path: Path, *, busy_s: float, look: Callable[[sqlite3.Connection], None]) -> None:
    """Look into a store that may not be ours, without changing what it says.

    Raises:
        SchemaTooNew: A later version wrote it.
        StorageError: It is no store.
    """
    if not path.exists() or path.stat().st_size == 0:
        return
    with translated(path, busy_s):
        try:
            _peek(path, busy_s, look, "ro")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
                raise
            # A writer was killed before the switch to a write-ahead log: who reads first takes its half
            # transaction back, and that needs the right to write.
            _peek(path, busy_s, look, "rw")


def _peek(path: Path, busy_s: float, look: Callable[[sqlite3.Connection], None], mode: str) -> None:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=busy_s)
    try:
        if check_version(connection) > 0:
            look(connection)
    finally:
        connection.close()


def create_private(path: Path) -> None:
    """Create the file before SQLite would, so that it and its log are never readable by others."""
    make_folder(path.parent)
    if path.exists():
        return
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Create a folder for its owner only."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def translated(path: Path, busy_s: float) -> Iterator[None]:
    """Turn what SQLite and the system raise about a file into offramp's errors."""
    try:
        yield
    except OfframpError:
        raise
    except sqlite3.Error as error:
        raise _of_sqlite(path, busy_s, error) from error
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise _full(path) from error
        raise StorageError(
            f"{error.filename or path} cannot be opened or written: {error.strerror}.",
            hint="Check path and rights.",
        ) from error


def _of_sqlite(path: Path, busy_s: float, error: sqlite3.Error) -> StorageError:
    code = getattr(error, "sqlite_errorcode", None)
    if code in _FULL:
        return _full(path)
    if code is not None and code & 0xFF in _BUSY:
        return StorageError(
            f"Another process holds {path} for longer than {busy_s:g} s.",
            hint="Find out which, or try again later.",
        )
    return StorageError(f"SQLite cannot use {path}: {error}.")


def _full(path: Path) -> DiskFull:
    return DiskFull(f"No space left for {path}; nothing was written.", hint="Free some space.")
