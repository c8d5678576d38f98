"""Kills forked gateways and recorders at random microseconds, and counts every call in and out.

Run as a script, it prints one JSON object: ``python tests/unit/record/kill_rig.py --kills 300 --seed 1``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import mmap
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from offramp.core.call import Call
from offramp.core.errors import DiskFull, StorageError
from offramp.record.drain import Pace
from offramp.record.exchange import Exchange
from offramp.record.folder import abandoned, rings
from offramp.record.journal import Journal
from offramp.record.process import Recorder
from offramp.record.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offramp.core.json import JsonObject
    from offramp.record.parse import Parser

KEY = b"r" * 32
SPAN_S = 0.02
MOST = 4000
ACKNOWLEDGED, DROPPED = 1, 2
PACE = Pace(calls=8, size=1 << 18, commit_s=0.001, idle_s=0.001, patience_s=5.0)
SIZES = (10, 300, 300, 300, 3000, 3000, 3000, 30_000, 90_000)


class FileStore:
    """Keeps ids in one file per producer; whole groups or parts of them, as a killed disk write would."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, set[str]] = {}

    def append(self, calls: Sequence[Call]) -> None:
        if random.random() < 0.02:
            raise DiskFull("No space left, says the rig.")
        for call in calls:
            run = call.id.split("-")[0]
            path = self._folder / f"calls-{run}"
            known = self._known.get(run)
            if known is None:
                known = self._known[run] = set(ids(path))
            if call.id in known:
                continue
            with path.open("ab", buffering=0) as file:
                file.write(f"{call.id}\n".encode())
            known.add(call.id)

    def put(self, kind: str, key: str, value: JsonObject) -> None:
        draft = self._folder / f".{key}-{os.getpid()}"
        draft.write_text(json.dumps(value))
        draft.rename(self._folder / f"{kind}-{key}.json")

    def documents(self, kind: str) -> dict[str, JsonObject]:
        return {path.stem: json.loads(path.read_text()) for path in self._folder.glob(f"{kind}-*.json")}

    def close(self) -> None:
        """Nothing is open."""


def ids(path: Path) -> list[str]:
    """Read whole lines; the last may be torn, and is cut off as a store's recovery would."""
    if not path.exists():
        return []
    raw = path.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) < len(raw):
        os.truncate(path, len(whole))
    return whole.decode().split()


class Checking:
    """Stands for the parser; refuses what is not as it was put in."""

    def parse(self, exchange: Exchange) -> Call:
        if zlib.crc32(exchange.request).to_bytes(4, "big") != exchange.response:
            raise ValueError("torn")
        return Call(exchange.id, exchange.started_at, "s", "o", {}, {})


def produce(folder: Path, run: int, noted: mmap.mmap, seed: int) -> None:
    """Put exchanges in until somebody ends it, and note of each what became of it."""
    rng = random.Random(seed)
    journal = Journal.create([folder], KEY, size=2 << 20)
    for n in range(MOST):
        size = (3 << 19) if rng.random() < 0.005 else rng.choice(SIZES)
        request = rng.randbytes(16) + bytes(size)
        exchange = Exchange(request, zlib.crc32(request).to_bytes(4, "big"), 0.0, id=f"{run}-{n}")
        noted[n] = ACKNOWLEDGED if journal.put(exchange) else DROPPED
        if rng.random() < 0.1:
            time.sleep(rng.random() * 5e-4)


def consume(folder: Path, calls: Path) -> None:
    """Store what is there; the ring of a living gateway first."""
    random.seed()
    alive = [path for path in rings([folder]) if not abandoned(path)]
    writer = Writer(cast("Any", FileStore(calls)), cast("Parser", Checking()))
    with contextlib.suppress(StorageError):  # it was removed a moment ago
        recorder = Recorder(writer, [folder], KEY, own=alive[-1] if alive else None, pace=PACE)
        recorder.run()
        recorder.close()


@dataclass
class Count:
    """What went in and what came out."""

    kills: int = 0
    producers: int = 0
    recorders: int = 0
    acknowledged: int = 0
    stored: int = 0
    duplicated: int = 0
    lost: int = 0
    invented: int = 0
    dropped: int = 0
    failed: int = 0
    crashed: int = 0
    left: list[str] = field(default_factory=list)


class Rig:
    """One gateway and one recorder at a time, killed again and again.

    Args:
        kills: How often.
        seed: Of every random draw but the scheduler's.
    """

    def __init__(self, kills: int, seed: int) -> None:
        self._kills = kills
        self._rng = random.Random(seed)
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self._folder = Path(tempfile.mkdtemp(prefix="offramp-kill-", dir=memory))
        self._rings, self._calls = self._folder / "rings", self._folder / "calls"
        self._calls.mkdir()
        self._noted: list[mmap.mmap] = []
        self._count = Count()
        self._producer = self._recorder = 0

    def run(self) -> Count:
        """Kill, then let a last recorder store what is left, and count."""
        try:
            while self._count.kills < self._kills:
                self._keep_both()
                time.sleep(self._rng.random() * SPAN_S)
                victims = self._rng.choice(("producer", "recorder", "both"))
                if victims != "recorder":
                    self._producer = self._kill(self._producer)
                if victims != "producer":
                    self._recorder = self._kill(self._recorder)
            self._producer = self._kill(self._producer)
            self._recorder = self._kill(self._recorder)
            self._reap(self._fork(lambda: consume(self._rings, self._calls)))
            return self._counted()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _keep_both(self) -> None:
        for name in ("_producer", "_recorder"):
            process = getattr(self, name)
            if process and os.waitpid(process, os.WNOHANG) != (0, 0):
                setattr(self, name, 0)
        if not self._producer:
            run, noted = len(self._noted), mmap.mmap(-1, MOST)
            self._noted.append(noted)
            seed = self._rng.random().hex()
            self._producer = self._fork(lambda: produce(self._rings, run, noted, zlib.crc32(seed.encode())))
            self._count.producers += 1
        if not self._recorder:
            self._recorder = self._fork(lambda: consume(self._rings, self._calls))
            self._count.recorders += 1

    def _fork(self, act: Callable[[], None]) -> int:
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            act()
            code = 0
        except BaseException:  # noqa: BLE001 - the edge of a process
            traceback.print_exc()
        os._exit(code)

    def _kill(self, process: int) -> int:
        if process:
            os.kill(process, signal.SIGKILL)
            self._count.kills += 1
            self._reap(process)
        return 0

    def _reap(self, process: int) -> None:
        _, status = os.waitpid(process, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            self._count.crashed += 1

    def _counted(self) -> Count:
        count = self._count
        for run, noted in enumerate(self._noted):
            stored = Counter(ids(self._calls / f"calls-{run}"))
            fates = {f"{run}-{n}": noted[n] for n in range(MOST) if noted[n]}
            after = f"{run}-{len(fates)}"  # put, and killed before that was noted
            acknowledged = {name for name, fate in fates.items() if fate == ACKNOWLEDGED}
            count.acknowledged += len(acknowledged)
            count.dropped += len(fates) - len(acknowledged)
            count.stored += len(stored)
            count.duplicated += sum(stored.values()) - len(stored)
            count.lost += len(acknowledged - stored.keys())
            count.invented += len(stored.keys() - acknowledged - {after})
        losses = FileStore(self._calls).documents("recording").values()
        count.failed = sum(int(row["failed"]) for row in losses)
        count.left = sorted(path.name for path in self._rings.glob("*") if not path.suffix)
        return count


def main() -> None:
    """Run the rig and print what it counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    count = Rig(options.kills, options.seed).run()
    sys.stdout.write(json.dumps(vars(count)) + "\n")


if __name__ == "__main__":
    main()
