from __future__ import annotations

import json
import multiprocessing
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offramp.access.audit import FILE, HEAD, LAST, AuditLog, Entry, head_of, system_user
from offramp.access.verify import Checked, check
from offramp.core.errors import StorageError
from offramp.storage.sqlite import SqliteStore
from offramp.testing.memory_store import MemoryStore

SECRET = b"a" * 32
ENTRIES = 6


@dataclass
class Desk:
    """A log with its store."""

    folder: Path
    store: MemoryStore

    @property
    def path(self) -> Path:
        return self.folder / FILE

    @property
    def log(self) -> AuditLog:
        return AuditLog(self.path, SECRET, self.store, who="ann")

    def check(self) -> Checked:
        return check(self.path, SECRET, head_of(self.store))

    def lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines(keepends=True)

    def rewrite(self, *lines: bytes) -> Checked:
        self.path.write_bytes(b"".join(lines))
        return self.check()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path, MemoryStore())
    for number in range(ENTRIES):
        made.log.write(
            "read_bodies", f"purpose {number}", count=number, ids=[f"call-{i}" for i in range(number)]
        )
    return made


def faults(checked: Checked) -> str:
    return "; ".join(f"{fault.line} {fault.what}" for fault in checked.faults)


def test_an_entry_says_who_did_what_to_how_much(desk: Desk) -> None:
    entry = desk.check().entries[2]
    assert (entry.seq, entry.who, entry.action, entry.what) == (3, "ann", "read_bodies", "purpose 2")
    assert entry.count == 2
    assert "call-0" not in desk.path.read_text()


def test_the_user_of_the_system_acts_where_nobody_else_is_named(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / FILE, SECRET, MemoryStore())
    assert log.write("erase").who == system_user() != ""
    assert log.write("erase", who="key-1").who == "key-1"


def test_the_same_ids_in_any_order_have_the_same_digest(desk: Desk) -> None:
    one, same, other = (desk.log.write("x", ids=ids).ids for ids in (["a", "b"], ["b", "a"], ["a", "c"]))
    assert one == same != other


def test_a_log_that_nobody_touched_is_intact(desk: Desk) -> None:
    checked = desk.check()
    assert checked.intact
    assert len(checked.entries) == checked.head.seq == ENTRIES


def test_a_log_that_was_never_written_is_intact(tmp_path: Path) -> None:
    assert Desk(tmp_path, MemoryStore()).check().intact


def test_nobody_else_may_read_the_log(desk: Desk) -> None:
    assert stat.S_IMODE(desk.path.stat().st_mode) == 0o600


def test_an_edited_entry_is_found(desk: Desk) -> None:
    lines = desk.lines()
    lines[2] = lines[2].replace(b"ann", b"eve")
    assert "3 was altered" in faults(desk.rewrite(*lines))


def test_a_deleted_entry_is_found(desk: Desk) -> None:
    lines = desk.lines()
    assert "entries 3 to 3 are missing" in faults(desk.rewrite(*lines[:2], *lines[3:]))


def test_entries_in_another_order_are_found(desk: Desk) -> None:
    one, two, *rest = desk.lines()
    assert "entry 1 comes after entry 2" in faults(desk.rewrite(two, one, *rest))


def test_a_cut_end_is_found(desk: Desk) -> None:
    assert "ends with entry 4, but 6 were written" in faults(desk.rewrite(*desk.lines()[:4]))


def test_a_log_that_is_gone_is_found(desk: Desk) -> None:
    desk.path.unlink()
    assert "ends with entry 0, but 6 were written" in faults(desk.check())


def test_an_older_copy_of_the_log_is_found(desk: Desk) -> None:
    old = desk.lines()
    desk.log.write("erase")
    assert "the end is missing" in faults(desk.rewrite(*old))


def test_an_inserted_entry_is_found(desk: Desk) -> None:
    lines = desk.lines()
    forged = Entry(**{**json.loads(lines[0]), "seq": 3}).sealed(b"not the secret").line() + b"\n"
    assert "3 was altered, or is none of ours" in faults(desk.rewrite(*lines[:2], forged, *lines[2:]))


def test_the_log_of_another_installation_is_found(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = AuditLog(tmp_path / "other" / FILE, b"b" * 32, MemoryStore())
    for _ in range(ENTRIES):
        other.write("read_bodies")
    assert len(desk.rewrite(other.path.read_bytes()).faults) == ENTRIES + 1


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_is_done_to_the_file_is_found(desk: Desk, data: st.DataObject) -> None:
    whole = b"".join(desk.lines())
    try:
        changed = data.draw(tampered(whole))
        assert desk.rewrite(changed).intact is (changed == whole)
    finally:
        desk.path.write_bytes(whole)


def tampered(whole: bytes) -> st.SearchStrategy[bytes]:
    places = st.integers(0, len(whole))
    lines = whole.splitlines(keepends=True)
    bits = st.tuples(st.integers(0, len(whole) - 1), st.integers(1, 255)).map(
        lambda found: whole[: found[0]] + bytes([whole[found[0]] ^ found[1]]) + whole[found[0] + 1 :]
    )
    cuts = st.tuples(places, places).map(lambda found: whole[: min(found)] + whole[max(found) :])
    inserts = st.tuples(places, st.binary(max_size=20)).map(
        lambda found: whole[: found[0]] + found[1] + whole[found[0] :]
    )
    orders = st.lists(st.sampled_from(lines), max_size=8).map(b"".join)
    return st.one_of(bits, cuts, inserts, orders, st.permutations(lines).map(b"".join))


def test_what_is_written_after_tampering_does_not_hide_it(desk: Desk) -> None:
    desk.rewrite(*desk.lines()[:3])
    for _ in range(3):
        desk.log.write("read_bodies")
    checked = desk.check()
    assert "entries 4 to 6 are missing" in faults(checked)
    assert checked.head.seq == ENTRIES + 3


def test_what_is_written_after_the_log_was_deleted_does_not_hide_it(desk: Desk) -> None:
    desk.path.unlink()
    desk.log.write("read_bodies")
    assert "entries 1 to 6 are missing" in faults(desk.check())


def test_a_process_that_died_before_the_store_knew_leaves_an_intact_log(desk: Desk) -> None:
    before = desk.store.get(HEAD, LAST)
    assert before is not None
    desk.log.write("read_bodies")
    desk.store.put(HEAD, LAST, before)
    assert desk.check().intact
    desk.log.write("read_bodies")
    assert desk.check().intact
    assert desk.check().head.seq == ENTRIES + 2


def test_a_process_that_died_while_it_wrote_leaves_a_log_that_goes_on(desk: Desk) -> None:
    with desk.path.open("ab") as file:
        file.write(b'{"half')
    assert "is unfinished" in faults(desk.check())
    desk.log.write("read_bodies")
    assert desk.check().intact


def test_where_the_log_cannot_be_written_nothing_is_said_to_be(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "nowhere" / FILE, SECRET, MemoryStore())
    with pytest.raises(StorageError, match="cannot be written"):
        log.write("read_bodies")


def test_threads_append_one_after_the_other(desk: Desk) -> None:
    threads = [threading.Thread(target=lambda: [desk.log.write("x") for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert desk.check().intact
    assert desk.check().head.seq == ENTRIES + 80


def append_on_disk(folder: str, times: int) -> None:
    store = SqliteStore(Path(folder) / "s.db", b"k" * 32)
    log = AuditLog(Path(folder) / FILE, SECRET, store)
    for _ in range(times):
        log.write("read_bodies")
    store.close()


def test_processes_append_one_after_the_other(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db", b"k" * 32)
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=append_on_disk, args=(str(tmp_path), 10)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    checked = check(tmp_path / FILE, SECRET, head_of(store))
    store.close()
    assert checked.intact
    assert checked.head.seq == 30
