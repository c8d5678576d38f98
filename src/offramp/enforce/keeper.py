"""One engine kept up: started in its turn, watched, started again after a pause that grows."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offramp.core.errors import EngineError
from offramp.enforce import processes
from offramp.enforce.control import Control, drained
from offramp.enforce.state import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from offramp.enforce.diff import Launch
    from offramp.enforce.state import State

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things may take, in seconds.

    Attributes:
        check_s: Between two looks at an engine.
        timeout_s: Until an engine that does not say that it is well counts as not being so.
        misses: Looks in a row without a word, after which an engine hangs.
        start_s: Longest start.
        drain_s: Longest wait for requests in flight when an engine is stopped.
        grace_s: From the request to end to being ended.
        backoff_s: First pause before another start; it doubles.
        backoff_most_s: Longest pause.
        settled_s: After this long in health, the pause is the first one again.
        attempts: Failed starts after which it is given up; 0 goes on for ever.
    """

    check_s: float = 1.0
    timeout_s: float = 5.0
    misses: int = 3
    start_s: float = 1800.0
    drain_s: float = 60.0
    grace_s: float = 20.0
    backoff_s: float = 1.0
    backoff_most_s: float = 60.0
    settled_s: float = 60.0
    attempts: int = 0

    def pause(self, failures: int) -> float:
        """Return the pause after so many failures in a row."""
        return min(self.backoff_most_s, self.backoff_s * 2.0 ** min(failures - 1, 30))


class Keeper:
    """Keeps one engine up.

    Args:
        launch: The engine.
        state: Where its log is, and whose mark it carries.
        pace: How long things may take.
        turns: One lock per device: engines on one device start one after the other.
        adopted: What is known of it where it is running already.
        changed: Called when its record has changed.
    """

    def __init__(
        self,
        launch: Launch,
        state: State,
        pace: Pace,
        turns: Mapping[int, asyncio.Lock],
        *,
        adopted: Record | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.launch = launch
        self._state = state
        self._pace = pace
        self._turns = turns
        self._changed = changed
        self.record = adopted or Record(0, launch.command.port, launch.key, {}, "starting")
        self.settled = asyncio.Event()
        """Set once it was healthy or was given up; after its first failure, where it is never given up."""

    @property
    def name(self) -> str:
        """Name of the engine."""
        return self.launch.command.name

    async def run(self) -> None:
        """Keep it up until cancelled, or until it was given up."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            try:
                await self._start()
                since = loop.time()
                self._note(state="healthy", reason="")
                self.settled.set()
                reason = await self._watch()
                failures = 1 if loop.time() - since >= self._pace.settled_s else failures + 1
            except EngineError as error:
                reason, failures = error.message, failures + 1
            await self._end(signal.SIGKILL)
            log.warning("Engine %s: %s", self.name, reason)
            if self._pace.attempts and failures >= self._pace.attempts:
                self._note(pid=0, state="failed", reason=reason)
                self.settled.set()
                return
            if not self._pace.attempts:
                self.settled.set()
            self._note(pid=0, state="waiting", reason=reason, restarts=self.record.restarts + 1)
            await asyncio.sleep(self._pace.pause(failures))

    async def stop(self) -> None:
        """Let it finish what it has, ask it to end, and see that nothing of it is left."""
        if self.record.state == "healthy":
            async with self._control() as control:
                await drained(control, within_s=self._pace.drain_s, check_s=self._pace.check_s)
        await self._end(signal.SIGTERM)
        self._note(pid=0, state="stopped", reason="")

    async def adapt(self, *, unload: list[str], load: Mapping[str, str]) -> None:
        """Change its adapters while it runs.

        Raises:
            EngineError: It refused one; those before it are changed.
        """
        async with self._control() as control:
            for name in unload:
                await control.unload_adapter(name)
                self._note(adapters={key: one for key, one in self.record.adapters.items() if key != name})
            for name, path in load.items():
                await control.load_adapter(name, path)
                self._note(adapters={**self.record.adapters, name: path})

    def _control(self) -> Control:
        return Control(self.launch.url, engine=self.launch.program, timeout_s=self._pace.timeout_s)

    async def _start(self) -> None:
        """Start it when it is its turn on every device, unless it is there, and wait until it is well.

        Raises:
            EngineError: It ended, took too long, or another process listens where it should.
        """
        async with AsyncExitStack() as stack:
            # In one order for all, so that two engines on two devices cannot wait for each other.
            for device in sorted(set(self.launch.devices)):
                await stack.enter_async_context(self._turns[device])
            if self.record.pid == 0:
                self._spawn()
            await self._until_healthy()

    def _spawn(self) -> None:
        command = self.launch.command
        if not processes.port_is_free(command.port):
            raise EngineError(f"Another process listens on port {command.port}.")
        log_file = self._state.log(self.name)
        environment = dict(command.environment)
        pid = processes.spawn(self._state.folder, self.name, command.argv, environment, log_file)
        adapters = dict(self.launch.adapters)
        self._note(
            pid=pid,
            started=processes.first_of(pid).started,
            state="starting",
            adapters=adapters,
            key=self.launch.key,
        )

    async def _until_healthy(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._pace.start_s
        async with self._control() as control:
            while True:
                well = await control.healthy()
                # In this order: what answers on the port of an engine that has ended is another.
                if not self._alive():
                    raise EngineError(f"It ended while starting; see {self._state.log(self.name)}.")
                if well:
                    return
                if loop.time() >= end:
                    raise EngineError(f"It was not ready within {self._pace.start_s:g} s.")
                await asyncio.sleep(self._pace.check_s)

    async def _watch(self) -> str:
        """Return why it is not well any more."""
        misses = 0
        async with self._control() as control:
            while misses < self._pace.misses:
                if not self._alive():
                    return "It ended."
                misses = 0 if await control.healthy() else misses + 1
                await asyncio.sleep(self._pace.check_s)
        return f"It gave no sign of health {misses} times in a row."

    def _alive(self) -> bool:
        over = processes.has_ended(self.record.pid)
        if over is not None:
            return not over
        # Adopted from an earlier supervisor: the mark says that the process is still this engine.
        return any(one.pid == self.record.pid for one in self._processes())

    def _processes(self) -> list[processes.Process]:
        known = {self.name: self.record.first}
        return processes.marked(self._state.folder, known).get(self.name, [])

    async def _end(self, first: signal.Signals) -> None:
        """End all of its processes; the first, where it is there, is asked to before that."""
        left = self._processes()
        asked = [one for one in left if one.pid == self.record.pid]
        if first is signal.SIGTERM and asked:
            processes.send(asked, signal.SIGTERM)
            left = await self._gone(self._pace.grace_s)
        while left:
            processes.send(left, signal.SIGKILL)
            left = await self._gone(self._pace.check_s)

    async def _gone(self, within_s: float) -> list[processes.Process]:
        loop = asyncio.get_running_loop()
        end = loop.time() + within_s
        while True:
            if self.record.pid:
                processes.has_ended(self.record.pid)
            left = self._processes()
            if not left or loop.time() >= end:
                return left
            await asyncio.sleep(min(self._pace.check_s, 0.1))

    def _note(self, **changes: object) -> None:
        self.record = replace(self.record, **changes)  # type: ignore[arg-type]
        self._changed()
