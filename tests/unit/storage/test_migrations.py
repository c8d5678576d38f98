from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from offramp.core.errors import SchemaTooNew, StorageError
from offramp.storage.migrations import APPLICATION_ID, STEPS, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    yield opened
    opened.close()


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_an_empty_file_gets_the_latest_schema(connection: sqlite3.Connection) -> None:
    migrate(connection)
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    released = {"data_keys", "calls", "bodies", "documents"}
    assert tables == released | {"segments", "erasures", "secrets", "properties"}
    assert version(connection) == len(STEPS)


def test_migrating_again_changes_nothing(connection: sqlite3.Connection) -> None:
    migrate(connection)
    before = connection.execute("SELECT sql FROM sqlite_master").fetchall()
    migrate(connection)
    assert connection.execute("SELECT sql FROM sqlite_master").fetchall() == before


def test_an_older_store_takes_the_steps_it_lacks(connection: sqlite3.Connection) -> None:
    migrate(connection)
    connection.execute("INSERT INTO documents VALUES ('task', 't', x'00')")
    migrate(connection, (*STEPS, ("ALTER TABLE documents ADD COLUMN at REAL",)))
    assert connection.execute("SELECT kind, at FROM documents").fetchall() == [("task", None)]
    assert version(connection) == len(STEPS) + 1


def test_a_step_that_fails_leaves_the_version_before_it(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, (*STEPS, ("CREATE TABLE more (x)", "CREATE NONSENSE")))
    assert version(connection) == len(STEPS)
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'more'").fetchone() == (0,)


def test_a_later_schema_is_refused(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    with pytest.raises(SchemaTooNew, match="Upgrade offramp"):
        migrate(connection)


def test_the_database_of_another_program_is_refused(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StorageError, match="another program"):
        migrate(connection)
    assert version(connection) == 0
