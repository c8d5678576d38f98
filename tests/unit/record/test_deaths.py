"""What the recorder does with the record at which its predecessors died."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from tests.unit.record.rigs import KEY, NotingStore, Recording, memory_folder, picky

from offramp.record.parse import Parser
from offramp.record.process import Recorder
from offramp.record.ring import Ring
from offramp.record.stats import losses
from offramp.record.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARSING, STORING = 1, 2


@pytest.fixture
def folder() -> Iterator[Path]:
    made = memory_folder()
    yield made
    shutil.rmtree(made, ignore_errors=True)


def die(path: Path, danger: int, times: int) -> None:
    """Do to a ring what recorders do that die at its first record."""
    for _ in range(times):
        ring = Ring(path)
        ring.inquest()
        ring.enter(danger)
        ring.close()


def drained(folder: Path) -> NotingStore:
    store = NotingStore()
    recorder = Recorder(Writer(store, Parser(picky, b"k" * 32)), [folder], KEY)
    recorder.run()
    recorder.close()
    return store


def left(folder: Path, *texts: str) -> tuple[Path, list[str]]:
    recording = Recording(folder, NotingStore())
    ids = recording.put(*texts)
    recording.vanish()
    return recording.path, ids


def test_a_record_that_only_was_there_when_the_recorder_was_killed_is_stored(folder: Path) -> None:
    path, ids = left(folder, "a", "b", "c")
    die(path, PARSING, 5)
    assert drained(folder).appended == ids


def test_a_group_that_killed_twice_is_stored_one_by_one(folder: Path) -> None:
    path, ids = left(folder, "a", "b", "c")
    die(path, STORING, 2)
    store = drained(folder)
    assert store.appended == ids
    assert store.groups == [1, 2]


def test_a_record_that_kills_whenever_it_is_stored_is_left_out_in_the_end(folder: Path) -> None:
    path, ids = left(folder, "a", "b", "c")
    die(path, STORING, 8)
    store = drained(folder)
    assert store.appended == ids[1:]
    assert losses(store).failed == 1


def test_deaths_elsewhere_are_not_held_against_a_record(folder: Path) -> None:
    path, ids = left(folder, "a", "b", "c")
    die(path, STORING, 7)
    die(path, STORING + 1024, 1)
    die(path, STORING, 1)
    assert drained(folder).appended == ids
