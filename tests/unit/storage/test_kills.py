"""Processes that write are killed at random moments; every call in and out is counted.

``OFFRAMP_TEST_KILLS=5000 pytest tests/unit/storage/test_kills.py`` for a long run.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from offramp.core.call import Call
from offramp.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = b"k" * 32
KILLS = int(os.environ.get("OFFRAMP_TEST_KILLS", "300"))
SEGMENT_BYTES = 32 << 10
LONGEST_S = 0.018

Say = "Callable[[str, list[str]], None]"


def opened(path: Path) -> SqliteStore:
    return SqliteStore(path, KEY, segment_bytes=SEGMENT_BYTES)


def call(key: str) -> Call:
    life = int(key.split("-", maxsplit=1)[0], 16)
    return Call(
        key, float(life), "s", "o", {"echo": key * 20}, {"echo": key * random.Random(key).randrange(90)}
    )


def batches(life: int, seed: random.Random) -> Iterator[list[Call]]:
    for start in itertools.count(0, 10):
        yield [call(f"{life:06x}-{start + n:05d}") for n in range(seed.randint(1, 9))]


def write(path: Path, life: int, say: Callable[[str, list[str]], None]) -> None:
    store = opened(path)
    say("ready", [])
    for batch in batches(life, random.Random(life)):
        ids = [c.id for c in batch]
        say("try", ids)
        store.append(batch)
        say("done", ids)


def write_and_tidy(path: Path, life: int, say: Callable[[str, list[str]], None]) -> None:
    seed = random.Random(life)
    store = opened(path)
    say("ready", [])
    for number, batch in enumerate(batches(life, seed)):
        ids = [c.id for c in batch]
        say("try", ids)
        store.append(batch)
        say("done", ids)
        if seed.random() < 0.3:
            say("drop", ids[:2])
            store.remove(ids[:2])
            say("dropped", ids[:2])
        if seed.random() < 0.2:
            store.upkeep()
        if number == 1 and seed.random() < 0.1:
            store.rotate_key()
        if seed.random() < 0.2:
            say("put", [str(life), str(number)])
            store.put("mark", str(life), {"n": number})
            say("kept", [str(life), str(number)])


class Ledger:
    """What children said they tried, and what they said was done."""

    def __init__(self) -> None:
        self.said: dict[str, set[str]] = {}
        self.documents: dict[str, int] = {}

    def __getitem__(self, word: str) -> set[str]:
        return self.said.setdefault(word, set())

    def read(self, text: str) -> None:
        for line in text.splitlines():
            word, *ids = line.split(" ")
            if word == "kept":
                self.documents[ids[0]] = int(ids[1])
            self[word].update(ids)

    def check(self, found: list[Call], life: int = 0) -> None:
        """Compare with the calls of one life and after."""
        ids = [c.id for c in found]
        assert len(ids) == len(set(ids))
        assert [c for c in found if c != call(c.id)] == []
        lives = f"{life:06x}"
        assert {key for key in self["done"] - self["drop"] if key >= lives} - set(ids) == set()
        assert set(ids) - self["try"] == set()
        assert set(ids) & self["dropped"] == set()


def spawn(work: Callable[..., None], path: Path, life: int) -> tuple[int, int]:
    """Fork a child that works until it is killed; return its id and where it is heard."""
    hear, speak = os.pipe()
    child = os.fork()
    if child:
        os.close(speak)
        return child, hear
    try:
        os.close(hear)
        work(path, life, lambda word, ids: os.write(speak, f"{' '.join([word, *ids])}\n".encode()))
    except BaseException as error:  # noqa: BLE001 - a forked child must not go on as a test run
        os.write(speak, f"error {type(error).__name__}:{error}\n".encode())
    os._exit(1)


def kill(child: int, hear: int, after_s: float, *, ready: bool) -> str:
    """Kill a child after some time from its start, or from the moment it has opened the store."""
    heard = os.read(hear, 6) if ready else b""
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(hear) as pipe:
        return heard.decode() + pipe.read()


def bytes_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    "work", [write, write_and_tidy], ids=["appending", "appending, removing, tidying up"]
)
def test_killed_writers_lose_nothing_and_leave_no_rubbish(tmp_path: Path, work: Callable[..., None]) -> None:
    path = tmp_path / "home" / "offramp.db"
    seed = random.Random(work.__name__)
    ledger = Ledger()
    for life in range(2, KILLS // 2 + 2, 2):
        children = [spawn(work, path, life + n) for n in range(2)]
        for child, hear in children:
            ledger.read(kill(child, hear, seed.random() * LONGEST_S, ready=seed.random() < 0.7))
        assert ledger["error"] == set()
        store = opened(path)
        ledger.check(list(store.calls(since=float(life))), life)
        store.close()
    store = opened(path)
    ledger.check(list(store.calls()))
    for key, number in ledger.documents.items():
        kept = store.get("mark", key)
        assert kept is not None
        assert kept["n"] >= number
    store.upkeep()
    ledger.check(list(store.calls()))
    assert (store.lost, store.footprint().lost) == (0, 0)
    assert len(ledger["done"]) > KILLS
    store.close()
    left = bytes_of(tmp_path)
    assert [key for key in ledger["dropped"] if key.encode() in left] == []


def test_killed_creators_leave_a_store_that_opens(tmp_path: Path) -> None:
    seed = random.Random("creators")
    for home in range(KILLS // 6):
        path = tmp_path / str(home) / "offramp.db"
        ledger = Ledger()
        children = [spawn(write, path, life) for life in range(3)]
        for child, hear in children:
            ledger.read(kill(child, hear, seed.random() * LONGEST_S / 2, ready=False))
        assert ledger["error"] == set()
        store = opened(path)
        ledger.check(list(store.calls()))
        store.close()
