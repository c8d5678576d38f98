"""The isolation probe: a victim alone, then beside neighbours that take all they can, each within its part.

The victim is within its part both times, so a slowdown is the neighbour's doing and nothing else's. Alone and
beside take turns, so that what else happens on the machine falls on both.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.config.environment import child_environment
from offramp.core.errors import EngineError
from offramp.core.placement import EngineMemory, PlacedDevice, PlacedEngine, Placement, Role, Slice
from offramp.enforce import processes
from offramp.enforce.measured import DIMENSIONS, Interference, Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from offramp.enforce.options import Options
    from offramp.enforce.port import Confinement, LocalBackend

END_S = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How a probe is made.

    Attributes:
        device: Kind of device, as placements name it.
        cuda: Work on the GPU; on the CPU otherwise.
        index: Number of the device.
        share: The victim's share of it; the neighbours get the rest.
        neighbours: Processes of each kind of neighbour.
        seconds: Length of one measurement.
        repeats: Measurements alone, and as many beside each kind.
        memory: Bytes that victim and neighbours may hold each.
        profiles: MIG profiles of the device; the victim has the first, the neighbours the second.
        victim: What the victim does: ``decode`` or ``compute``.
        kinds: Kinds of neighbours.
    """

    device: str
    cuda: bool = False
    index: int = 0
    share: float = 0.5
    neighbours: int = 1
    seconds: float = 1.0
    repeats: int = 5
    memory: int = 8 << 30
    profiles: tuple[str, ...] = ()
    victim: str = "decode"
    kinds: tuple[str, ...] = tuple(DIMENSIONS)

    def placement(self) -> Placement:
        """Return victim and neighbour side by side on the device."""
        cut = bool(self.profiles)
        memory = EngineMemory(weights=0, adapters=0, fixed=0, kv=self.memory)
        shares = (self.share, 1.0 - self.share)
        engines = tuple(
            PlacedEngine(
                name,
                "probe",
                Role.SMALL,
                (Slice(0, share, number if cut else None),),
                memory,
                slots=1,
                context=1,
            )
            for number, (name, share) in enumerate(zip(("victim", "neighbour"), shares, strict=True))
        )
        return Placement((PlacedDevice(self.device, index=self.index, profiles=self.profiles),), engines)


def probe(
    backend: LocalBackend,
    plan: Plan,
    options: Options,
    *,
    told: Callable[[str], None] = lambda _: None,
) -> Measurement:
    """Measure how far a backend keeps a victim apart from each kind of neighbour.

    Raises:
        BadInput: The backend cannot express the probe's placement.
        EngineError: A device could not be made ready, or a load ended by itself.
    """
    placement = plan.placement()
    parts = [backend.confine(placement, engine, options) for engine in placement.engines]
    for command in backend.before(placement, options):
        processes.run(command)
    rows: list[Interference] = []
    try:
        with _load(plan.victim, plan, parts[0]) as victim:
            for kind in plan.kinds:
                rows.append(_beside(kind, plan, victim, parts[1]))
                told(f"{kind}: {rows[-1].slowdown:.2f} times slower")
    finally:
        for command in backend.after(placement, options):
            processes.run(command)
    return Measurement(backend.name, plan.device, tuple(rows), time.time())


def _beside(kind: str, plan: Plan, victim: _Load, part: Confinement) -> Interference:
    with ExitStack() as stack:
        neighbours = [stack.enter_context(_load(kind, plan, part)) for _ in range(plan.neighbours)]
        own = neighbours[0].run(plan.seconds)
        alone: list[dict[str, float]] = []
        beside: list[dict[str, float]] = []
        theirs: list[dict[str, float]] = []
        foreign: list[float] = []
        for _ in range(plan.repeats):
            alone.append(victim.run(plan.seconds))
            busy, begun = _busy_s(), time.monotonic()
            for one in neighbours:
                one.go()
            beside.append(victim.run(plan.seconds))
            stopped = [one.stop() for one in neighbours]
            ours = sum(one["cpu_s"] for one in (beside[-1], *stopped))
            foreign.append(max(0.0, _busy_s() - busy - ours) / (time.monotonic() - begun))
            theirs += stopped
    rates = [_rate(one) for one in alone]
    return Interference(
        kind,
        slowdown=statistics.median(_rate(a) / _rate(b) for a, b in zip(alone, beside, strict=True)),
        tail=statistics.median(b["p99_s"] / a["p99_s"] for a, b in zip(alone, beside, strict=True)),
        share=statistics.median(_rate(one) for one in theirs) / _rate(own),
        spread=max(rates) / min(rates),
        held=round(max(one["held"] for one in theirs)),
        foreign=0.0 if plan.cuda else statistics.median(foreign),
    )


def _busy_s() -> float:
    """Return the seconds that all processors together have worked since boot; 0 where nothing says it."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    except OSError:
        return 0.0
    user, nice, system, _, _, interrupts, soft = map(int, first[1:8])
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


def _rate(done: dict[str, float]) -> float:
    return max(done["steps"], 1.0) / max(done["seconds"], 1e-9)


class _Load:
    """A running load.

    Args:
        process: It, with pipes for its lines.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        if self._line() != "ready":
            raise EngineError("A load of the probe did not get ready.", hint="Is what it needs installed?")

    def run(self, seconds: float) -> dict[str, float]:
        """Let it work for a while."""
        self.go()
        time.sleep(seconds)
        return self.stop()

    def go(self) -> None:
        """Let it work."""
        self._say("go")

    def stop(self) -> dict[str, float]:
        """Have it stop; returns what it did."""
        self._say("stop")
        line = self._line()
        if not line:
            raise EngineError("A load of the probe ended by itself.")
        done: dict[str, float] = json.loads(line)
        return done

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise EngineError("A load of the probe ended by itself.") from error

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def _load(kind: str, plan: Plan, part: Confinement) -> Iterator[_Load]:
    device = "cuda" if plan.cuda else "cpu"
    argv = [*part.prefix, sys.executable, "-m", "offramp.enforce.load", kind, "--device", device]
    # One thread each: how many cores it may use is the part's business.
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    environment = child_environment({**dict(part.environment), **threads})
    limit = [] if not plan.cuda else ["--limit", str(plan.memory * 4)]
    with subprocess.Popen(  # noqa: S603 - our own program within the backend's part
        [*argv, *limit],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        try:
            yield _Load(process)
        finally:
            process.kill()
