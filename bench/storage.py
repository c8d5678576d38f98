"""What writing, reading and tidying up cost: segments against bodies as blobs in SQLite.

Run ``python bench/storage.py [--calls N] [--folder DIR]``. Both layouts take the same calls in the same run,
in turns, with the same encryption and compression:

- segments: the store as it is; one fsync of a segment per batch, then rows in the index;
- blobs: schema version 1; three sealed bodies per call as blobs in SQLite, ``synchronous=FULL``.

A call of "2 KB" has a request of 2 KB, messages of the bundled airline traffic, and a short answer. The
figures are medians over batches; "quiet" is their tenth percentile, near what an idle machine gives. CPU
is user and system time of this process; wall includes waiting for the disk. The plain write + fsync of as
many bytes is the floor.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import shutil
import sqlite3
import tempfile
import time
import zlib
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from offramp.config.settings import ASSETS
from offramp.core.call import Call
from offramp.storage.crypto import Vault
from offramp.storage.migrations import STEPS, migrate
from offramp.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KEY = b"k" * 32


def pool() -> list[str]:
    """Return the messages of the bundled airline traffic, in order."""
    with gzip.open(ASSETS / "traffic/airline.jsonl.gz", "rt") as file:
        recorded = [json.loads(line)["request"]["messages"] for line in file]
    return [
        str(message["content"]) for messages in recorded for message in messages if message.get("content")
    ]


def make_call(texts: Sequence[str], number: int, size: int) -> Call:
    """Make a call whose request is about ``size`` bytes: recorded messages, from a place of its own on."""
    messages, left, place = [], size - 200, number * 37
    while left > 0:
        text = texts[place % len(texts)][:left]
        messages.append({"role": "user", "content": text})
        left -= len(text) + 35
        place += 1
    answer = {"role": "assistant", "content": f"label {number % 7}"}
    return Call(
        f"{size}-{number:09d}",
        float(number),
        f"session-{number // 8}",
        "origin",
        {"model": "gpt-x", "messages": messages, "temperature": 0.0},
        {"id": f"chatcmpl-{number}", "choices": [{"index": 0, "message": answer, "finish_reason": "stop"}]},
    )


class Blobs:
    """Schema version 1, as it was released."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        migrate(self._connection, STEPS[:1])
        self._vault = Vault(KEY, {1: Vault.wrap(KEY, 1)})

    def append(self, calls: Sequence[Call]) -> None:
        """Write calls in one transaction."""
        heads = [
            (c.id, c.at, c.session, c.origin, c.status, int(c.stream), c.latency_s, 0, 0, c.route)
            for c in calls
        ]
        bodies = [(c.id, *(self._seal(v, f"call/{c.id}/{f}") for f, v in self._fields(c))) for c in calls]
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(f"INSERT INTO calls VALUES ({', '.join('?' * 10)})", heads)
        self._connection.executemany("INSERT INTO bodies VALUES (?, ?, ?, ?)", bodies)
        self._connection.execute("COMMIT")

    @staticmethod
    def _fields(call: Call) -> list[tuple[str, dict[str, object]]]:
        return [("request", call.request), ("response", call.response), ("meta", call.meta)]

    def _seal(self, value: dict[str, object], context: str) -> bytes:
        return self._vault.seal(zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 1), context)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU seconds of some work."""
    started, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - busy


def quiet(times: Sequence[float]) -> float:
    """Return the tenth percentile: what it costs when other processes leave the cores alone."""
    return sorted(times)[len(times) // 10]


def floor(folder: Path, size: int) -> float:
    """Return the median seconds that a write and an fsync of some bytes take."""
    descriptor = os.open(folder / "floor", os.O_RDWR | os.O_CREAT)
    times = []
    for _ in range(30):
        started = time.perf_counter()
        os.write(descriptor, os.urandom(size))
        os.fdatasync(descriptor)
        times.append(time.perf_counter() - started)
    os.close(descriptor)
    return median(times)


def size_of(folder: Path) -> int:
    """Return the bytes of all files but the reserve."""
    return sum(
        f.stat().st_size for f in folder.rglob("*") if f.is_file() and f.name not in ("reserve", "floor")
    )


def compare(folder: Path, texts: Sequence[str], size: int, batch: int, number: int) -> None:
    """Print one line per layout for calls of one size in batches of one size."""
    (folder / "a").mkdir(parents=True)
    (folder / "b").mkdir()
    stores = {"segments": SqliteStore(folder / "a/s.db", KEY), "blobs": Blobs(folder / "b/s.db")}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in stores}
    for start in range(0, number, batch):
        calls = [make_call(texts, n, size) for n in range(start, start + batch)]
        for name, store in stores.items():
            times[name].append(measured(lambda store=store, calls=calls: store.append(calls)))
    for store in stores.values():
        store.close()
    for name, place in (("segments", "a"), ("blobs", "b")):
        walls, cpus = zip(*times[name], strict=True)
        print(
            f"| append | {size // 1024:>2} KB | {batch:>3} | {name:<8} "
            f"| {quiet(walls) / batch * 1e6:>5.0f} | {median(walls) / batch * 1e6:>5.0f} "
            f"| {quiet(cpus) / batch * 1e6:>5.0f} | {median(cpus) / batch * 1e6:>5.0f} "
            f"| {size_of(folder / place) / number:>6.0f} |"
        )
    written = size_of(folder / "a") // (number // batch)
    print(
        f"| write + fsync of as many bytes | {size // 1024:>2} KB | {batch:>3} | floor | "
        f"| {floor(folder, written) / batch * 1e6:>5.0f} | | | |"
    )


def tidy(folder: Path, texts: Sequence[str], number: int) -> None:
    """Print what reading, removing and rewriting cost per call of 2 KB."""
    store = SqliteStore(folder / "t/s.db", KEY)
    for start in range(0, number, 256):
        store.append([make_call(texts, n, 2048) for n in range(start, start + 256)])
    held = store.count()
    ids = [c.id for c in store.calls()]
    for what, calls, work in (
        ("read all in order", held, lambda: sum(1 for _ in store.calls())),
        ("read one by id", 200, lambda: [store.call(key) for key in ids[:200]]),
        ("remove every second", held // 2, lambda: store.remove(ids[::2])),
        ("upkeep: rewrite what is left", held // 2, store.upkeep),
        ("upkeep: nothing to do", 1, store.upkeep),
    ):
        wall, cpu = measured(work)
        print(
            f"| {what} | 2 KB | | segments | | {wall / calls * 1e6:>5.0f} | | {cpu / calls * 1e6:>5.0f} | |"
        )
    store.close()


def main() -> None:
    """Run the comparison and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3200)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    texts = pool()
    base = Path(tempfile.mkdtemp(dir=options.folder))
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, load {load}, us per call\n")
    print(
        "| what | call | batch | layout | wall, quiet | wall | CPU, quiet | CPU | bytes on disk |\n"
        "|---|--:|--:|---|--:|--:|--:|--:|--:|"
    )
    try:
        for size, batch in ((2048, 32), (2048, 256), (32 * 1024, 32)):
            compare(base / f"{size}-{batch}", texts, size, batch, options.calls // batch * batch)
        tidy(base, texts, options.calls)
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
