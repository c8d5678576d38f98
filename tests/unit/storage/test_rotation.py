"""Data keys and master keys are replaced; what was written stays readable, and secrets stay as they are."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest
from tests.unit.storage.killing import die_at_statement

from offramp.core.call import Call
from offramp.core.errors import StorageError, WrongKey
from offramp.storage.crypto import create_key, derive_key, load_key, replace_key
from offramp.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from pathlib import Path


def call(number: int) -> Call:
    return Call(f"c{number:05d}", float(number), "s", "o", {"n": number}, {"text": "hello"})


@pytest.fixture
def home(quick_path: Path) -> Path:
    load_key(quick_path / "home" / "master.key", create=True)
    return quick_path / "home"


def opened(home: Path, key: bytes | None = None) -> SqliteStore:
    return SqliteStore(home / "offramp.db", key or load_key(home / "master.key"), segment_bytes=20_000)


def files(home: Path) -> dict[str, bytes]:
    """Every file's content but that of SQLite's shared memory, which holds no data."""
    return {
        str(file.relative_to(home)): file.read_bytes()
        for file in sorted(home.rglob("*"))
        if file.is_file() and not file.name.endswith("-shm")
    }


def numbers(store: SqliteStore) -> list[int]:
    return store.data_keys()


def test_calls_of_the_old_and_of_the_new_data_key_are_readable(home: Path) -> None:
    store = opened(home)
    store.append([call(1)])
    store.put("task", "old", {"n": 1})
    assert store.rotate_key() == 2
    store.append([call(2)])
    store.put("task", "new", {"n": 2})
    store.close()
    again = opened(home)
    assert list(again.calls()) == [call(1), call(2)]
    assert again.documents("task") == {"new": {"n": 2}, "old": {"n": 1}}
    assert numbers(again) == [1, 2]
    again.close()


def test_upkeep_reseals_everything_and_drops_the_old_data_key(home: Path) -> None:
    store = opened(home)
    store.append([call(n) for n in range(300)])
    store.put("task", "t", {"n": 1})
    store.rotate_key()
    store.append([call(n) for n in range(300, 310)])
    done = store.upkeep()
    assert done.keys_dropped == 1
    assert done.resealed >= 301
    assert numbers(store) == [2]
    store.close()
    again = opened(home)
    assert list(again.calls()) == [call(n) for n in range(310)]
    assert again.get("task", "t") == {"n": 1}
    again.close()


def test_nothing_is_resealed_twice(home: Path) -> None:
    store = opened(home)
    store.append([call(1)])
    store.rotate_key()
    assert (store.upkeep().resealed, store.upkeep().resealed, store.upkeep().compacted) == (1, 0, 0)
    store.close()


def test_another_process_takes_the_new_data_key_without_opening_again(home: Path) -> None:
    first, second = opened(home), opened(home)
    first.append([call(1)])
    second.append([call(2)])
    first.put("task", "t", {"n": 1})
    first.rotate_key()
    first.append([call(3)])
    first.upkeep()
    assert numbers(first) == [2]
    second.append([call(4)])
    second.put("task", "u", {"n": 2})
    for store in (first, second):
        assert list(store.calls()) == [call(n) for n in (1, 2, 3, 4)]
        assert store.documents("task") == {"t": {"n": 1}, "u": {"n": 2}}
        store.close()


def test_calls_written_while_keys_are_replaced_are_all_readable(home: Path) -> None:
    store, other = opened(home), opened(home)

    def write() -> None:
        for n in range(60):
            other.append([call(n)])

    writing = threading.Thread(target=write)
    writing.start()
    for _ in range(5):
        store.rotate_key()
        store.upkeep()
    writing.join()
    assert list(store.calls()) == [call(n) for n in range(60)]
    assert (store.lost, other.lost) == (0, 0)
    store.close()
    other.close()


def test_a_new_master_key_opens_everything_and_the_old_one_nothing(home: Path) -> None:
    old = load_key(home / "master.key")
    store = opened(home)
    store.append([call(1)])
    store.put("task", "t", {"n": 1})
    store.rotate_master(home / "master.key")
    store.append([call(2)])
    store.close()
    assert load_key(home / "master.key") != old
    again = opened(home)
    assert list(again.calls()) == [call(1), call(2)]
    assert again.get("task", "t") == {"n": 1}
    again.close()
    with pytest.raises(WrongKey, match="does not open this store"):
        opened(home, old)


def test_secrets_come_from_the_first_master_key_and_no_rotation_changes_them(home: Path) -> None:
    first = load_key(home / "master.key")
    store = opened(home)
    store.rotate_master(home / "master.key")
    store.rotate_key()
    store.rotate_master(home / "master.key")
    store.close()
    again = opened(home)
    assert again.secret("redact") == derive_key(first, "redact")
    assert again.secret("pseudonym") == derive_key(first, "pseudonym")
    later = again.secret("first asked for now")
    again.rotate_master(home / "master.key")
    assert again.secret("first asked for now") == later
    again.close()
    last = opened(home)
    assert last.secret("first asked for now") == later
    last.close()


@pytest.mark.parametrize("step", ["before", "staged", "replaced", "adopted"])
def test_a_rotation_cut_short_leaves_a_store_that_its_key_file_opens(home: Path, step: str) -> None:
    path, old, new = home / "master.key", load_key(home / "master.key"), create_key()
    store = opened(home)
    store.append([call(1)])
    secret = store.secret("redact")
    if step != "before":
        store._keys.stage(new)
    if step in ("replaced", "adopted"):
        replace_key(path, new)
    if step == "adopted":
        store._keys.adopt(new)
    store.close()
    again = opened(home)
    assert list(again.calls()) == [call(1)]
    assert again.secret("redact") == secret
    again.close()
    if step in ("replaced", "adopted"):
        with pytest.raises(WrongKey):
            opened(home, old)
    again = opened(home)
    again.rotate_master(path)
    again.close()
    opened(home).close()
    for gone in (old, new):
        with pytest.raises(WrongKey):
            opened(home, gone)


def test_no_key_is_made_while_a_rotation_is_unfinished(home: Path) -> None:
    store = opened(home)
    store._keys.stage(create_key())
    with pytest.raises(StorageError, match="rotate-master"):
        store.rotate_key()
    with pytest.raises(StorageError, match="rotate-master"):
        store.secret("new")
    store.append([call(1)])
    assert list(store.calls()) == [call(1)]
    store.close()


def test_a_process_with_the_old_master_key_makes_no_key_that_nobody_could_open(home: Path) -> None:
    store, other = opened(home), opened(home)
    store.rotate_master(home / "master.key")
    with pytest.raises(WrongKey):
        other.rotate_key()
    other.append([call(1)])
    assert list(store.calls()) == [call(1)]
    store.close()
    other.close()


def test_a_process_with_the_old_master_key_goes_on_until_its_data_key_is_dropped(home: Path) -> None:
    store, other = opened(home), opened(home)
    store.rotate_master(home / "master.key")
    store.rotate_key()
    other.append([call(1)])
    other.put("task", "t", {"n": 1})
    assert list(store.calls()) == [call(1)]
    store.upkeep()
    with pytest.raises(WrongKey, match="Start it again"):
        other.append([call(2)])
    assert list(store.calls()) == [call(1)]
    assert store.get("task", "t") == {"n": 1}
    store.close()
    other.close()


def test_rotations_killed_at_any_statement_leave_a_store_that_opens(home: Path) -> None:
    store = opened(home)
    store.append([call(1)])
    secret = store.secret("redact")
    store.close()
    died = 0
    for step in range(40):
        child = os.fork()
        if not child:
            victim = opened(home)
            die_at_statement(victim, step)
            victim.rotate_master(home / "master.key")
            victim.rotate_key()
            os._exit(0)
        died += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        again = opened(home)
        assert list(again.calls()) == [call(1)]
        assert again.secret("redact") == secret
        again.close()
    assert died > 10


@pytest.mark.parametrize("left_open", [True, False])
def test_a_wrong_key_changes_no_file(home: Path, left_open: bool) -> None:
    store = opened(home)
    store.append([call(1)])
    store.put("task", "t", {})
    if not left_open:
        store.close()
    before = files(home)
    with pytest.raises(WrongKey, match="does not open this store"):
        opened(home, create_key())
    after = files(home)
    assert {name: after[name] for name in before} == before
    assert all(not after[name] for name in after.keys() - before.keys())
    store.close()


def test_a_key_file_is_replaced_whole(home: Path) -> None:
    new = create_key()
    replace_key(home / "master.key", new)
    assert load_key(home / "master.key") == new
    assert [file.name for file in home.iterdir()] == ["master.key"]
    assert (home / "master.key").stat().st_mode & 0o777 == 0o600
