from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import offramp
from offramp.core.call import Call
from offramp.core.errors import DiskFull, SchemaTooNew, StorageError, WrongKey
from offramp.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = b"k" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "offramp.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(path, KEY)
    yield opened
    opened.close()


def call(number: int, text: str = "hello") -> Call:
    return Call(
        f"c{number:05d}",
        float(number),
        "session",
        "origin",
        {"text": text},
        {"text": text},
        meta={"text": text},
    )


def test_what_was_written_is_there_after_opening_again(path: Path, store: SqliteStore) -> None:
    store.append([call(1)])
    store.put("task", "t", {"n": 1})
    store.close()
    again = SqliteStore(path, KEY)
    assert list(again.calls()) == [call(1)]
    assert again.get("task", "t") == {"n": 1}
    again.close()


def test_no_body_and_no_document_is_readable_in_any_file(path: Path, store: SqliteStore) -> None:
    store.append([call(n, "canary-in-a-body") for n in range(50)])
    store.put("task", "t", {"text": "canary-in-a-document"})
    raw = b"".join(file.read_bytes() for file in path.parent.rglob("*") if file.is_file())
    assert len(raw) > 5_000
    assert b"canary" not in raw


def test_no_file_is_readable_by_others(path: Path, store: SqliteStore) -> None:
    store.append([call(1)])
    store.upkeep()
    found = [path.parent, *path.parent.rglob("*")]
    modes = {file.name: (file.is_dir(), stat.S_IMODE(file.stat().st_mode)) for file in found}
    assert set(modes.values()) == {(True, 0o700), (False, 0o600)}
    assert len(modes) == 8


def test_a_wrong_key_opens_nothing(path: Path, store: SqliteStore) -> None:
    store.append([call(1)])
    with pytest.raises(WrongKey, match="does not open this store"):
        SqliteStore(path, b"x" * 32)


def test_a_body_given_to_another_call_is_noticed(path: Path, store: SqliteStore) -> None:
    store.append([call(1, "one"), call(2, "two")])
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE calls SET offset = (SELECT offset FROM calls WHERE id = 'c00001')")
    raw.close()
    with pytest.raises(StorageError, match=r"c00002 at byte 40 of segment 000000000001\.seg was altered"):
        store.call("c00002")
    assert [c.id for c in store.calls()] == ["c00001"]
    assert store.lost == 1


def test_a_full_disk_is_told_and_nothing_of_the_batch_is_kept(path: Path) -> None:
    small = SqliteStore(path, KEY, max_bytes=100_000)
    small.append([call(0)])
    noise = "".join(chr(33 + n * 7919 % 90) for n in range(2_000))
    with pytest.raises(DiskFull, match="nothing was written"):
        small.append([call(n, noise + str(n)) for n in range(1, 500)])
    assert small.count() == 1
    small.append([call(1)])
    assert small.count() == 2
    small.close()


def test_a_later_schema_is_refused(path: Path, store: SqliteStore) -> None:
    store.close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(SchemaTooNew, match="version 99"):
        SqliteStore(path, KEY)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes, not a database " * 50)
    with pytest.raises(StorageError, match="cannot use"):
        SqliteStore(path, KEY)


def test_a_path_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be opened"):
        SqliteStore(tmp_path / "file" / "offramp.db", KEY)


def test_a_closed_store_says_so_in_our_words(store: SqliteStore) -> None:
    store.close()
    with pytest.raises(StorageError, match="closed"):
        store.count()


def test_a_reader_in_the_middle_of_its_work_does_not_block_a_writer(path: Path, store: SqliteStore) -> None:
    store.append([call(n) for n in range(300)])
    other = SqliteStore(path, KEY)
    reading = other.calls()
    next(reading)
    store.append([call(n) for n in range(300, 310)])
    assert len(list(reading)) == 309
    other.close()


WRITER = """
import sys
from pathlib import Path
from offramp.core.call import Call
from offramp.storage.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]), b"k" * 32)
for n in range(20):
    store.append([Call(f"{sys.argv[2]}-{n}", float(n), "s", "o", {}, {})])
store.close()
"""


def test_several_processes_may_create_and_write_one_store(path: Path) -> None:
    source = str(Path(offramp.__file__).parents[1])
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, str(n)], env={"PYTHONPATH": source})
        for n in range(3)
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    store = SqliteStore(path, KEY)
    assert store.count() == 60
    assert len({c.id for c in store.calls()}) == 60
    store.close()
