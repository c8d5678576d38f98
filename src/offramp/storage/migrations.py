"""The SQLite schema, as the steps that lead to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.errors import SchemaTooNew, StorageError

if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID = 0x6F66_6672  # "offr", in the file's header

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE data_keys (number INTEGER PRIMARY KEY, wrapped BLOB NOT NULL)""",
        """CREATE TABLE calls (
            id TEXT PRIMARY KEY, at REAL NOT NULL, session TEXT NOT NULL, origin TEXT NOT NULL,
            status INTEGER NOT NULL, stream INTEGER NOT NULL, latency_s REAL NOT NULL,
            prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, route TEXT NOT NULL
        ) WITHOUT ROWID""",
        """CREATE INDEX calls_by_time ON calls (at, id)""",
        """CREATE TABLE bodies (
            call TEXT PRIMARY KEY REFERENCES calls (id) ON DELETE CASCADE,
            request BLOB NOT NULL, response BLOB NOT NULL, meta BLOB NOT NULL
        )""",
        """CREATE TABLE documents (
            kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, key)
        )""",
    ),
    (
        # Bodies move into segment files: a call without a segment still has its body in ``bodies``.
        """ALTER TABLE calls ADD COLUMN dialect TEXT NOT NULL DEFAULT 'chat'""",
        """ALTER TABLE calls ADD COLUMN trainable INTEGER NOT NULL DEFAULT 1""",
        """ALTER TABLE calls ADD COLUMN segment INTEGER""",
        """ALTER TABLE calls ADD COLUMN offset INTEGER""",
        """ALTER TABLE calls ADD COLUMN length INTEGER""",
        """CREATE INDEX calls_by_place ON calls (segment, offset, length)""",
        # Up to ``indexed``, every byte of a segment is known (-1: it is to be unlinked);
        # ``lowest_key`` is the oldest data key in it.
        """CREATE TABLE segments (
            number INTEGER PRIMARY KEY, kind INTEGER NOT NULL, indexed INTEGER NOT NULL,
            lowest_key INTEGER NOT NULL
        )""",
        # Bytes that no call refers to any more and that are still to be overwritten.
        """CREATE TABLE erasures (
            segment INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
            PRIMARY KEY (segment, offset)
        ) WITHOUT ROWID""",
        # While the master key is replaced, ``next`` holds the same key wrapped under the new master.
        """ALTER TABLE data_keys ADD COLUMN next BLOB""",
        """CREATE TABLE secrets (purpose TEXT PRIMARY KEY, wrapped BLOB NOT NULL, next BLOB) WITHOUT ROWID""",
        """CREATE TABLE properties (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID""",
        """INSERT INTO properties VALUES ('store', randomblob(16))""",
    ),
)
"""Step n leads from version n to n + 1. A published step is never changed; a change is a new one."""


def migrate(connection: sqlite3.Connection, steps: tuple[tuple[str, ...], ...] = STEPS) -> None:
    """Bring the schema to the latest version, each step in a transaction of its own.

    Raises:
        SchemaTooNew: A later version wrote the store.
        StorageError: The file is another program's database.
    """
    while _step(connection, steps):
        pass


def check_version(connection: sqlite3.Connection) -> int:
    """Return the schema version of a file; changes nothing.

    Raises:
        SchemaTooNew: A later version wrote the store.
        StorageError: The file is another program's database.
    """
    return _version(connection, len(STEPS))


def _step(connection: sqlite3.Connection, steps: tuple[tuple[str, ...], ...]) -> bool:
    """Take one step where one is left; several processes may try at once."""
    if _version(connection, len(steps)) == len(steps):
        return False
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection, len(steps))
        if version < len(steps):
            for statement in steps[version]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return True


def _version(connection: sqlite3.Connection, latest: int) -> int:
    # In this order: another process may be creating the tables, and marks them in the same transaction.
    foreign = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    if application != APPLICATION_ID and foreign:
        raise StorageError("The file is a database of another program.", hint="Choose another path.")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > latest:
        raise SchemaTooNew(
            f"The store has schema version {version}; this offramp knows versions up to {latest}.",
            hint="Upgrade offramp.",
        )
    return version
