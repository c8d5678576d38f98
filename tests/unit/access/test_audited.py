from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import pytest

from offramp.access.audit import FILE, AuditLog, head_of
from offramp.access.audited import AuditedStore
from offramp.access.verify import check
from offramp.core.errors import StorageError
from offramp.testing.memory_store import MemoryStore
from offramp.testing.traffic import Agent, calls_of

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.access.audit import Entry
    from offramp.storage.port import Store

SECRET = b"a" * 32


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    agent = Agent()
    made.append(calls_of([agent.route() for _ in range(1200)]))
    return made


@pytest.fixture
def reader(store: MemoryStore, tmp_path: Path) -> AuditedStore:
    return AuditedStore(store, AuditLog(tmp_path / FILE, SECRET, store, who="ann"), "tasks")


def entries(store: MemoryStore, folder: Path) -> list[Entry]:
    checked = check(folder / FILE, SECRET, head_of(store))
    assert checked.intact
    return list(checked.entries)


def test_a_read_is_one_entry_with_its_purpose_and_number(
    reader: AuditedStore, store: MemoryStore, tmp_path: Path
) -> None:
    assert len(list(reader.calls(limit=70))) == 70
    (entry,) = entries(store, tmp_path)
    assert (entry.who, entry.action, entry.what, entry.count) == ("ann", "read_bodies", "tasks", 70)
    assert entry.ids


def test_a_long_read_has_an_entry_for_every_thousand(
    reader: AuditedStore, store: MemoryStore, tmp_path: Path
) -> None:
    assert len(list(reader.calls())) == 1200
    assert [entry.count for entry in entries(store, tmp_path)] == [1000, 200]


def test_the_entry_is_there_before_the_first_body_is(
    reader: AuditedStore, store: MemoryStore, tmp_path: Path
) -> None:
    list(islice(reader.calls(), 1))
    assert [entry.count for entry in entries(store, tmp_path)] == [1000]


def test_one_call_read_by_its_id_is_an_entry(
    reader: AuditedStore, store: MemoryStore, tmp_path: Path
) -> None:
    assert reader.call("c000001") is not None
    assert reader.call("no such call") is None
    assert [entry.count for entry in entries(store, tmp_path)] == [1]


def test_without_a_log_nothing_can_be_read(store: MemoryStore, tmp_path: Path) -> None:
    reader = AuditedStore(store, AuditLog(tmp_path / "nowhere" / FILE, SECRET, store), "tasks")
    with pytest.raises(StorageError):
        next(reader.calls())
    with pytest.raises(StorageError):
        reader.call("c000001")


def test_documents_and_counts_are_no_reads_of_bodies(
    reader: AuditedStore, store: MemoryStore, tmp_path: Path
) -> None:
    reader.put("task", "t", {"n": 1})
    assert reader.get("task", "t") == {"n": 1}
    assert reader.documents("task") == {"t": {"n": 1}}
    reader.delete("task", "t")
    assert reader.count() == 1200
    assert reader.remove(["c000001"]) == 1
    assert not (tmp_path / FILE).exists()


def test_it_is_a_store(reader: AuditedStore) -> None:
    store: Store = reader
    store.append([])
    store.close()
