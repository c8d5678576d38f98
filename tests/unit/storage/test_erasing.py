"""What is removed is in no file any more; what was interrupted is finished."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest
from tests.unit.storage.killing import die_at_statement

from offramp.core.call import Call
from offramp.storage import frame, index
from offramp.storage.port import Retention
from offramp.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from pathlib import Path

KEY = b"k" * 32


@pytest.fixture
def home(quick_path: Path) -> Path:
    return quick_path / "home"


def call(number: int) -> Call:
    # An id as long as those of a provider, so that it fills pages and moves between them.
    key = f"call-{number * 7919 % 100_003:06d}-{'abcdefgh'[number % 8] * 12}"
    return Call(key, float(number % 97), f"session-{number:05d}", "o", {"n": number}, {"text": "x" * 50})


def opened(home: Path) -> SqliteStore:
    return SqliteStore(home / "offramp.db", KEY, segment_bytes=40_000)


def bytes_of(home: Path) -> bytes:
    return b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())


def sealed_bytes(store: SqliteStore, key: str) -> bytes:
    """Return the encrypted bytes of a call's body."""
    rows = store._database.rows("SELECT segment, offset, length FROM calls WHERE id = ?", (key,))
    number, offset, length = rows[0]
    raw = store._folder.file(number).read_bytes()[offset : offset + length]
    return raw[frame.FRAME_BYTES + len(key) :]


def test_no_byte_of_a_removed_call_is_in_any_file(home: Path) -> None:
    store = opened(home)
    everything = [call(n) for n in range(1_500)]
    for start in range(0, 1_500, 50):
        store.append(everything[start : start + 50])
    gone = [c for n, c in enumerate(everything) if n % 5 == 0]
    sealed = [sealed_bytes(store, c.id) for c in gone]
    assert all(body in bytes_of(home) for body in sealed[:50])
    assert store.remove(c.id for c in gone) == 300
    left = bytes_of(home)
    assert [body for body in sealed if body[20:60] in left] == []
    assert [c for c in gone if c.id.encode() in left or c.session.encode() in left] == []
    kept = [c for n, c in enumerate(everything) if n % 5]
    assert sorted(store.calls(), key=lambda c: c.id) == sorted(kept, key=lambda c: c.id)
    store.close()


def test_what_expired_is_in_no_file_either(home: Path) -> None:
    store = opened(home)
    store.append([Call(f"old-{n:03d}", 0.0, "s", "o", {}, {}) for n in range(20)])
    store.append([Call(f"new-{n:03d}", 1e6, "s", "o", {}, {}) for n in range(200)])
    sealed = sealed_bytes(store, "old-007")
    store.upkeep(Retention(days=1.0), now=1e6)
    left = bytes_of(home)
    assert sealed not in left
    assert b"old-0" not in left
    assert store.count() == 200
    store.close()


def test_a_segment_with_much_garbage_is_rewritten_and_smaller(home: Path) -> None:
    store = opened(home)
    store.append([call(n) for n in range(500)])
    store.remove([call(n).id for n in range(0, 500, 2)])
    before = store.footprint()
    done = store.upkeep()
    after = store.footprint()
    assert before.garbage_bytes > before.segment_bytes * 0.4
    assert done.compacted == 1
    assert after.garbage_bytes == 0
    assert after.segment_bytes < before.segment_bytes * 0.6
    assert sorted(c.id for c in store.calls()) == sorted(call(n).id for n in range(1, 500, 2))
    store.close()


def test_a_store_whose_calls_are_all_removed_holds_no_segment(home: Path) -> None:
    store = opened(home)
    store.append([call(n) for n in range(300)])
    store.remove([call(n).id for n in range(300)])
    store.upkeep()
    assert store.footprint().segments == 0
    store.append([call(1)])
    assert list(store.calls()) == [call(1)]
    numbers = store._folder.numbers()
    assert numbers[0] > 1  # a number is never used twice
    store.close()


def test_a_removal_that_was_cut_short_is_finished_at_the_next_opening(home: Path) -> None:
    store = opened(home)
    store.append([call(1), call(2)])
    sealed = sealed_bytes(store, call(1).id)
    with store._database.transaction(durable=True) as connection:
        index.drop(connection, [call(1).id])
    assert sealed in bytes_of(home)
    store.close()
    store = opened(home)
    assert sealed not in bytes_of(home)
    assert list(store.calls()) == [call(2)]
    store.close()


def test_a_body_written_twice_is_erased_twice(home: Path) -> None:
    """Two processes may write one call at the same moment; the index keeps one of the bodies."""
    store, other = opened(home), opened(home)
    other.append([call(1)])
    known = store._database.value("SELECT segment FROM calls")
    store._writer._commit([(call(1), b"body", 0)])
    assert store._database.value("SELECT segment FROM calls") == known
    assert store._database.value("SELECT count(*) FROM erasures") == 1
    store.upkeep()
    store.remove([call(1).id])
    assert call(1).id.encode() not in bytes_of(home)
    store.close()
    other.close()


def test_upkeep_killed_at_any_statement_is_finished_by_the_next(home: Path, quick_path: Path) -> None:
    """A forked child takes each step's number of statements and dies there."""
    store = opened(home)
    store.append([call(n) for n in range(200)])
    store.remove([call(n).id for n in range(0, 200, 2)])
    store.rotate_key()
    store.close()
    expected = sorted(call(n).id for n in range(1, 200, 2) if call(n).at >= 10)
    died = 0
    for step in range(0, 240, 8):
        child = os.fork()
        if not child:
            victim = opened(home)
            die_at_statement(victim, step)
            victim.upkeep(Retention(days=1.0), now=10 + 86_400.0)
            os._exit(0)
        died += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        after = opened(home)
        assert set(expected) <= {c.id for c in after.calls()}
        assert after.lost == 0
        after.close()
    store = opened(home)
    store.upkeep(Retention(days=1.0), now=10 + 86_400.0)
    assert died > 5
    assert sorted(c.id for c in store.calls()) == expected
    assert store._database.rows("SELECT number FROM data_keys") == [(2,)]
    store.close()


def test_free_pages_go_back_to_the_file_system(home: Path) -> None:
    store = opened(home)
    store.append([call(n) for n in range(3_000)])
    store.remove([call(n).id for n in range(2_900)])
    before = store.footprint().index_bytes
    store.upkeep()
    assert store.footprint().index_bytes < before / 4
    assert store.footprint().log_bytes == 0
    store.close()
    with sqlite3.connect(home / "offramp.db") as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()
