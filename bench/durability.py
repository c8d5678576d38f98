"""Is a call safe once its answer's last byte was sent, and what does that cost?

Run ``python bench/durability.py [--kills N] [--real N] [--seconds S]``. It prints

- calls counted in and out while processes are killed with SIGKILL: forked gateways and recorders at random
  microseconds (``tests/unit/record/kill_rig.py``), and ``offramp serve`` with its recorder under HTTP traffic
  (``tests/flow/kill_serve.py``);
- the power-loss window: from ``Tap.put`` to the moment at which the recorder has seen its ``fsync`` done, at
  a steady rate of 2 KB calls, with the default ``record.commit_ms``;
- what ``put`` costs the gateway: best of 30 rounds over a ring whose recorder keeps up, and over one that is
  full (the call is dropped and counted);
- what the recorder costs per call, one process, a ring full of calls, after a first ring of them: reading and
  opening a record, parsing, masking, storing (compress, seal, append, fsync, index). Once with what agents
  send (system prompt and tools come again, and so does the history of the 32 KB), once with unique texts, the
  worst case; see ``bench/gateway/payloads.py``. Each answer is a text of its own, 400 characters long;
- what an idle recorder costs, and what it takes to remember an open session.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in {None, ""}:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.gateway.answers import TEXT
from bench.gateway.payloads import SESSIONS, STEPS, templates

from offramp.app import build
from offramp.config import Settings
from offramp.record.drain import Pace
from offramp.record.exchange import Exchange
from offramp.record.folder import ring_folders
from offramp.record.journal import Journal
from offramp.record.ledger import Stored
from offramp.record.parse import Parser
from offramp.record.process import Recorder, collect_seldom
from offramp.record.pseudonym import Pseudonyms
from offramp.record.session import SessionTracker
from offramp.record.tap import Tap
from offramp.record.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.app import App

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"2 KB": "2k", "32 KB": "32k"}
RATES = (100, 1000)
BACKLOG = {"2 KB": 3000, "32 KB": SESSIONS * STEPS}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "usage": {"prompt_tokens": 500, "completion_tokens": 200, "total_tokens": 700},
}


ANSWERS = TEXT.split()


class Calls:
    """Exchanges of one size, no two alike.

    Args:
        size: One of SIZES.
        unique: Whether they share nothing but system prompts and tools.
    """

    def __init__(self, size: str, *, unique: bool = False) -> None:
        self._templates = templates(SIZES[size], "gpt", stream=False, unique=unique)
        words = random.Random(size)
        self._answers = [" ".join(words.choices(ANSWERS, k=60)) for _ in range(256)]
        self._number = 0

    def next(self) -> Exchange:
        """Return another one."""
        self._number += 1
        body = self._templates[self._number % len(self._templates)].body(self._number)
        said = f"Case {self._number}: {self._answers[self._number % len(self._answers)]}"
        message = {"role": "assistant", "content": said}
        answer = json.dumps(ANSWER | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        return Exchange(body, answer.encode(), time.time(), 0.4, who="who-0123456789abcdef")


class Watch:
    """Adds up the processor time inside one function."""

    def __init__(self, act: Callable[..., Any]) -> None:
        self._act = act
        self.spent = 0.0

    def __call__(self, *arguments: Any) -> Any:
        """Do it."""
        started = time.process_time()
        try:
            return self._act(*arguments)
        finally:
            self.spent += time.process_time() - started


class WatchedWriter(Writer):
    """A writer that knows where its time went."""

    def __init__(self, app: App) -> None:
        self.masking = Watch(app.redactor.redact)
        super().__init__(app.store, Parser(self.masking, app.pseudonym_key))
        self.parsing = Watch(super().parse)
        self.storing = Watch(super().store)

    def parse(self, exchange: Exchange) -> Any:
        """Parse."""
        return self.parsing(exchange)

    def store(self, calls: Any) -> None:
        """Store."""
        self.storing(calls)


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print one aligned table."""
    widths = [max(len(row[at]) for row in [columns, *rows]) for at in range(len(columns))]
    print(f"\n{title}")
    for row in [columns, ["-" * width for width in widths], *rows]:
        cells = zip(row, widths, strict=True)
        print("  ".join(f"{c:<{w}}" if not at else f"{c:>{w}}" for at, (c, w) in enumerate(cells)).rstrip())


def count_kills(kills: int, real: int) -> int:
    """Print what went in and came out; return how many calls were lost, doubled or invented."""
    rigs = (
        ("forked", "tests/unit/record/kill_rig.py", kills),
        ("offramp serve", "tests/flow/kill_serve.py", real),
    )
    names = ("kills", "acknowledged", "stored", "duplicated", "lost", "dropped", "failed")
    rows, wrong = [], 0
    for name, rig, number in rigs:
        if not number:
            continue
        started = time.perf_counter()
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        command = [sys.executable, str(ROOT / rig), "--kills", str(number)]
        count = json.loads(
            subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
        )
        wrong += count["lost"] + count["duplicated"] + count["failed"] + count.get("invented", 0)
        seconds = time.perf_counter() - started
        rows.append([name, *(f"{count[key]:,}" for key in names), f"{seconds:.0f} s"])
    columns = [
        "processes",
        "kills",
        "acknowledged",
        "stored",
        "twice",
        "lost",
        "counted drops",
        "failed",
        "took",
    ]
    table(
        "Calls in and out under kill -9 (stored may exceed acknowledged: put, and killed at once)",
        columns,
        rows,
    )
    return wrong


@dataclass
class Window:
    """Milliseconds from ``put`` to ``fsync`` done."""

    rate: int
    waits: list[float]
    dropped: int

    def row(self) -> list[str]:
        """Return p50, p99 and the longest."""
        ordered = sorted(self.waits)
        picked = (ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)], ordered[-1])
        return [
            f"{self.rate:,} calls/s",
            f"{len(ordered):,}",
            *(f"{value:.1f}" for value in picked),
            str(self.dropped),
        ]


async def power_loss(app: App, rate: int, seconds: float) -> Window:
    """Measure at a steady rate, through the real recorder."""
    command = [sys.executable, "-m", "offramp", "--home", str(app.settings.home), "recorder"]
    tap = Tap(command, lambda: journal_of(app, 32))
    await tap.start()
    calls = Calls("2 KB")
    put_at: list[float] = []
    waits: list[float] = []
    started = time.perf_counter()
    while len(waits) < rate * seconds:
        due = min(int((time.perf_counter() - started) * rate), int(rate * seconds))
        for _ in range(due - len(put_at)):
            tap.put(calls.next())
            put_at.append(time.perf_counter())
        written = tap.stats().written
        now = time.perf_counter()
        waits += [1e3 * (now - at) for at in put_at[len(waits) : written]]
        await asyncio.sleep(0.0005)
    stats = tap.stats()
    await tap.close()
    return Window(rate, waits, stats.dropped)


def journal_of(app: App, mebibytes: int) -> Journal:
    """Make a ring of an app's home."""
    return Journal.create(ring_folders(app.settings.home), app.store.secret("ring"), size=mebibytes << 20)


def put_cost(app: App, size: str) -> tuple[float, float]:
    """Return microseconds per put, best of 30 rounds: of a call that is taken, and of one that is dropped."""
    journal = journal_of(app, 32)
    exchanges = [Calls(size).next() for _ in range(20)]
    best = float("inf")
    for _ in range(30):
        for _ in range(5):
            started = time.perf_counter()
            for exchange in exchanges:
                journal.put(exchange)
            best = min(best, time.perf_counter() - started)
        taken, _ = journal.counts()
        journal.ring.stored.set(Stored(tail=taken.head, place=taken.place, written=taken.calls))
    dropped = dropping_cost(journal, exchanges)
    journal.discard()
    return best / len(exchanges) * 1e6, dropped / len(exchanges) * 1e6


def dropping_cost(journal: Journal, exchanges: list[Exchange]) -> float:
    """Return the seconds that it takes to drop some calls, best of 30 rounds."""
    while journal.put(exchanges[0]):
        pass
    best = float("inf")
    for _ in range(30):
        started = time.perf_counter()
        for exchange in exchanges:
            journal.put(exchange)
        best = min(best, time.perf_counter() - started)
    return best


def session_bytes(sessions: int = 50_000) -> float:
    """Return the bytes that a recorder holds for each of many open conversations."""
    tracker = SessionTracker(Pseudonyms(b"k" * 32))
    tracemalloc.start()
    for number in range(sessions):
        request = {"messages": [{"role": "user", "content": f"question {number}"}]}
        tracker.session("origin-0123456789abcdef", "", request, float(number))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / sessions


def recorder_cost(app: App, size: str, *, unique: bool) -> list[str]:
    """Drain two rings full of calls in this process, and judge by the second."""
    calls, writer = Calls(size, unique=unique), WatchedWriter(app)
    drain(app, writer, calls, BACKLOG[size])
    watches = (writer.parsing, writer.masking, writer.storing)
    for watch in watches:
        watch.spent = 0.0
    cpu, total = drain(app, writer, calls, BACKLOG[size])
    parsing, masking, storing = (watch.spent for watch in watches)
    parts = (cpu - parsing - storing, parsing - masking, masking, storing, cpu, total)
    name = f"{size}{', unique' if unique else ''}, redact {app.settings.record.redact}"
    return [name, *(f"{1e6 * part / BACKLOG[size]:.0f}" for part in parts), f"{BACKLOG[size] / total:,.0f}"]


def drain(app: App, writer: Writer, calls: Calls, number: int) -> tuple[float, float]:
    """Return the seconds, of processor and elapsed, that a recorder needs for a ring of calls."""
    journal = journal_of(app, 64)
    for _ in range(number):
        journal.put(calls.next())
    journal.close()
    recorder = Recorder(writer, ring_folders(app.settings.home), app.store.secret("ring"), pace=Pace())
    cpu, started = time.process_time(), time.perf_counter()
    recorder.run()
    return time.process_time() - cpu, time.perf_counter() - started


def idle_cost(app: App) -> list[str]:
    """Return what a recorder with nothing to do costs in five seconds, and its memory."""

    async def measured() -> tuple[float, int]:
        command = [sys.executable, "-m", "offramp", "--home", str(app.settings.home), "recorder"]
        tap = Tap(command, lambda: journal_of(app, 32))
        await tap.start()
        before = processor_s(tap.pid)
        await asyncio.sleep(5.0)
        spent = processor_s(tap.pid) - before
        resident = kilobytes_of(tap.pid)
        await tap.close()
        return spent, resident

    spent, kilobytes = asyncio.run(measured())
    return [f"{100 * spent / 5.0:.2f} % of a core", f"{kilobytes / 1024:.0f} MB"]


def kilobytes_of(pid: int | None) -> int:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])


def processor_s(pid: int | None) -> float:
    """Return the processor seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=2000, help="forked processes to kill")
    parser.add_argument("--real", type=int, default=20, help="real processes to kill")
    parser.add_argument("--seconds", type=float, default=8.0, help="at each rate")
    options = parser.parse_args()
    pgo = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    load = os.getloadavg()[0]
    build_kind = "PGO" if pgo else "not PGO"
    print(f"python {platform.python_version()} ({build_kind}), {os.cpu_count()} CPUs, load {load:.1f}")
    wrong = count_kills(options.kills, options.real)
    with tempfile.TemporaryDirectory(prefix="offramp-bench-") as folder:
        app = build(Settings(home=Path(folder).resolve()))
        windows = [asyncio.run(power_loss(app, rate, options.seconds)).row() for rate in RATES]
        title = f"Power-loss window, ms, record.commit_ms {app.settings.record.commit_ms:g}"
        table(title, ["rate", "calls", "p50", "p99", "max", "drops"], windows)
        rows = [[size, *(f"{cost:.1f}" for cost in put_cost(app, size))] for size in SIZES]
        title = "Tap.put, us per call (request of this size, answer of 1 KB)"
        table(title, ["request", "taken", "ring full"], rows)
        collect_seldom()
        kinds = [(size, unique) for unique in (False, True) for size in SIZES]
        costs = [recorder_cost(app, size, unique=unique) for size, unique in kinds]
        plain = replace(app.settings, record=replace(app.settings.record, redact="structured"))
        app.close()
        app = build(plain)
        costs += [recorder_cost(app, size, unique=unique) for size, unique in kinds]
        columns = ["request", "read", "parse", "mask", "store", "all", "elapsed", "calls/s"]
        table(
            "Recorder, us of processor per call (elapsed: with waits for the disk and for other processes)",
            columns,
            costs,
        )
        idle = [*idle_cost(app), f"{session_bytes():.0f} bytes"]
        table("Idle recorder", ["processor", "memory", "an open session"], [idle])
        app.close()
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
