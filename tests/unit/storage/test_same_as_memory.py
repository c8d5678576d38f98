"""Whatever is done in whatever order: the store holds what the one in memory holds."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from offramp.core.call import Call, Dialect
from offramp.storage.crypto import create_key, load_key
from offramp.storage.port import Retention
from offramp.storage.sqlite import SqliteStore
from offramp.testing.memory_store import MemoryStore

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

NUMBERS = st.lists(st.integers(0, 40), max_size=8)
TEXTS = st.text(max_size=300)
DAY_S = 86_400.0


def call(number: int, text: str) -> Call:
    return Call(
        f"c{number:03d}",
        number * DAY_S,
        "s",
        "o",
        {"text": text},
        {"n": number},
        dialect=Dialect.RESPONSES,
        trainable=number % 3 > 0,
    )


class SameAsMemory(RuleBasedStateMachine):
    """Two connections to one store, and the model."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.home = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        load_key(self.home / "key", create=True)
        self.model = MemoryStore()
        self.stores = [self.opened(), self.opened()]

    def opened(self) -> SqliteStore:
        return SqliteStore(self.home / "s.db", load_key(self.home / "key"), segment_bytes=1_500)

    @rule(which=st.integers(0, 1), numbers=NUMBERS, text=TEXTS)
    def append(self, which: int, numbers: list[int], text: str) -> None:
        self.stores[which].append([call(n, text) for n in numbers])
        self.model.append([call(n, text) for n in numbers])

    @rule(which=st.integers(0, 1), numbers=NUMBERS)
    def remove(self, which: int, numbers: list[int]) -> None:
        ids = [f"c{n:03d}" for n in numbers]
        assert self.stores[which].remove(ids) == self.model.remove(ids)

    @rule(which=st.integers(0, 1), days=st.integers(0, 40))
    def upkeep(self, which: int, days: int) -> None:
        now = 40 * DAY_S
        done = self.stores[which].upkeep(Retention(days), now=now)
        assert done.expired == self.model.upkeep(Retention(days), now=now).expired

    @rule(which=st.integers(0, 1))
    def rotate_key(self, which: int) -> None:
        self.stores[which].rotate_key()

    @rule()
    def rotate_master_and_open_again(self) -> None:
        self.stores[0].rotate_master(self.home / "key")
        for store in self.stores:
            store.close()
        self.stores = [self.opened(), self.opened()]

    @rule(which=st.integers(0, 1), key=st.sampled_from("abc"), value=TEXTS)
    def put(self, which: int, key: str, value: str) -> None:
        document: JsonObject = {"value": value}
        self.stores[which].put("kind", key, document)
        self.model.put("kind", key, document)

    @invariant()
    def holds_the_same(self) -> None:
        for store in self.stores:
            assert list(store.calls()) == list(self.model.calls())
            assert store.documents("kind") == self.model.documents("kind")
            assert store.lost == 0
        taken = self.stores[0].footprint()
        assert (taken.calls, taken.lost) == (self.model.count(), 0)

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        shutil.rmtree(self.home)


SameAsMemory.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestSameAsMemory = SameAsMemory.TestCase


def test_a_copy_made_while_the_store_is_in_use_opens(quick_path: Path) -> None:
    key = create_key()
    store = SqliteStore(quick_path / "home" / "s.db", key)
    store.append([call(n, "text") for n in range(10)])
    store.put("kind", "a", {"value": 1})
    (quick_path / "copy").mkdir()
    store._database.rows("VACUUM INTO ?", (str(quick_path / "copy" / "s.db"),))
    store.append([call(n, "text") for n in range(10, 20)])
    shutil.copytree(quick_path / "home" / "segments", quick_path / "copy" / "segments")
    store.close()
    copy = SqliteStore(quick_path / "copy" / "s.db", key)
    assert list(copy.calls()) == [call(n, "text") for n in range(20)]
    assert copy.get("kind", "a") == {"value": 1}
    copy.close()
