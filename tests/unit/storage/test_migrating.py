"""Stores of every released schema come forward: ``fixtures/version1.db`` was written by offramp 0.1.0."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from offramp.core.call import Call, Usage
from offramp.core.errors import SchemaTooNew, WrongKey
from offramp.storage.crypto import derive_key
from offramp.storage.migrations import STEPS, migrate
from offramp.storage.port import Retention
from offramp.storage.sqlite import SqliteStore

KEY = b"k" * 32
RELEASED = Path(__file__).with_name("fixtures") / "version1.db"


def call(n: int) -> Call:
    """The call that the fixture was written with."""
    return Call(
        id=f"c{n:04d}",
        at=float(1000 + n),
        session=f"s-{n // 4}",
        origin=f"o-{n % 3}",
        request={"model": "m", "messages": [{"role": "user", "content": f"Grüße {n} \ud83d" + "x" * n}]},
        response={"choices": [{"message": {"content": f"answer {n}"}}]},
        status=200 if n % 5 else 429,
        stream=bool(n % 2),
        latency_s=n / 8,
        usage=Usage(n, 2 * n),
        route="teacher" if n % 2 else "s-1",
        meta={"n": n},
    )


CALLS = [call(n) for n in range(40)]


@pytest.fixture
def path(quick_path: Path) -> Path:
    (quick_path / "home").mkdir()
    shutil.copy(RELEASED, quick_path / "home" / "offramp.db")
    return quick_path / "home" / "offramp.db"


def bodies_left(store: SqliteStore) -> int:
    return int(store._database.value("SELECT count(*) FROM bodies"))


def check(store: SqliteStore) -> None:
    assert list(store.calls()) == CALLS
    assert store.call("c0007") == call(7)
    assert store.get("task", "t-1") == {"name": "Größe", "n": [1, None, 2.5]}
    assert store.documents("certificate") == {"c-1": {"alpha": 0.05}}


def test_old_bodies_are_readable_at_once_and_moved_by_upkeep(path: Path) -> None:
    store = SqliteStore(path, KEY)
    assert bodies_left(store) == 40
    check(store)
    store.append([Call("new", 9e9, "s", "o", {}, {})])
    assert store.upkeep().moved == 40
    assert bodies_left(store) == 0
    store.remove(["new"])
    check(store)
    store.close()
    again = SqliteStore(path, KEY)
    check(again)
    assert again.upkeep().moved == 0
    again.close()


def test_the_file_gives_its_space_back_after_the_move(path: Path) -> None:
    store = SqliteStore(path, KEY)
    store.upkeep()
    assert store._database.value("PRAGMA auto_vacuum") == 2
    assert store._database.value("PRAGMA freelist_count") == 0
    assert store.count() == 40
    store.close()


def test_secrets_are_what_version_1_derived(path: Path) -> None:
    store = SqliteStore(path, KEY)
    assert store.secret("redact") == derive_key(KEY, "redact")
    assert store.secret("pseudonym") == derive_key(KEY, "pseudonym")
    store.close()


def test_old_calls_can_be_removed_and_expire_before_they_were_moved(path: Path) -> None:
    store = SqliteStore(path, KEY)
    assert store.remove(["c0000", "c0001"]) == 2
    assert store.upkeep(Retention(days=1.0), now=1010.0 + 86_400.0).expired == 8
    assert list(store.calls()) == CALLS[10:]
    store.close()


def test_a_wrong_key_leaves_an_old_store_as_it_is(path: Path) -> None:
    with pytest.raises(WrongKey):
        SqliteStore(path, b"x" * 32)
    assert path.read_bytes() == RELEASED.read_bytes()


def test_an_offramp_of_version_1_refuses_a_later_store(path: Path) -> None:
    SqliteStore(path, KEY).close()
    connection = sqlite3.connect(path)
    with pytest.raises(SchemaTooNew, match="schema version 2; this offramp knows versions up to 1"):
        migrate(connection, STEPS[:1])
    connection.close()


def killed_at(path: Path, step: int) -> bool:
    """Open and tidy the store in a child that dies at its nth statement; say whether it did."""
    child = os.fork()
    if not child:
        left = [step]

        def count(statement: str) -> None:
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)

        connect = sqlite3.connect

        class Counted(sqlite3.Connection):
            def __init__(self, *arguments: object, **named: object) -> None:
                super().__init__(*arguments, **named)  # type: ignore[arg-type]  # what connect was given
                self.set_trace_callback(count)

        sqlite3.connect = lambda *a, **n: connect(*a, factory=Counted, **n)  # type: ignore[assignment]  # a child of its own
        SqliteStore(path, KEY).upkeep()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_a_migration_killed_at_any_statement_goes_on_where_it_was(path: Path) -> None:
    step = 0
    while killed_at(path, step):
        store = sqlite3.connect(path)
        version = store.execute("PRAGMA user_version").fetchone()[0]
        assert store.execute("SELECT count(*) FROM calls").fetchone() == (40,)
        store.close()
        if step % 2 == 0 or version == 1:
            copy = path.parent.parent / f"copy-{step}"
            shutil.copytree(path.parent, copy)
            again = SqliteStore(copy / "offramp.db", KEY)
            check(again)
            assert again.upkeep().moved >= 0
            check(again)
            again.close()
        step += 1 if version == 1 else 3
    assert step > 30
    store2 = SqliteStore(path, KEY)
    check(store2)
    assert bodies_left(store2) == 0
    store2.close()


def test_two_processes_may_migrate_and_move_at_once(path: Path) -> None:
    children = []
    for _ in range(3):
        child = os.fork()
        if not child:
            try:
                store = SqliteStore(path, KEY)
                store.upkeep()
                os._exit(0 if list(store.calls()) == CALLS else 1)
            finally:
                os._exit(2)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    store = SqliteStore(path, KEY)
    check(store)
    assert (bodies_left(store), store.footprint().lost) == (0, 0)
    store.close()


def test_a_released_step_is_never_changed() -> None:
    fixture = sqlite3.connect(f"{RELEASED.as_uri()}?mode=ro&immutable=1", uri=True)
    released = dict(fixture.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL"))
    fixture.close()
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    migrate(fresh, STEPS[:1])
    assert dict(fresh.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL")) == released
    fresh.close()
