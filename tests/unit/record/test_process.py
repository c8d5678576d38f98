"""The recorder in a thread, with a ring in shared memory and stores that fail."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import pytest
from tests.unit.record.rigs import KEY, NotingStore, Recording, exchange, files, memory_folder, picky, until

from offramp.core.errors import DiskFull, StorageError, WrongKey
from offramp.record.drain import Pace
from offramp.record.journal import Journal
from offramp.record.parse import Parser
from offramp.record.process import Recorder
from offramp.record.ring import HEADER, Ring
from offramp.record.stats import TapStats, losses, read_stats, stats_of
from offramp.record.writer import Report, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store() -> NotingStore:
    return NotingStore()


@pytest.fixture
def folder() -> Iterator[Path]:
    made = memory_folder()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def recording(folder: Path, store: NotingStore) -> Iterator[Recording]:
    made = Recording(folder, store)
    yield made
    made.end()
    made.journal.close()


def stats(recording: Recording) -> TapStats:
    return stats_of(recording.journal.ring)


def test_exchanges_become_stored_calls(recording: Recording, store: NotingStore) -> None:
    assert recording.start() == Report(ready=True)
    ids = recording.put("a", "b", "c")
    recording.settle()
    assert [call.id for call in sorted(store.calls(), key=lambda call: call.id)] == sorted(ids)


def test_groups_are_small(recording: Recording, store: NotingStore) -> None:
    recording.put(*map(str, range(21)))
    recording.start()
    recording.settle()
    assert max(store.groups) == 4
    assert sum(store.groups) == 21


def test_an_exchange_that_cannot_be_parsed_is_counted_and_costs_no_other(recording: Recording) -> None:
    recording.put("a", "poison", "b")
    recording.start()
    recording.settle()
    assert (stats(recording).written, stats(recording).failed) == (2, 1)


def test_no_trouble_quotes_an_exchange(recording: Recording, caplog: pytest.LogCaptureFixture) -> None:
    recording.put("poison")
    recording.start()
    recording.settle()
    assert stats(recording).error == "An exchange could not be parsed (RuntimeError)."
    assert "the text was" not in caplog.text


def test_while_the_disk_is_full_calls_wait_and_the_state_says_so(
    recording: Recording, store: NotingStore
) -> None:
    store.trouble = DiskFull("No space left.")
    recording.start()
    recording.put("a", "b")
    until(lambda: stats(recording).stalled)
    during = stats(recording)
    store.trouble = None
    recording.settle()
    after = stats(recording)
    assert (during.waiting, during.failed, during.error) == (2, 0, "No space left.")
    assert during.lag_s > 0
    assert (after.written, after.failed, after.stalled, after.lag_s) == (2, 0, False, 0.0)


def test_a_store_that_is_locked_for_long_costs_nothing(recording: Recording, store: NotingStore) -> None:
    store.trouble = StorageError("Another process holds the store.")
    recording.start()
    recording.put("a")
    until(lambda: stats(recording).stalled)
    time.sleep(1.0)  # several tries
    store.trouble = None
    recording.settle()
    assert (stats(recording).written, stats(recording).failed) == (1, 0)


@pytest.mark.parametrize("trouble", [StorageError("too large"), ValueError("too large")])
def test_a_call_that_a_working_store_refuses_is_counted_and_costs_no_other(
    recording: Recording, store: NotingStore, trouble: Exception
) -> None:
    store.bad_call = trouble
    recording.put("a", "bad", "b")
    recording.start()
    recording.settle()
    assert (stats(recording).written, stats(recording).failed) == (2, 1)
    assert "could not be stored" in stats(recording).error


def test_the_ring_is_emptied_and_removed_at_the_end(
    recording: Recording, store: NotingStore, folder: Path
) -> None:
    recording.put(*map(str, range(30)))
    recording.start()
    recording.end()
    assert store.count() == 30
    assert store.closed
    assert recording.codes == [0]
    assert files(folder) == []


def test_a_gateway_that_vanishes_takes_nothing_along(
    recording: Recording, store: NotingStore, folder: Path
) -> None:
    recording.put(*map(str, range(30)))
    recording.start()
    recording.vanish()
    recording.thread.join(20)
    assert store.count() == 30
    assert files(folder) == []


def test_a_recorder_without_a_gateway_does_not_wait_for_ever(
    recording: Recording, store: NotingStore, folder: Path
) -> None:
    store.trouble = DiskFull("No space left.")
    recording.put("a")
    recording.start()
    recording.vanish()
    recording.thread.join(20)
    assert recording.codes == [0]
    assert read_stats([folder]).waiting == 1


def test_what_a_gateway_left_is_stored_by_the_next(
    recording: Recording, store: NotingStore, folder: Path
) -> None:
    left = recording.put("a", "b")
    recording.vanish()
    seen = read_stats([folder])
    following = Recording(folder, store)
    following.start()
    own = following.put("c")
    until(lambda: store.count() == 3)
    following.end()
    following.journal.close()
    assert (seen.taken, seen.waiting) == (2, 2)
    assert "gateway that is gone" in seen.error
    assert {call.id for call in store.calls()} == {*left, *own}
    assert files(folder) == []


def test_a_recorder_alone_stores_what_was_left_and_ends(
    recording: Recording, store: NotingStore, folder: Path
) -> None:
    recording.put("a", "b")
    recording.vanish()
    recorder = Recorder(Writer(store, Parser(picky, b"k" * 32)), [folder], KEY)
    recorder.run()
    recorder.close()
    assert store.count() == 2
    assert files(folder) == []


def test_the_ring_of_a_living_gateway_is_left_alone(
    recording: Recording, store: NotingStore, folder: Path
) -> None:
    recording.put("a")
    recorder = Recorder(Writer(store, Parser(picky, b"k" * 32)), [folder], KEY)
    recorder.run()
    recorder.close()
    assert store.count() == 0
    assert stats(recording).waiting == 1


def test_one_ring_has_one_reader(recording: Recording, store: NotingStore) -> None:
    recording.start()
    writer = Writer(store, Parser(picky, b"k" * 32))
    recorder = Recorder(writer, [recording.folder], KEY)
    recorder.run()
    recorder.close()
    recording.put("a")
    recording.settle()
    assert stats(recording).written == 1


def test_a_recorder_goes_on_where_the_one_before_was(recording: Recording, store: NotingStore) -> None:
    recording.start()
    first = recording.put("a", "b")
    recording.settle()
    store.trouble = DiskFull("No space left.")
    second = recording.put("c", "d")
    recording.pause()
    store.trouble = None
    recording.start()
    recording.settle()
    assert store.appended == [*first, *second]


def test_clocks_that_jump_change_nothing(
    recording: Recording, store: NotingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1e9]
    monkeypatch.setattr(time, "time", lambda: now[0])
    recording.start()
    for jump in (0.0, 1e9, -1.9e9):
        now[0] += jump
        recording.put("a", "b", "c")
        recording.settle()
    assert store.count() == 9
    assert stats(recording).lag_s == 0.0


@pytest.mark.parametrize("wreck", ["key", "foreign", "cut", "version"])
def test_a_ring_that_cannot_be_read_is_told_and_left_where_it_is(
    recording: Recording, store: NotingStore, folder: Path, wreck: str, caplog: pytest.LogCaptureFixture
) -> None:
    recording.put("a")
    recording.vanish()
    key = b"?" * 32 if wreck == "key" else KEY
    with recording.path.open("r+b") as file:
        if wreck == "foreign":
            file.write(b"anything else")
        if wreck == "version":
            file.write(b"OFFRING9")
        if wreck == "cut":
            file.truncate(HEADER + 100)
    recorder = Recorder(Writer(store, Parser(picky, b"k" * 32)), [folder], key)
    recorder.run()
    recorder.close()
    words = {
        "key": "does not open",
        "foreign": "is no ring",
        "cut": "cut short",
        "version": "Another version",
    }
    assert words[wreck] in caplog.text
    assert recording.path.exists()
    assert store.count() == 0


def test_a_recorder_whose_own_ring_has_another_key_fails_closed(
    recording: Recording, store: NotingStore
) -> None:
    def open_recorder() -> Recorder:
        writer = Writer(store, Parser(picky, b"k" * 32))
        return Recorder(writer, [recording.folder], b"?" * 32, own=recording.path)

    report = recording.start(open_recorder)
    assert (report.ready, report.kind) == (False, "WrongKey")
    recording.thread.join(20)
    assert recording.codes == [3]


def test_a_store_that_does_not_open_is_reported_with_its_kind(recording: Recording) -> None:
    def refuse() -> Recorder:
        raise WrongKey("The key does not open this store.")

    report = recording.start(refuse)
    assert report == Report(error="The key does not open this store.", kind="WrongKey")


def test_losses_outlive_the_ring_and_are_told_by_the_next(folder: Path, store: NotingStore) -> None:
    first = Recording(folder, store, size=2 << 20)
    for _ in range(60):
        first.put("x" * 50_000)
    first.put("poison")
    dropped = stats(first).dropped
    first.start()
    first.settle()
    first.end()
    first.journal.close()
    second = Recording(folder, store)
    second.start()
    told = read_stats([folder])
    second.end()
    second.journal.close()
    assert dropped > 0
    assert (losses(store).dropped, losses(store).failed) == (dropped, 1)
    assert told.earlier_losses == dropped + 1
    assert told.lost == dropped + 1


def test_a_group_waits_for_others_but_not_longer_than_it_may(folder: Path, store: NotingStore) -> None:
    recording = Recording(folder, store, pace=Pace(calls=100, commit_s=0.3))
    recording.start()
    for n in range(10):
        recording.put(str(n))
        time.sleep(0.005)
    recording.settle()
    recording.end()
    recording.journal.close()
    assert len(store.groups) < 5


def test_writing_in_this_process_reports_the_same(store: NotingStore) -> None:
    writer = Writer(store, Parser(picky, b"k" * 32))
    report = writer.write([exchange(), exchange("poison")])
    assert report == Report(written=1, failed=1, error="An exchange could not be parsed (RuntimeError).")


def test_the_same_exchange_written_twice_is_stored_once(store: NotingStore) -> None:
    writer = Writer(store, Parser(picky, b"k" * 32))
    one = exchange()
    writer.write([one])
    writer.write([one])
    assert store.count() == 1


def test_a_full_store_is_reported(store: NotingStore) -> None:
    store.trouble = DiskFull("No space left.")
    writer = Writer(store, Parser(picky, b"k" * 32))
    assert writer.write([exchange()]) == Report(failed=1, error="No space left.")


def test_what_is_no_report_is_refused() -> None:
    for line in (b"", b"[]", b'{"x": 1}', b"ready"):
        with pytest.raises(ValueError, match="no report"):
            Report.decode(line)


def test_two_gateways_of_one_home_have_a_ring_each(folder: Path, store: NotingStore) -> None:
    one, two = Recording(folder, store), Recording(folder, store)
    one.start()
    two.start()
    ids = [*one.put("a"), *two.put("b")]
    one.settle()
    two.settle()
    total = read_stats([folder])
    for each in (one, two):
        each.end()
        each.journal.close()
    assert (total.taken, total.written) == (2, 2)
    assert {call.id for call in store.calls()} == set(ids)


def test_counts_are_read_without_a_key(recording: Recording, folder: Path) -> None:
    recording.put("a")
    ring = Ring(recording.path, writable=False)
    found = stats_of(ring)
    ring.close()
    assert (found.taken, found.waiting) == (1, 1)
    assert isinstance(recording.journal, Journal)
