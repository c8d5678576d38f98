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
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    if version > latest:
        raise SchemaTooNew(
            f"The store has schema version {version}; this offramp knows versions up to {latest}.",
            hint="Upgrade offramp.",
        )
    foreign = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
    if application != APPLICATION_ID and foreign:
        raise StorageError("The file is a database of another program.", hint="Choose another path.")
    return version
