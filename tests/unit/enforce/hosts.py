"""A host for the tests of supervision: fake engines in real processes, and whatever is left of them ended."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.unit.enforce.world import TINY

from offramp.core.placement import Adapter, PlacedDevice, PlacedEngine, Placement, Slice
from offramp.enforce import processes
from offramp.enforce.keeper import Pace
from offramp.enforce.options import Options
from offramp.enforce.state import Record, State, Wanted
from offramp.enforce.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

PACE = Pace(
    check_s=0.02,
    timeout_s=1.5,
    misses=2,
    start_s=40.0,
    drain_s=5.0,
    grace_s=5.0,
    backoff_s=0.05,
    backoff_most_s=0.2,
    attempts=3,
)
PROGRAM = (sys.executable, "-m", "offramp.testing.vllm_server")


_EPHEMERAL = 32_768
"""From here on the kernel gives ports to connections: one that was free is not, a moment later."""


def free_ports() -> Iterator[int]:
    """Yield ports in a row that nobody listens on and the kernel gives to no connection."""
    first = random.randrange(10_000, _EPHEMERAL - 2_000)
    yield from (port for port in range(first, _EPHEMERAL) if processes.port_is_free(port))


def first_of_run(count: int) -> int:
    """Return the first of so many ports in a row that are free."""
    ports = free_ports()
    run = [next(ports)]
    while len(run) < count:
        port = next(ports)
        run = [*run, port] if port == run[-1] + 1 else [port]
    return run[0]


class Host:
    """A folder with a supervised home and the fakes' orders."""

    def __init__(self, folder: Path, *, home: Path | None = None) -> None:
        self.fakes = folder / "fakes"
        self.fakes.mkdir()
        self.state = State(home or folder / "home")
        self._ports = free_ports()
        self.ports: dict[str, int] = {}

    def wanted(self, *engines: PlacedEngine, backend: str = "plain", extra: tuple[str, ...] = ()) -> Wanted:
        """Want engines, each on a port of its own, on two devices."""
        for engine in engines:
            self.ports.setdefault(engine.name, next(self._ports))
        options = Options(
            program=PROGRAM,
            extra=("--fake-folder", str(self.fakes), *extra),
            ports=tuple((engine.name, self.ports[engine.name]) for engine in engines),
        )
        devices = (PlacedDevice("l4"), PlacedDevice("l4", index=1))
        return Wanted(Placement(devices, engines), backend, options)

    def journal(self, *kinds: str) -> list[str]:
        """Return what the fakes did, as "kind name"."""
        path = self.fakes / "journal"
        lines = path.read_text().splitlines() if path.exists() else []
        done = [line.rpartition(" ")[0] for line in lines]
        return [line for line in done if not kinds or line.replace(":", " ").split()[0] in kinds]

    def say(self, engine: str, kind: str) -> Path:
        """Have a fake misbehave."""
        path = self.fakes / f"{engine}.{kind}"
        path.touch()
        return path

    def alive(self) -> dict[str, list[processes.Process]]:
        """Return the processes of this home's engines."""
        records = self.state.records()
        return processes.marked(self.state.folder, {name: one.first for name, one in records.items()})

    def supervisor(self, pace: Pace = PACE) -> Supervisor:
        """Return a supervisor of this home."""
        return Supervisor(self.state, pace)

    @contextlib.asynccontextmanager
    async def applied(
        self, wanted: Wanted, pace: Pace = PACE
    ) -> AsyncIterator[tuple[Supervisor, dict[str, Record]]]:
        """Apply, and stop watching at the end."""
        supervisor = self.supervisor(pace)
        try:
            yield supervisor, await supervisor.apply(wanted)
        finally:
            await supervisor.leave()

    def clean(self) -> None:
        """End everything that carries the mark."""
        while left := [one for some in self.alive().values() for one in some]:
            processes.send(left, signal.SIGKILL)


def engine(name: str, *adapters: str, device: int = 0, loaded: int = 1) -> PlacedEngine:
    """Return a small engine."""
    some = tuple(Adapter(one, 8, f"/adapters/{one}") for one in adapters)
    return replace(TINY, name=name, slices=(Slice(device, 0.5),), adapters=some, loaded=loaded if some else 0)


async def until(condition: Callable[[], bool], *, within_s: float = 40.0) -> None:
    """Wait for a condition that another process brings about."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)
