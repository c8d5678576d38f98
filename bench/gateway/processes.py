"""Processes of the bench: started on a core, measured as a tree, stopped.

CPU time is read from the kernel's clock of a whole process (all its threads, the ended ones too) in
nanoseconds, not in ticks of 10 ms.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PROC = Path("/proc")
_SETTLED_SHARE = 0.04
"""A tree that uses less than this share of a core has nothing left to do but its own house-keeping."""

_WINDOW_S = 0.25
_PRIORITY = 10


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory.

    Attributes:
        total: Bytes resident, sum over the processes.
        shared: Bytes of it in shared memory (counted once in every process that touched them).
    """

    total: int
    shared: int


def cores() -> tuple[int, int]:
    """Return the core of the gateways and the core of upstream and load generator."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[min(1, len(allowed) - 1)]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Pin what is started inside the block to one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Tree:
    """A process and all its descendants.

    Args:
        argv: Command line.
        core: Core that the whole tree is pinned to.
        log: File that takes standard output and standard error.
        env: Environment.
        cwd: Working directory.
    """

    def __init__(self, argv: list[str], *, core: int, log: Path, env: Mapping[str, str], cwd: Path) -> None:
        self.log = log
        with log.open("wb") as out, on_core(core):
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        self.root = self._process.pid

    @property
    def running(self) -> bool:
        """Whether the first process runs."""
        return self._process.poll() is None

    def pids(self) -> list[int]:
        """Return the processes of the tree: descendants, and those that left it but not its session."""
        parents, sessions = _relations()
        found = {self.root}
        grew = True
        while grew:
            more = {pid for pid, parent in parents.items() if parent in found or sessions[pid] == self.root}
            grew = not more <= found
            found |= more
        return sorted(pid for pid in found if pid in parents)

    def cpu_ns(self) -> dict[int, int]:
        """Return the CPU time of each process so far."""
        times: dict[int, int] = {}
        for pid in self.pids():
            with suppress(OSError):
                times[pid] = time.clock_gettime_ns(_clock_of(pid))
        return times

    def memory(self, pids: list[int] | None = None) -> Memory:
        """Return the resident memory of the tree, or of some of its processes."""
        total = shared = 0
        for pid in self.pids() if pids is None else pids:
            fields = _status(pid)
            total += fields.get("VmRSS", 0)
            shared += fields.get("RssShmem", 0)
        return Memory(total, shared)

    def settle(self, at_most_s: float = 60.0) -> bool:
        """Wait until the tree is idle, so that work after the answers is counted; say whether it was."""
        until, quiet = time.monotonic() + at_most_s, 0
        while time.monotonic() < until:
            before = self.cpu_ns()
            time.sleep(_WINDOW_S)
            used = spent_ns(before, self.cpu_ns())
            quiet = quiet + 1 if sum(used.values()) < _SETTLED_SHARE * _WINDOW_S * 1e9 else 0
            if quiet == 2:
                return True
        return False

    def prioritise(self, *, realtime: bool, first_only: bool = False) -> None:
        """Give every thread a real-time priority, or take it: neighbours must not set the p99."""
        policy, priority = (os.SCHED_FIFO, _PRIORITY) if realtime else (os.SCHED_OTHER, 0)
        for pid in [self.root] if first_only else self.pids():
            for task in (_PROC / str(pid) / "task").glob("*"):
                with suppress(OSError):
                    os.sched_setscheduler(int(task.name), policy, os.sched_param(priority))

    def tail(self, lines: int = 4) -> str:
        """Return the last lines it said."""
        said = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return " | ".join(said[-lines:])[-600:]

    def stop(self, grace_s: float = 15.0) -> None:
        """Ask the first process to end, give the others time to follow, then end whatever is left."""
        started = {pid: _started(pid) for pid in self.pids()}
        if self.running:
            self._process.terminate()
        until = time.monotonic() + grace_s
        while self._left(started) and time.monotonic() < until:
            time.sleep(0.02)
        for pid in self._left(started):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _left(self, started: Mapping[int, str]) -> list[int]:
        """Return the processes that still run; a number that was given to another process is not one."""
        self._process.poll()
        return [pid for pid, since in started.items() if since and _started(pid) == since]


def spent_ns(before: Mapping[int, int], after: Mapping[int, int]) -> dict[int, int]:
    """Return what each process used between two readings; a new one from its start."""
    return {pid: used - before.get(pid, 0) for pid, used in after.items()}


def _clock_of(pid: int) -> int:
    """Return the clock id of another process's CPU time (``clock_getcpuclockid`` of the C library)."""
    return (~pid << 3) | 2


def _relations() -> tuple[dict[int, int], dict[int, int]]:
    """Return parent and session of every process."""
    parents: dict[int, int] = {}
    sessions: dict[int, int] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            # A process that ended and was not waited for has nothing to measure.
            if fields and fields[0] != "Z":
                parents[int(entry.name)], sessions[int(entry.name)] = int(fields[1]), int(fields[3])
    return parents, sessions


def _started(pid: int) -> str:
    """Return the time that a process started, in ticks since boot; "" where it is gone."""
    fields = _stat(pid)
    return fields[19] if fields and fields[0] != "Z" else ""


def _stat(pid: int) -> list[str]:
    """Return state, parent, group, session and what follows; empty where the process is gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _status(pid: int) -> dict[str, int]:
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return {}
    split = (line.split() for line in lines)
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in split if words[-1:] == ["kB"]}
