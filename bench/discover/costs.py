"""Seconds and memory of discovery by size, and how long one assignment takes."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.discover.growth import grow

from offramp.discover.discover import discover

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.discover.traffic import Labelled

    from offramp.core.call import Call
    from offramp.discover.discover import Discovery

SEEDS_OF_GROWTH = 5_000
"""Calls that synthetic traffic grows from."""

PASSES = 3
TIMED = 5_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What one discovery took.

    Attributes:
        calls: Number of calls, synthetic.
        cpu_s: CPU seconds of discovery; those of making the calls are taken off.
        peak_mb: Largest resident size of the whole process, with the calls that others grow from.
        base_mb: Resident size before the first call was made.
        tasks: Tasks found.
        assign_us: CPU microseconds of one assignment of a known call site, 50th and 99th percentile.
    """

    calls: int
    cpu_s: float
    peak_mb: float
    base_mb: float
    tasks: int
    assign_us: tuple[float, float]


class _Making:
    """Hands calls on, and keeps apart the CPU seconds that making them took."""

    def __init__(self, calls: Iterator[Call]) -> None:
        self._calls = calls
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Call]:
        while True:
            started = time.process_time()
            call = next(self._calls, None)
            self.seconds += time.process_time() - started
            if call is None:
                return
            yield call


def measured(base: Path, calls: int) -> Cost:
    """Measure in a process of its own, so that the peak is this run's.

    Args:
        base: Pickled calls that traffic grows from: reading all files would set the peak.
        calls: How many to discover in.
    """
    command = [sys.executable, str(Path(__file__).parent), "--measure", str(calls), str(base)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return Cost(**{**found, "assign_us": tuple(found["assign_us"])})


def measure(base: Sequence[Labelled], calls: int) -> str:
    """Discover in synthetic traffic; returns :class:`Cost` as JSON."""
    gc.collect()
    before = _status_mb("VmRSS")
    making = _Making(grow(base, calls))
    started = time.process_time()
    found = discover(making)
    spent = time.process_time() - started - making.seconds
    peak = _status_mb("VmHWM")
    return json.dumps(asdict(Cost(calls, spent, peak, before, len(found.tasks), assignment(base, found))))


def assignment(base: Sequence[Labelled], found: Discovery) -> tuple[float, float]:
    """Time assignments of known call sites: the quietest of three passes."""
    assigner = found.assigner
    requests = [item.call.request for item in base if assigner.assign(item.call.request)][:TIMED]
    passes = []
    for _ in range(PASSES):
        micros = []
        for request in requests:
            # The thread's own time: on a shared machine others would set every 99th percentile.
            started = time.thread_time_ns()
            assigner.assign(request)
            micros.append((time.thread_time_ns() - started) / 1000)
        micros.sort()
        passes.append((micros[len(micros) // 2], micros[int(len(micros) * 0.99)]))
    return min(passes, key=lambda pair: pair[1])


def _status_mb(field: str) -> float:
    """Read a figure of this process: getrusage would tell its parent's peak where that is larger."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024
