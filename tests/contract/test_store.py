"""What every store has to do, SQLite and the shipped fake alike."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest

from offramp.core.call import Call, Dialect, Usage
from offramp.storage.port import Retention
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
        dialect=Dialect.MESSAGES,
        trainable=number % 2 == 0,
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


def test_a_call_given_twice_at_once_is_kept_as_it_was_first(store: Store) -> None:
    store.append([call(1), call(1, response={"other": True})])
    assert list(store.calls()) == [call(1)]


def test_one_call_is_read_by_its_id(store: Store) -> None:
    store.append([call(n) for n in range(5)])
    assert store.call("c0003") == call(3)
    assert store.call("c0009") is None


@pytest.mark.parametrize(
    "odd", [10**30, float("inf"), -0.0, 1e-320, None, [None, True], "\ud83d", "\x00", {"": ""}, 2**63]
)
def test_odd_values_come_back_as_they_were(store: Store, odd: object) -> None:
    store.append([call(1, response={"odd": odd, "none": None})])
    assert repr(next(store.calls()).response) == repr({"odd": odd, "none": None})


def test_a_time_that_jumps_back_keeps_the_order_of_times(store: Store) -> None:
    store.append([call(1, at=1_000.0)])
    store.append([call(2, at=10.0)])
    store.append([call(3, at=1_000.0)])
    assert [c.id for c in store.calls()] == ["c0002", "c0001", "c0003"]


def test_removed_calls_are_gone_and_the_others_are_not(store: Store) -> None:
    store.append([call(n) for n in range(10)])
    assert store.remove(["c0002", "c0005", "c0099"]) == 2
    assert [c.id for c in store.calls()] == [f"c{n:04d}" for n in range(10) if n not in (2, 5)]
    assert store.call("c0002") is None
    assert store.count() == 8
    assert store.remove(["c0002"]) == 0


def test_a_removed_call_may_be_written_again(store: Store) -> None:
    store.append([call(1)])
    store.remove(["c0001"])
    store.append([call(1)])
    assert list(store.calls()) == [call(1)]


def test_upkeep_without_limits_keeps_every_call(store: Store) -> None:
    store.append([call(n) for n in range(20)])
    done = store.upkeep(now=1e12)
    assert (done.expired, done.evicted) == (0, 0)
    assert list(store.calls()) == [call(n) for n in range(20)]


def test_upkeep_removes_what_is_too_old(store: Store) -> None:
    store.append([call(n, at=n * 86_400.0) for n in range(10)])
    assert store.upkeep(Retention(days=3.0), now=9 * 86_400.0).expired == 6
    assert [c.id for c in store.calls()] == ["c0006", "c0007", "c0008", "c0009"]


def test_upkeep_with_a_clock_that_jumped_back_removes_nothing(store: Store) -> None:
    store.append([call(n, at=n * 86_400.0) for n in range(10)])
    assert store.upkeep(Retention(days=3.0), now=-1e9).expired == 0
    assert store.count() == 10


def test_upkeep_removes_the_oldest_where_there_is_too_much(store: Store) -> None:
    noise = random.Random(7)
    bodies: list[JsonObject] = [{"text": noise.randbytes(2_000).hex()} for _ in range(60)]
    store.append([call(n, response=bodies[n]) for n in range(60)])
    limit = store.footprint().total_bytes * 3 // 4
    done = store.upkeep(Retention(max_bytes=limit))
    assert 0 < done.evicted < 60
    assert done.bytes_after <= limit < done.bytes_before
    assert [c.id for c in store.calls()] == [f"c{n:04d}" for n in range(done.evicted, 60)]


def test_the_footprint_counts(store: Store) -> None:
    store.append([call(n) for n in range(9)])
    taken = store.footprint()
    assert (taken.calls, taken.lost, taken.missing) == (9, 0, ())
    assert taken.total_bytes == taken.segment_bytes + taken.index_bytes + taken.log_bytes > 0


def test_secrets_differ_by_purpose_and_stay(store: Store) -> None:
    secrets = [store.secret(purpose) for purpose in ("redact", "pseudonym", "redact")]
    assert secrets[0] == secrets[2] != secrets[1]
    assert {len(secret) for secret in secrets} == {32}


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
