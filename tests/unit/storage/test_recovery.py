"""Power cuts and damaged files: what the segments tell again, and what is said about the rest."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from offramp.core.call import Call
from offramp.core.errors import StorageError
from offramp.storage import frame
from offramp.storage.port import Retention
from offramp.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KEY = b"k" * 32
FIRST = "000000000001.seg"


def call(number: int, text: str = "hello") -> Call:
    return Call(f"c{number:05d}", float(number), "s", "o", {"text": text}, {"text": text}, trainable=False)


def calls(start: int, stop: int) -> list[Call]:
    return [call(n) for n in range(start, stop)]


def write(home: Path, *batches: Sequence[Call]) -> None:
    store = SqliteStore(home / "offramp.db", KEY)
    for batch in batches:
        store.append(batch)
    store.close()


def read(home: Path) -> list[Call]:
    store = SqliteStore(home / "offramp.db", KEY)
    found = list(store.calls())
    store.close()
    return found


def take_index_back(home: Path, earlier: Path) -> None:
    """Do what a power cut may do to an index that was not synced: put an earlier state in its place."""
    for file in home.glob("offramp.db*"):
        file.unlink()
    shutil.copy(earlier / "offramp.db", home / "offramp.db")


@pytest.fixture
def home(quick_path: Path) -> Path:
    return quick_path / "home"


@pytest.fixture
def cut(home: Path, quick_path: Path) -> Path:
    """A store of two batches, and a third that the index has lost."""
    write(home, calls(0, 3), calls(3, 5))
    shutil.copytree(home, quick_path / "earlier")
    write(home, calls(5, 8))
    take_index_back(home, quick_path / "earlier")
    return home


def test_calls_that_the_index_lost_are_found_again(cut: Path) -> None:
    assert read(cut) == calls(0, 8)
    assert read(cut) == calls(0, 8)


def test_an_index_that_lost_everything_is_rebuilt_with_its_columns(home: Path, quick_path: Path) -> None:
    write(home)
    shutil.copytree(home, quick_path / "earlier")
    write(home, calls(0, 3), calls(3, 5))
    with_columns = SqliteStore(home / "offramp.db", KEY)
    before = with_columns._database.rows("SELECT * FROM calls ORDER BY id")
    with_columns.close()
    take_index_back(home, quick_path / "earlier")
    again = SqliteStore(home / "offramp.db", KEY)
    assert again._database.rows("SELECT * FROM calls ORDER BY id") == before
    assert list(again.calls()) == calls(0, 5)
    again.close()


def test_a_batch_torn_at_any_byte_is_no_call_and_the_store_goes_on(cut: Path, quick_path: Path) -> None:
    whole = (cut / "segments" / FIRST).read_bytes()
    indexed = (quick_path / "earlier/segments" / FIRST).stat().st_size
    for size in [*range(indexed, len(whole), 7), len(whole) - 1]:
        take_index_back(cut, quick_path / "earlier")
        (cut / "segments" / FIRST).write_bytes(whole[:size])
        assert read(cut) == calls(0, 5)
        assert (cut / "segments" / FIRST).stat().st_size == indexed
    write(cut, calls(20, 22))
    assert read(cut) == [*calls(0, 5), *calls(20, 22)]


@pytest.mark.parametrize("rubbish", [bytes(5000), b"\xf5\xc1" * 3000, b"\xff" * 17])
def test_rubbish_behind_the_last_call_is_cut(home: Path, rubbish: bytes) -> None:
    write(home, calls(0, 3))
    file = home / "segments" / FIRST
    size = file.stat().st_size
    file.write_bytes(file.read_bytes() + rubbish)
    write(home, calls(3, 5))
    assert read(home) == calls(0, 5)
    assert file.read_bytes()[size : size + 2] == b"\xf5\xc1"


def test_a_damaged_call_in_the_lost_part_costs_no_other(cut: Path, quick_path: Path) -> None:
    file = cut / "segments" / FIRST
    raw = bytearray(file.read_bytes())
    start = (quick_path / "earlier/segments" / FIRST).stat().st_size
    raw[start + 60] ^= 1
    file.write_bytes(raw)
    assert read(cut) == [*calls(0, 5), call(6), call(7)]


def test_a_flipped_bit_costs_one_call_and_is_named(home: Path) -> None:
    write(home, calls(0, 9))
    file = home / "segments" / FIRST
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    store = SqliteStore(home / "offramp.db", KEY)
    found = [c.id for c in store.calls()]
    assert (len(found), store.lost, store.count()) == (8, 1, 9)
    gone = next(c.id for c in calls(0, 9) if c.id not in found)
    with pytest.raises(StorageError, match="altered"):
        store.call(gone)
    store.upkeep(Retention(days=1.0), now=5 + 86_400.0)
    assert {c.id for c in store.calls()} == {c.id for c in calls(5, 9)} - {gone}
    store.close()


def test_every_flipped_bit_is_noticed(home: Path) -> None:
    write(home, [call(1)])
    file = home / "segments" / FIRST
    raw = file.read_bytes()
    for place in range(frame.HEADER_BYTES, len(raw), 3):
        damaged = bytearray(raw)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(damaged)
        store = SqliteStore(home / "offramp.db", KEY)
        # A frame's one reserved byte carries nothing, and its checksum covers it.
        assert (list(store.calls()), store.lost) == ([], 1), place
        store.close()


def test_a_truncated_segment_loses_what_was_cut_off_and_is_not_written_to_again(home: Path) -> None:
    write(home, calls(0, 9))
    file = home / "segments" / FIRST
    size = file.stat().st_size * 2 // 3
    file.write_bytes(file.read_bytes()[:size])
    write(home, calls(9, 12))
    assert file.stat().st_size == size
    store = SqliteStore(home / "offramp.db", KEY)
    left = list(store.calls())
    assert left == [c for c in calls(0, 12) if c in left]
    assert {c.id for c in calls(9, 12)} < {c.id for c in left}
    assert store.footprint().lost == store.lost == 12 - len(left) > 0
    store.close()


def test_a_missing_segment_is_named_and_the_other_calls_are_there(home: Path) -> None:
    small = SqliteStore(home / "offramp.db", KEY, segment_bytes=100)
    for n in range(4):
        small.append([call(n)])
    (home / "segments/000000000002.seg").unlink()
    assert list(small.calls()) == [call(0), call(2), call(3)]
    assert (small.lost, small.count()) == (1, 4)
    taken = small.footprint()
    assert (taken.lost, taken.missing) == (1, ("000000000002.seg",))
    with pytest.raises(StorageError, match=r"Segment 000000000002\.seg is not in"):
        small.call("c00001")
    small.upkeep()
    assert list(small.calls()) == [call(0), call(2), call(3)]
    assert small.remove(["c00001"]) == 1
    assert small.footprint().lost == 0
    small.close()


def test_the_segment_of_another_store_is_left_alone(home: Path, quick_path: Path) -> None:
    write(quick_path / "other", calls(0, 3))
    write(home, calls(3, 5))
    theirs = home / "segments/000000000007.seg"
    shutil.copy(quick_path / "other/segments" / FIRST, theirs)
    before = theirs.read_bytes()
    store = SqliteStore(home / "offramp.db", KEY)
    store.append(calls(5, 9))
    store.upkeep()
    assert list(store.calls()) == calls(3, 9)
    store.close()
    assert theirs.read_bytes() == before


def test_a_file_that_is_no_segment_is_left_alone(home: Path) -> None:
    write(home, calls(0, 2))
    (home / "segments/000000000009.seg").write_bytes(b"my notes " * 20)
    (home / "segments/notes.txt").write_text("mine")
    assert read(home) == calls(0, 2)
    assert (home / "segments/000000000009.seg").read_bytes() == b"my notes " * 20


def test_a_segment_whose_creation_was_cut_short_is_cleared_away(home: Path) -> None:
    write(home, calls(0, 2))
    begun = home / "segments/000000000002.seg"
    begun.write_bytes(b"offrs")
    assert read(home) == calls(0, 2)
    assert not begun.exists()


def test_a_damaged_header_costs_no_call(home: Path) -> None:
    write(home, calls(0, 3))
    file = home / "segments" / FIRST
    file.write_bytes(b"X" + file.read_bytes()[1:])
    write(home, calls(3, 5))
    assert read(home) == calls(0, 5)


def test_a_copy_that_was_not_committed_is_discarded(home: Path) -> None:
    """Otherwise a call removed between the crash and the recovery would come back."""
    write(home, calls(0, 5))
    store = SqliteStore(home / "offramp.db", KEY)
    record = (home / "segments" / FIRST).read_bytes()[frame.HEADER_BYTES :]
    begun = store._folder.create(frame.COPY, 1)
    begun.write(frame.HEADER_BYTES, record)
    begun.close()
    store.remove(["c00002"])
    assert not begun.path.exists()
    store.close()
    assert [c.id for c in read(home)] == ["c00000", "c00001", "c00003", "c00004"]


def test_a_writer_killed_before_the_write_ahead_log_stops_nobody(home: Path, quick_path: Path) -> None:
    """What a kill in the first transaction leaves: a journal that the next to open must take back."""
    write(home, calls(0, 3))
    torn = quick_path / "torn"
    shutil.copytree(home, torn)
    with contextlib.closing(sqlite3.connect(home / "offramp.db", isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = DELETE")
        writer.execute("PRAGMA cache_size = 1")  # half of the transaction reaches the file before its end
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("CREATE TABLE half AS WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL"
                       " SELECT x + 1 FROM n WHERE x < 5000) SELECT hex(randomblob(100)) FROM n")  # fmt: skip
        for name in ("offramp.db", "offramp.db-journal"):
            shutil.copy(home / name, torn / name)
    assert [c.id for c in read(torn)] == [c.id for c in calls(0, 3)]
    assert not (torn / "offramp.db-journal").exists()
