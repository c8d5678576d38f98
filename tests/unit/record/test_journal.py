"""The two ends of the ring, without a process between them."""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.record.rigs import KEY, memory_folder, small_memory

from offramp.core.errors import StorageError, WrongKey
from offramp.record.backlog import Backlog
from offramp.record.exchange import Exchange, decode
from offramp.record.folder import Claim, abandoned, ring_folders, rings, sweep
from offramp.record.journal import Journal
from offramp.record.ledger import Stored
from offramp.record.ring import BLOCK, HEADER, RECORD, Ring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20


@pytest.fixture
def folder() -> Iterator[Path]:
    made = memory_folder()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    made = Journal.create([folder], KEY, size=4 * MIB)
    yield made
    made.close()


def exchange(size: int, number: int = 0) -> Exchange:
    return Exchange(random.Random(number).randbytes(size), b"answer", float(number))


def settle(ring: Ring, backlog: Backlog) -> list[Exchange]:
    """Read all there is, and move the tail behind it."""
    read = []
    while record := backlog.next():
        assert record.frame is not None
        read.append(decode(record.frame))
        ring.stored.set(Stored(tail=record.end, place=record.place, written=len(read)))
    return read


def memory_of(journal: Journal) -> int:
    return journal.ring.path.stat().st_blocks * 512


def test_what_was_put_in_comes_out(journal: Journal) -> None:
    sent = [exchange(size, size) for size in (0, 1, 7, 2000, 32_000, BLOCK - 1000)]
    assert all(map(journal.put, sent))
    assert settle(journal.ring, Backlog(journal.ring, KEY)) == sent


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 400_000), max_size=12), max_size=8))
def test_laps_lose_nothing_and_keep_the_order(laps: list[list[int]]) -> None:
    folder = memory_folder()
    try:
        journal = Journal.create([folder], KEY, size=3 * MIB)
        backlog = Backlog(journal.ring, KEY)
        for lap in laps:
            taken = [one for one in map(exchange, lap) if journal.put(one)]
            assert [one.id for one in settle(journal.ring, backlog)] == [one.id for one in taken]
        assert journal.counts()[0].dropped == 0 or max(map(sum, laps)) > MIB
        journal.close()
    finally:
        shutil.rmtree(folder)


def test_what_is_too_large_for_a_block_goes_beside_the_ring(journal: Journal, folder: Path) -> None:
    sent = [exchange(10), exchange(3 * MIB), exchange(11)]
    assert all(map(journal.put, sent))
    (beside,) = folder.glob("*.side-*")
    assert beside.stat().st_mode & 0o777 == 0o600
    assert sent[1].request[:64] not in beside.read_bytes()
    assert settle(journal.ring, Backlog(journal.ring, KEY)) == sent


def test_files_beside_the_ring_are_bounded(folder: Path) -> None:
    bounded = Journal(Ring.create(folder / "ring-1", KEY, 2), KEY, side_bytes=3 * MIB)
    assert bounded.put(exchange(2 * MIB))
    assert not bounded.put(exchange(2 * MIB))
    assert bounded.counts()[0].dropped == 1
    assert len(list(folder.glob("*.side-*"))) == 1
    bounded.close()


def test_a_full_ring_takes_again_what_fits_when_it_was_read(journal: Journal) -> None:
    while journal.put(exchange(100_000)):
        pass
    before = journal.counts()[0]
    settle(journal.ring, Backlog(journal.ring, KEY))
    assert journal.put(exchange(100_000))
    assert before.calls > 30
    assert (before.dropped, journal.counts()[0].dropped) == (1, 1)


def test_a_full_ring_looks_no_further_until_the_recorder_moves(journal: Journal) -> None:
    # Cannot be encoded, and so shows whether that was tried.
    odd = replace(exchange(100_000), meta={"x": object()})
    while journal.put(exchange(100_000)):
        pass
    full = journal.counts()[0]
    assert not journal.put(odd)
    dropped = journal.counts()[0]
    assert (dropped.dropped, dropped.refused) == (full.dropped + 1, full.refused)
    assert journal.put(exchange(1_000)), "what fits into the block at hand is taken"
    settle(journal.ring, Backlog(journal.ring, KEY))
    assert not journal.put(odd)
    assert journal.counts()[0].refused == full.refused + 1


def test_light_traffic_touches_little_memory(journal: Journal) -> None:
    backlog = Backlog(journal.ring, KEY)
    for n in range(300):
        journal.put(exchange(100_000, n))
        settle(journal.ring, backlog)
    assert memory_of(journal) <= HEADER + 2 * BLOCK


def test_memory_of_a_backlog_is_given_back(folder: Path) -> None:
    journal = Journal.create([folder], KEY, size=16 * MIB)
    while journal.put(exchange(100_000)):
        pass
    full = memory_of(journal)
    settle(journal.ring, Backlog(journal.ring, KEY))
    journal.trim()
    trimmed = memory_of(journal)
    for n in range(100):
        assert journal.put(exchange(100_000, n))
    assert len(settle(journal.ring, Backlog(journal.ring, KEY))) == 100
    journal.close()
    assert full >= 16 * MIB
    assert trimmed <= HEADER + 4 * BLOCK


def test_memory_that_runs_out_costs_counted_calls_and_not_the_process(tmp_path: Path) -> None:
    with small_memory(tmp_path, "3m") as folder:
        journal = Journal.create([folder], KEY, size=32 * MIB)
        while journal.put(exchange(50_000)):
            pass
        settled = settle(journal.ring, Backlog(journal.ring, KEY))
        assert journal.put(exchange(50_000))
        assert len(settled) > 30
        assert not journal.put(exchange(5 * MIB))
        journal.close()


def test_where_there_is_no_memory_the_next_folder_is_taken(tmp_path: Path) -> None:
    with small_memory(tmp_path, "500k") as folder:
        journal = Journal.create([folder, tmp_path.parent / "home"], KEY, size=4 * MIB)
        assert journal.ring.path.parent.name == "home"
        journal.close()


def test_a_folder_that_others_can_enter_is_not_used(folder: Path) -> None:
    folder.chmod(0o755)
    with pytest.raises(StorageError, match=r"no room for the ring .*open to others.*record.ring_folder"):
        Journal.create([folder], KEY)
    assert rings([folder]) == []


def test_a_folder_that_is_a_link_is_not_used(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(StorageError, match="open to others"):
        Journal.create([link], KEY)


def test_the_ring_is_private_and_sealed(journal: Journal) -> None:
    canary = b"canary.person@acme.com"
    journal.put(Exchange(canary, canary, 0.0, who=canary.decode()))
    assert journal.ring.path.stat().st_mode & 0o777 == 0o600
    assert canary not in journal.ring.path.read_bytes()


def test_another_key_opens_nothing(journal: Journal) -> None:
    with pytest.raises(WrongKey, match="does not open the ring"):
        Backlog(journal.ring, b"?" * 32)


def test_no_two_rings_share_a_key(folder: Path) -> None:
    one, two = (Journal.create([folder], KEY, size=2 * MIB) for _ in range(2))
    one.put(exchange(10))
    record = one.ring.view[HEADER : HEADER + 200]
    two.put(exchange(10))
    two.ring.view[HEADER : HEADER + 200] = record
    found = Backlog(two.ring, KEY).next()
    record.release()
    assert found is not None
    assert found.frame is None
    one.close()
    two.close()


def test_an_exchange_that_json_cannot_carry_is_counted_and_costs_no_other(journal: Journal) -> None:
    assert not journal.put(Exchange(b"{}", b"{}", 0.0, meta={"strange": object()}))
    assert journal.put(exchange(10))
    taken, _ = journal.counts()
    assert (taken.calls, taken.refused) == (2, 1)
    assert len(settle(journal.ring, Backlog(journal.ring, KEY))) == 1


def test_what_is_half_written_is_not_there(journal: Journal) -> None:
    journal.put(exchange(10))
    taken = journal.ring.taken.read()
    journal.put(exchange(20))
    journal.ring.taken.set(taken)  # as if it had been killed before its last store
    assert len(settle(journal.ring, Backlog(journal.ring, KEY))) == 1


@pytest.mark.parametrize("at", [0, 4, 8, 30])
def test_a_damaged_record_is_told_and_never_blocks(journal: Journal, at: int) -> None:
    for n in range(3):
        journal.put(exchange(100, n))
    journal.ring.view[HEADER + at] ^= 0xFF
    backlog = Backlog(journal.ring, KEY)
    lost = whole = 0
    while record := backlog.next():
        lost += record.calls if record.frame is None else 0
        whole += record.frame is not None
    assert lost >= 1
    assert lost + whole == 3
    assert backlog.empty


def test_a_reader_goes_on_where_the_last_one_settled(journal: Journal) -> None:
    sent = [exchange(300_000, n) for n in range(8)]
    for one in sent:
        journal.put(one)
    first = Backlog(journal.ring, KEY)
    record = [first.next() for _ in range(5)][-1]
    assert record is not None
    journal.ring.stored.set(Stored(tail=record.end, place=record.place, written=5))
    assert settle(journal.ring, Backlog(journal.ring, KEY)) == sent[5:]


def test_the_age_of_the_oldest_record_is_known_across_blocks(journal: Journal) -> None:
    assert journal.ring.oldest() == 0
    backlog = Backlog(journal.ring, KEY)
    while journal.counts()[0].place < HEADER + BLOCK:
        settle(journal.ring, backlog)
        before = journal.ring.stored.read()
        journal.put(exchange(150_000))
    since = RECORD.unpack_from(journal.ring.view, HEADER + BLOCK)[3]
    assert before.place < HEADER + BLOCK
    assert journal.ring.oldest() == since


def test_a_ring_is_abandoned_when_its_gateway_lets_go(journal: Journal) -> None:
    path = journal.ring.path
    assert not abandoned(path)
    journal.close()
    assert abandoned(path)


def test_a_claim_is_exclusive_until_it_is_released(journal: Journal) -> None:
    claim = Claim.take(journal.ring.path)
    assert claim is not None
    assert Claim.take(journal.ring.path) is None
    claim.release()
    again = Claim.take(journal.ring.path)
    assert again is not None
    again.remove()
    assert Claim.take(journal.ring.path) is None


def test_leavings_of_a_killed_start_are_swept_when_they_are_old(folder: Path) -> None:
    for name, age in (("ring-1.draft", 100), ("ring-2.reader", 100), ("ring-3.draft", 0)):
        (folder / name).touch()
        os.utime(folder / name, (folder.stat().st_mtime - age,) * 2)
    sweep([folder])
    assert [path.name for path in folder.iterdir()] == ["ring-3.draft"]


def test_every_home_has_a_folder_of_its_own(tmp_path: Path) -> None:
    one, two = ring_folders(tmp_path / "one"), ring_folders(tmp_path / "two")
    assert not set(one) & set(two)
    assert one[-1] == tmp_path / "one" / "ring"
    assert ring_folders(tmp_path, "/elsewhere")[0].as_posix() == "/elsewhere"


def test_a_reader_that_forgets_its_blocks_reads_on(journal: Journal) -> None:
    sent = [exchange(100_000, number) for number in range(20)]
    backlog = Backlog(journal.ring, KEY)
    for one in sent[:10]:
        assert journal.put(one)
    journal.ring.forget()
    for one in sent[10:]:
        assert journal.put(one)
    assert settle(journal.ring, backlog) == sent
