"""Full disks, locks that others hold, folders that cannot be written, readers in the way."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import sqlite3
import subprocess
from typing import TYPE_CHECKING

import pytest

from offramp.core.call import Call
from offramp.core.errors import DiskFull, StorageError
from offramp.storage import index
from offramp.storage.port import Retention
from offramp.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = b"k" * 32


def call(number: int, size: int = 2_000) -> Call:
    noise = random.Random(number).randbytes(size // 2).hex()
    return Call(f"c{number:05d}", float(number), "s", "o", {"text": noise}, {"n": number})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m,mode=700", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk needs mount: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(store: SqliteStore) -> int:
    """Append until the disk is full; return how many calls were acknowledged."""
    for start in range(0, 4_000, 16):
        try:
            store.append([call(n) for n in range(start, start + 16)])
        except DiskFull as full:
            assert "No space left" in str(full)  # noqa: PT017 - how far it came is wanted as well
            return start
    return 4_000


def test_a_full_disk_is_told_nothing_of_the_batch_is_kept_and_room_helps(small_disk: Path) -> None:
    store = SqliteStore(small_disk / "offramp.db", KEY)
    acknowledged = fill(store)
    assert 100 < acknowledged < 4_000
    assert [c.id for c in store.calls()] == [call(n).id for n in range(acknowledged)]
    assert store.remove([call(n).id for n in range(acknowledged // 2)]) == acknowledged // 2
    store.close()
    again = SqliteStore(small_disk / "offramp.db", KEY)
    assert list(again.calls()) == [call(n) for n in range(acknowledged // 2, acknowledged)]
    assert again.upkeep(Retention(days=1.0), now=1e9).expired == acknowledged - acknowledged // 2
    assert again.footprint().segments == 0
    again.append([call(1)])
    again.close()


def test_a_disk_filled_by_others_takes_calls_again_when_they_leave(small_disk: Path) -> None:
    store = SqliteStore(small_disk / "offramp.db", KEY)
    store.append([call(0)])
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    with pytest.raises(DiskFull):
        store.append([call(n) for n in range(1, 40)])
    with pytest.raises(DiskFull):
        store.put("task", "t", {"text": random.Random(0).randbytes(50_000).hex()})
    assert [c.id for c in store.calls()] == ["c00000"]
    ballast.unlink()
    store.append([call(n) for n in range(1, 40)])
    store.put("task", "t", {"n": 1})
    assert store.count() == 40
    assert store.get("task", "t") == {"n": 1}
    store.close()


def test_a_limit_on_the_size_of_files_is_a_full_disk(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "offramp.db", KEY)
    store.append([call(0)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(DiskFull, match="nothing was written"):
            store.append([call(n) for n in range(1, 500)])
        assert store.count() == 1
        store.append([call(1)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(store.calls()) == [call(0), call(1)]
    store.close()


def test_a_lock_held_for_too_long_is_told_and_costs_no_call(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "offramp.db", KEY, busy_s=0.05)
    store.append([call(0)])
    size = store.footprint().segment_bytes
    other = sqlite3.connect(tmp_path / "offramp.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match=r"Another process holds .* for longer than 0\.05 s"):
        store.append([call(1)])
    assert store.footprint().segment_bytes == size
    assert list(store.calls()) == [call(0)]
    other.execute("ROLLBACK")
    other.close()
    store.append([call(1)])
    assert list(store.calls()) == [call(0), call(1)]
    store.close()


def test_a_reader_in_the_way_of_a_removal_is_told(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "offramp.db", KEY, busy_s=0.05)
    store.append([call(0), call(1)])
    other = sqlite3.connect(tmp_path / "offramp.db", isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT * FROM calls").fetchall()
    with pytest.raises(StorageError, match="store upkeep"):
        store.remove(["c00000"])
    other.execute("ROLLBACK")
    other.close()
    assert list(store.calls()) == [call(1)]
    store.upkeep()
    store.close()
    assert b"c00000" not in b"".join(f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())


def test_upkeep_of_another_process_that_lasts_too_long_is_told(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "offramp.db", KEY, busy_s=0.05)
    other = SqliteStore(tmp_path / "offramp.db", KEY, busy_s=0.05)
    with other._folder.upkeep(), pytest.raises(StorageError, match="upkeep"):
        store.remove(["c00000"])
    other.close()
    store.close()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        # Rights mean nothing to root; a mount that is read-only does.
        mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("a read-only folder needs mount, or a user who is not root")
    else:
        tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="cannot be opened or written"):
            SqliteStore(tmp_path / "home" / "offramp.db", KEY)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_store_that_became_read_only_is_told(small_disk: Path) -> None:
    store = SqliteStore(small_disk / "offramp.db", KEY)
    store.append([call(0)])
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StorageError):
        SqliteStore(small_disk / "offramp.db", KEY)


def test_several_stores_write_side_by_side_beside_upkeep(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path / "offramp.db", KEY, segment_bytes=8_000) for _ in range(3)]
    for n in range(90):
        stores[n % 3].append([call(n, 200)])
        if n % 10 == 9:
            stores[n % 2].upkeep(Retention(days=1.0), now=86_400.0 + n - 40)
    assert list(stores[0].calls()) == [call(n, 200) for n in range(49, 90)]
    for store in stores:
        store.close()


def test_a_reader_goes_on_while_segments_are_rewritten_under_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "offramp.db", KEY, segment_bytes=20_000)
    for start in range(0, 400, 20):
        store.append([call(n, 200) for n in range(start, start + 20)])
    other = SqliteStore(tmp_path / "offramp.db", KEY)
    reading = other.calls()
    seen = [next(reading).id for _ in range(10)]
    store.remove([call(n).id for n in range(400) if n % 2])
    store.upkeep()
    seen += [c.id for c in reading]
    assert [key for key in seen if int(key[1:]) % 2 == 0] == [call(n).id for n in range(0, 400, 2)]
    assert other.lost == 0
    other.close()
    store.close()


def test_a_body_moved_between_index_and_reading_is_looked_for_again(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "offramp.db", KEY)
    store.append([call(n, 200) for n in range(20)])
    page = store._page((0.0, ""), 100)
    store.remove([call(n, 200).id for n in range(10)])
    store.upkeep()
    assert store.footprint().segments == 1
    assert store._read(page) == [call(n, 200) for n in range(10, 20)]
    assert store.lost == 0
    store.close()


def test_a_copy_of_a_call_that_has_gone_meanwhile_is_queued_for_erasure(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "offramp.db", KEY)
    with store._database.transaction() as connection:
        assert not index.move(connection, "gone", index.Place(1, 40, 100), index.Place(2, 40, 101))
    assert store._database.rows("SELECT * FROM erasures") == [(2, 40, 101)]
    store.close()


def test_readers_see_every_call_that_stays_while_others_write_remove_and_tidy_up(tmp_path: Path) -> None:
    path = tmp_path / "offramp.db"
    store = SqliteStore(path, KEY, segment_bytes=8_000)
    staying = [call(n, 200) for n in range(0, 200, 2)]
    store.append([call(n, 200) for n in range(200)])
    store.close()
    reader = os.fork()
    if not reader:
        reading = SqliteStore(path, KEY)
        good = all([c for c in reading.calls() if c.at % 2 == 0 and c.at < 200] == staying for _ in range(40))
        os._exit(0 if good and not reading.lost else 1)
    store = SqliteStore(path, KEY, segment_bytes=8_000)
    for n in range(1, 200, 8):
        store.remove([call(k, 200).id for k in (n, n + 2, n + 4, n + 6)])
        store.append([call(1_000 + n, 200)])
        store.upkeep()
    assert os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1]) == 0
    assert store.count() == 125
    store.close()
