"""What the tests of the ring are made of: exchanges, stores that fail, a recorder in a thread."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from offramp.record.drain import Pace
from offramp.record.exchange import Exchange
from offramp.record.journal import Journal
from offramp.record.parse import Parser
from offramp.record.process import Recorder, serve
from offramp.record.writer import Report, Writer
from offramp.testing.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from offramp.core.call import Call
    from offramp.core.json import JsonObject

KEY = b"r" * 32
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Unchanged:
    value: Any
    counts: dict[str, int] = field(default_factory=dict)


def picky(value: Any) -> Unchanged:
    """Stands for the redactor; fails on one exchange."""
    if "poison" in json.dumps(value):
        raise RuntimeError("the text was: poison")
    return Unchanged(value)


class NotingStore(MemoryStore):
    """Notes the sizes of groups; fails as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[int] = []
        self.appended: list[str] = []
        self.trouble: Exception | None = None
        self.bad_call: Exception | None = None
        self.closed = False

    def append(self, calls: Sequence[Call]) -> None:
        if self.trouble is not None:
            raise self.trouble
        if self.bad_call is not None and any("bad" in json.dumps(call.request) for call in calls):
            raise self.bad_call
        self.groups.append(len(calls))
        self.appended += [call.id for call in calls]
        super().append(calls)

    def put(self, kind: str, key: str, value: JsonObject) -> None:
        if self.trouble is not None:
            raise self.trouble
        super().put(kind, key, value)

    def close(self) -> None:
        self.closed = True


def exchange(text: str = "hi") -> Exchange:
    return Exchange(json.dumps({"messages": [{"role": "user", "content": text}]}).encode(), b"{}", 0.0)


def memory_folder() -> Path:
    """Return a fresh folder, in shared memory where there is some."""
    return Path(
        tempfile.mkdtemp(prefix="offramp-test-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    )


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Recording:
    """A journal, and a recorder in a thread that reads it."""

    def __init__(
        self, folder: Path, store: NotingStore, *, pace: Pace | None = None, size: int = 4 << 20
    ) -> None:
        self.folder = folder
        self.store = store
        self.pace = pace or Pace(calls=4, commit_s=0.005, patience_s=0.5)
        self.journal = Journal.create([folder], KEY, size=size)
        self.path = self.journal.ring.path
        self.codes: list[int] = []
        self.ours: socket.socket | None = None

    def open_recorder(self) -> Recorder:
        writer = Writer(self.store, Parser(picky, b"k" * 32))
        return Recorder(writer, [self.folder], KEY, own=self.path, pace=self.pace)

    def start(self, open_recorder: Callable[[], Recorder] | None = None) -> Report:
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(PATIENCE_S)
        target = self._run
        self.thread = threading.Thread(target=target, args=(theirs, open_recorder or self.open_recorder))
        self.thread.start()
        return Report.decode(self.ours.recv(65536))

    def _run(self, channel: socket.socket, open_recorder: Callable[[], Recorder]) -> None:
        with channel:
            self.codes.append(serve(channel, open_recorder))

    def put(self, *texts: str) -> list[str]:
        exchanges = [exchange(text) for text in texts]
        for one in exchanges:
            self.journal.put(one)
        return [one.id for one in exchanges]

    @property
    def settled(self) -> int:
        _, stored = self.journal.counts()
        return stored.written + stored.failed

    def settle(self) -> None:
        taken, _ = self.journal.counts()
        until(lambda: self.settled >= taken.calls - taken.refused)

    def end(self) -> None:
        """Let the recorder store all, and end."""
        if self.journal.ring.descriptor >= 0:
            self.journal.end()
        if self.ours is not None:
            self.ours.close()
            self.thread.join(PATIENCE_S)
            self.ours = None

    def vanish(self) -> None:
        """Do what the kernel does for a killed gateway: let go of the ring, end the channel."""
        self.journal.close()
        if self.ours is not None:
            self.ours.close()
            self.ours = None

    def pause(self) -> None:
        """End the recorder only, as if it had been killed between two groups."""
        assert self.ours is not None
        self.ours.close()
        self.thread.join(PATIENCE_S)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@contextmanager
def small_memory(folder: Path, size: str) -> Iterator[Path]:
    """Mount a small disk; skips where that is not allowed."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
