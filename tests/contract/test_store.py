"""What every store has to do, SQLite and the shipped fake alike."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from offramp.core.call import Call, Usage
from offramp.storage.sqlite import SqliteStore
from offramp.testing.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from offramp.core.json import JsonObject
    from offramp.storage.port import Store


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "s.db", b"k" * 32)
    yield opened
    opened.close()


def call(number: int, *, at: float | None = None, response: JsonObject | None = None) -> Call:
    return Call(
        id=f"c{number:04d}",
        at=float(number) if at is None else at,
        session="session-1",
        origin="origin-1",
        request={"messages": [{"role": "user", "content": f"Grüße {number} \ud83d"}]},
        response=response or {"choices": []},
        status=200,
        stream=True,
        latency_s=0.25,
        usage=Usage(10, 5),
        route="s-1",
        meta={"label": "x", "n": 1},
    )


def test_a_call_comes_back_as_it_was(store: Store) -> None:
    store.append([call(1)])
    assert list(store.calls()) == [call(1)]


def test_an_empty_store_holds_nothing(store: Store) -> None:
    assert list(store.calls()) == []
    assert store.count() == 0
    assert store.get("task", "t") is None
    assert store.documents("task") == {}


def test_appending_nothing_is_fine(store: Store) -> None:
    store.append([])
    assert store.count() == 0


def test_calls_come_in_order_of_time_then_id(store: Store) -> None:
    store.append([call(3, at=1.0), call(1, at=2.0), call(2, at=1.0)])
    assert [c.id for c in store.calls()] == ["c0002", "c0003", "c0001"]


def test_since_is_inclusive(store: Store) -> None:
    store.append([call(n) for n in range(5)])
    assert [c.id for c in store.calls(since=3.0)] == ["c0003", "c0004"]


@pytest.mark.parametrize("limit", [0, 1, 150, 1000])
def test_limit_bounds_how_many_come(store: Store, limit: int) -> None:
    store.append([call(n) for n in range(200)])
    assert [c.id for c in store.calls(limit=limit)] == [f"c{n:04d}" for n in range(min(limit, 200))]


def test_count_counts_calls(store: Store) -> None:
    store.append([call(n) for n in range(7)])
    assert store.count() == 7


def test_a_call_written_again_changes_nothing(store: Store) -> None:
    store.append([call(1)])
    store.append([call(1, response={"other": True}), call(2)])
    assert list(store.calls()) == [call(1), call(2)]


def test_calls_may_be_appended_while_others_are_read(store: Store) -> None:
    store.append([call(n) for n in range(100)])
    reading = store.calls()
    first = next(reading)
    store.append([call(500)])
    assert [first.id, *(c.id for c in reading)][:100] == [f"c{n:04d}" for n in range(100)]
    assert store.count() == 101


def test_what_a_reader_changes_stays_its_own(store: Store) -> None:
    store.append([call(1)])
    next(iter(store.calls())).request["messages"].clear()
    assert list(store.calls()) == [call(1)]


def test_what_a_writer_changes_later_stays_its_own(store: Store) -> None:
    document = {"a": [1]}
    store.put("task", "t", document)
    document["a"].append(2)
    assert store.get("task", "t") == {"a": [1]}


def test_a_document_comes_back_as_it_was(store: Store) -> None:
    store.put("task", "t-1", {"name": "Größe", "n": [1, None, 2.5]})
    assert store.get("task", "t-1") == {"name": "Größe", "n": [1, None, 2.5]}


def test_putting_a_document_again_replaces_it(store: Store) -> None:
    store.put("task", "t-1", {"v": 1})
    store.put("task", "t-1", {"v": 2})
    assert store.documents("task") == {"t-1": {"v": 2}}


def test_documents_come_by_kind_in_order_of_key(store: Store) -> None:
    for key in ("b", "a", "c"):
        store.put("task", key, {"k": key})
    store.put("certificate", "a", {"k": "other"})
    assert list(store.documents("task").items()) == [(k, {"k": k}) for k in ("a", "b", "c")]


def test_a_deleted_document_is_gone_and_deleting_it_again_is_fine(store: Store) -> None:
    store.put("task", "t-1", {})
    store.delete("task", "t-1")
    store.delete("task", "t-1")
    assert store.get("task", "t-1") is None


def test_several_threads_may_write(store: Store) -> None:
    def write(start: int) -> None:
        for n in range(start, start + 20):
            store.append([call(n)])

    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count() == 60


def test_closing_twice_is_fine(store: Store) -> None:
    store.close()
    store.close()
