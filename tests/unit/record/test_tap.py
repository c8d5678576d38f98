"""The tap with a real recorder process and a real store."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.unit.record.rigs import small_memory

import offramp
from offramp.core.errors import StorageError, WrongKey
from offramp.record.exchange import Exchange
from offramp.record.journal import Journal
from offramp.record.parse import Parser
from offramp.record.pseudonym import Pseudonyms, who_asked
from offramp.record.tap import DirectTap, Tap, TapStats
from offramp.record.writer import Writer
from offramp.redact import Redactor
from offramp.storage.crypto import derive_key, load_key
from offramp.storage.sqlite import SqliteStore
from offramp.testing.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from offramp.core.json import JsonObject

SOURCE = Path(offramp.__file__).parents[1]
CHILD = Path(__file__).with_name("recorder_child.py")
CANARIES = (
    "canary.person@acme.com",
    "sk-proj-canary1canary2canary3",
    "canary-user-77",
    "canary0token1canary2token3",
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    load_key(tmp_path / "home" / "key", create=True)
    return tmp_path / "home"


def command(home: Path, *more: str) -> list[str]:
    return [
        "/usr/bin/env",
        f"PYTHONPATH={SOURCE}",
        sys.executable,
        str(CHILD),
        str(home / "offramp.db"),
        str(home / "key"),
        *more,
    ]


def recording(home: Path, *more: str, size: int = 4 << 20, rings: Path | None = None) -> Tap:
    key = derive_key(load_key(home / "key"), "ring")
    return Tap(command(home, *more), lambda: Journal.create([rings or home / "ring"], key, size=size))


def rings_of(home: Path) -> list[Path]:
    return sorted((home / "ring").iterdir()) if (home / "ring").exists() else []


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.01)


@pytest.fixture
async def tap(home: Path) -> AsyncIterator[Tap]:
    started = recording(home)
    await started.start()
    yield started
    await started.close()


def stored(home: Path) -> SqliteStore:
    return SqliteStore(home / "offramp.db", load_key(home / "key"))


def bytes_of(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


def exchange(text: str = "hi") -> Exchange:
    request = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return Exchange(json.dumps(request).encode(), b'{"choices":[]}', 0.0)


def canaries() -> Exchange:
    email, key, user, token = CANARIES
    pseudonyms = Pseudonyms(b"k" * 32)
    request = {
        "user": user,
        "metadata": {"user_id": user},
        "messages": [{"role": "user", "content": f"I am {email}, my key is {key}"}],
    }
    arguments = json.dumps({"to": email, "note": f"Bearer {token}"})
    pieces = [arguments[:15], arguments[15:40], arguments[40:]]
    chunks: list[JsonObject] = [
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": p}}]}}]} for p in pieces
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    stream = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return Exchange(
        json.dumps(request).encode(),
        stream.encode(),
        1000.0,
        content_type="text/event-stream",
        stream=True,
        who=who_asked(pseudonyms, f"Bearer {token}", user),
        run=pseudonyms.of("run", user),
    )


async def test_canaries_reach_no_file_and_no_stored_call(tap: Tap, home: Path) -> None:
    tap.put(canaries())
    await tap.flush()
    raw = bytes_of(home)
    with_store = stored(home)
    (call,) = with_store.calls()
    with_store.close()
    for canary in CANARIES:
        assert canary.encode() not in raw
        assert canary not in repr(call)


async def test_what_was_copied_from_request_to_response_is_still_a_copy(tap: Tap, home: Path) -> None:
    tap.put(canaries())
    await tap.flush()
    with_store = stored(home)
    (call,) = with_store.calls()
    with_store.close()
    address = json.loads(call.response["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])[
        "to"
    ]
    assert address.endswith("@example.org")
    assert address in call.request["messages"][0]["content"]


async def test_flush_waits_for_everything_put_before(tap: Tap, home: Path) -> None:
    for n in range(500):
        tap.put(exchange(str(n)))
    await tap.flush()
    assert tap.stats() == TapStats(taken=500, written=500)
    with_store = stored(home)
    assert with_store.count() == 500
    with_store.close()


async def test_flushing_an_idle_tap_returns(tap: Tap) -> None:
    await tap.flush()
    assert tap.stats() == TapStats()


async def test_closing_writes_what_was_put(home: Path) -> None:
    tap = recording(home)
    await tap.start()
    for _ in range(100):
        tap.put(exchange())
    await tap.close()
    await tap.close()
    assert tap.stats() == TapStats(taken=100, written=100)
    assert tap.pid is None


async def test_what_comes_after_closing_is_dropped_and_counted(home: Path) -> None:
    tap = recording(home)
    await tap.start()
    await tap.close()
    tap.put(exchange())
    assert tap.stats().dropped == 1


async def test_what_comes_before_the_start_is_dropped_and_counted(home: Path) -> None:
    tap = recording(home)
    tap.put(exchange())
    assert tap.stats().dropped == 1


async def test_what_finds_no_room_is_dropped_and_counted(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tap = recording(home, size=2 << 20)
    await tap.start()
    assert tap.pid is not None
    os.kill(tap.pid, signal.SIGSTOP)
    for _ in range(100):
        tap.put(exchange("x" * 50_000))
    full = tap.stats()
    os.kill(tap.pid, signal.SIGCONT)
    await tap.flush()
    tap.put(exchange())
    await tap.close()
    assert full.taken + full.dropped == 100
    assert full.taken > 30
    assert full.dropped_bytes > full.dropped * 50_000
    assert tap.stats().written == full.taken + 1
    assert [record.message for record in caplog.records if record.name == "offramp.record"] == [
        "Calls go unrecorded: the ring is full, the recorder is behind"
    ]


async def test_a_wrong_key_fails_closed(tap: Tap, home: Path) -> None:
    await tap.flush()
    await tap.close()
    (home / "key").unlink()
    load_key(home / "key", create=True)
    other = recording(home)
    with pytest.raises(WrongKey, match="does not open this store"):
        await other.start()
    other.put(exchange())
    assert other.stats().dropped == 1
    assert "does not open this store" in other.stats().error
    await other.close()
    assert rings_of(home) == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [(["/nowhere/recorder"], "cannot be started"), (["/bin/true"], "before it was ready")],
)
async def test_a_recorder_that_does_not_start_is_told(home: Path, argv: list[str], message: str) -> None:
    tap = Tap(argv, lambda: Journal.create([home / "ring"], b"k" * 32, size=2 << 20))
    with pytest.raises(StorageError, match=message):
        await tap.start()
    await tap.close()


async def test_a_killed_recorder_is_started_again_and_nothing_is_lost(tap: Tap, home: Path) -> None:
    for _ in range(50):
        tap.put(exchange())
    await tap.flush()
    assert tap.pid is not None
    os.kill(tap.pid, signal.SIGKILL)
    for _ in range(50):
        tap.put(exchange())
    await tap.flush()
    stats = tap.stats()
    assert (stats.written, stats.failed, stats.dropped, stats.restarts) == (100, 0, 0, 1)
    assert "ended with code -9" in stats.error
    with_store = stored(home)
    assert with_store.count() == 100
    with_store.close()


async def test_a_recorder_that_cannot_be_started_is_tried_until_it_can(tap: Tap, home: Path) -> None:
    assert tap.pid is not None
    (home / "key").rename(home / "elsewhere")
    os.kill(tap.pid, signal.SIGKILL)
    tap.put(exchange())
    await until(lambda: "There is no key file" in tap.stats().error)
    meanwhile = tap.stats()
    (home / "elsewhere").rename(home / "key")
    await tap.flush()
    assert (meanwhile.waiting, meanwhile.stalled, tap.pid is None) == (1, True, False)
    assert (tap.stats().written, tap.stats().failed, tap.stats().stalled) == (1, 0, False)


async def test_an_exchange_that_kills_its_recorder_is_left_out_alone(tap: Tap, home: Path) -> None:
    tap.put(exchange("before"))
    tap.put(exchange("deadly"))
    tap.put(exchange("after"))
    await tap.flush()
    stats = tap.stats()
    assert (stats.written, stats.failed, stats.restarts) == (2, 1, 1)
    assert "ends the recorder" in stats.error


async def test_calls_wait_in_the_ring_while_the_disk_is_full(home: Path) -> None:
    tap = recording(home, "150000")
    await tap.start()
    for n in range(64):
        tap.put(exchange(random.Random(n).randbytes(3000).hex()))
    await until(lambda: tap.stats().stalled)
    stats = tap.stats()
    assert "150000 bytes" in stats.error
    assert (stats.failed, stats.dropped) == (0, 0)
    assert stats.waiting > 0
    await tap.close(timeout_s=0.1)
    left = tap.stats().waiting
    assert left > 0
    again = recording(home)
    await again.start()
    await until(lambda: len(rings_of(home)) == 2)
    await again.close()
    with_store = stored(home)
    assert with_store.count() == 64
    with_store.close()


async def test_a_disk_that_is_full_for_a_while_costs_nothing(tmp_path: Path) -> None:
    home = tmp_path / "disk"
    home.mkdir()
    with small_memory(home, "8m"):
        load_key(home / "key", create=True)
        tap = recording(home, rings=tmp_path / "ring")
        await tap.start()
        filler = home / "filler"
        with contextlib.suppress(OSError):
            filler.write_bytes(bytes(16 << 20))
        for n in range(20):
            tap.put(exchange(random.Random(n).randbytes(30_000).hex()))
        await until(lambda: tap.stats().stalled)
        stalled = tap.stats()
        filler.unlink()
        await tap.flush()
        stats = tap.stats()
        await tap.close()
        with_store = stored(home)
        count = with_store.count()
        with_store.close()
    assert "No space left" in stalled.error
    assert (stats.written, stats.failed, stats.dropped, count) == (20, 0, 0, 20)


async def test_a_database_that_another_process_locks_costs_nothing(tap: Tap, home: Path) -> None:
    other = sqlite3.connect(home / "offramp.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tap.put(exchange())
    await asyncio.sleep(0.5)
    during = tap.stats()
    other.execute("ROLLBACK")
    other.close()
    await tap.flush()
    assert during.waiting == 1
    assert (tap.stats().written, tap.stats().failed) == (1, 0)


async def test_signals_to_a_terminal_do_not_reach_the_recorder(tap: Tap) -> None:
    assert tap.pid is not None
    assert os.getpgid(tap.pid) != os.getpgid(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(tap.pid, number)
    tap.put(exchange())
    await tap.flush()
    assert tap.stats() == TapStats(taken=1, written=1)


async def test_a_recorder_that_hangs_is_ended_and_its_calls_stay(home: Path) -> None:
    tap = recording(home)
    await tap.start()
    assert tap.pid is not None
    os.kill(tap.pid, signal.SIGSTOP)
    tap.put(exchange())
    await tap.close(timeout_s=0.1)
    assert (tap.stats().waiting, tap.stats().failed) == (1, 0)
    assert "did not end" in tap.stats().error
    again = recording(home)
    await again.start()
    await until(lambda: rings_of(home)[0].name == again._journal.ring.path.name)  # type: ignore[union-attr]
    await again.close()
    with_store = stored(home)
    assert with_store.count() == 1
    with_store.close()


async def test_an_exchange_that_cannot_be_sent_is_counted(tap: Tap) -> None:
    tap.put(Exchange(b"{}", b"{}", 0.0, meta={"strange": object()}))
    tap.put(exchange())
    await tap.flush()
    assert (tap.stats().written, tap.stats().failed) == (1, 1)


def test_a_direct_tap_writes_at_once() -> None:
    store = MemoryStore()
    tap = DirectTap(Writer(store, Parser(Redactor(b"k" * 32).redact, b"k" * 32)))
    tap.put(exchange("a@b.co"))
    assert tap.stats() == TapStats(taken=1, written=1)
    assert "a@b.co" not in repr(list(store.calls()))
