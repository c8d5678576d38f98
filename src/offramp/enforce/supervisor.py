"""The engines of one host brought to what is wanted, and kept there.

It may be killed at any moment: engines go on without it, and the next supervisor finds them by their mark,
goes on with those that are as they should be, and ends the rest.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offramp.core.errors import EngineError, NotFound, OfframpError
from offramp.core.placement import Placement
from offramp.enforce import processes
from offramp.enforce.catalogue import local_backend
from offramp.enforce.control import Control
from offramp.enforce.diff import Launch, difference, launches
from offramp.enforce.keeper import Keeper, Pace
from offramp.enforce.mig import read_uuids
from offramp.enforce.options import Options
from offramp.enforce.port import Command, EngineCommand
from offramp.enforce.state import Record, Wanted, with_ports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offramp.core.json import JsonObject
    from offramp.enforce.diff import Steps
    from offramp.enforce.state import State

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """One engine as it is now.

    Attributes:
        record: What its supervisor wrote down last.
        running: Whether its first process is there.
        healthy: Whether it says that it is well.
        processes: How many processes it has.
        missing: Adapters that it should be asked by, and does not list.
        unmet: Variables of its part that its process does not have.
    """

    record: Record
    running: bool
    healthy: bool
    processes: int
    missing: tuple[str, ...]
    unmet: tuple[str, ...]

    @property
    def word(self) -> str:
        """How it is: ``healthy``, ``silent``, ``gone``, or the state that was written down last."""
        if self.running:
            return "healthy" if self.healthy else "silent"
        return "gone" if self.record.state in ("healthy", "starting") else self.record.state


class Supervisor:
    """Brings the engines of one home to what is wanted; hold the home (`State.held`) around it.

    Args:
        state: The home.
        pace: How long things may take.
    """

    def __init__(self, state: State, pace: Pace | None = None) -> None:
        processes.require_linux()
        self._state = state
        self._pace = pace or Pace()
        self._keepers: dict[str, Keeper] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._prepared = state.prepared()
        self._version = ""
        self._reached = state.reached()

    async def apply(self, wanted: Wanted) -> dict[str, Record]:
        """Make it so; returns when every engine was healthy once, or was given up.

        Engines that are as they should be are left alone; adapters are changed while their engine runs.

        Raises:
            BadInput: The backend cannot express the placement; nothing was changed.
            EngineError: A device could not be made ready.
        """
        wanted = with_ports(wanted, self._state.records())
        backend = local_backend(wanted.backend)
        wanted_launches = launches(wanted, backend)
        self._state.want(wanted)
        self._version = wanted.version
        running = self._running()
        steps = difference(wanted_launches, running)
        await self._let_go(steps, running, wanted_launches)
        self._prepare(wanted)
        if wanted.backend == "mig":
            known = read_uuids(processes.output_of(("nvidia-smi", "-L")))
            wanted = replace(wanted, options=replace(wanted.options, mig_uuids=known))
            wanted_launches = launches(wanted, backend)
        self._keep(wanted_launches, running)
        await asyncio.gather(*(keeper.settled.wait() for keeper in self._keepers.values()))
        await self._adapt(steps)
        self._reached = self._version
        self._save()
        return {name: keeper.record for name, keeper in self._keepers.items()}

    async def watch(self) -> None:
        """Keep the engines up, and follow what is wanted, until cancelled."""
        while True:
            wanted = self._state.wanted()
            if wanted is not None and wanted.version != self._version:
                try:
                    await self.apply(wanted)
                except OfframpError as error:
                    log.error("What is wanted cannot be reached: %s", error)  # noqa: TRY400 - says it all
                    self._version = wanted.version
            await asyncio.sleep(self._pace.check_s)

    async def leave(self) -> None:
        """Stop watching; engines go on."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks = {}

    async def stop(self) -> None:
        """Drain and end every engine of the home, and make the devices as they were.

        Raises:
            EngineError: A device could not be made as it was.
        """
        await self.apply(nothing(self._state))

    def _running(self) -> dict[str, Record]:
        """Return what runs: engines that were written down and are there, or are there alone."""
        records = self._state.records()
        found = processes.marked(self._state.folder, {name: one.first for name, one in records.items()})
        return {
            name: records[name]
            if name in records and records[name].pid in [one.pid for one in some]
            # Not written down, or only its workers are left: nothing that could go on.
            else self._unknown(some[0], records.get(name))
            for name, some in found.items()
        }

    def _unknown(self, oldest: processes.Process, record: Record | None) -> Record:
        """Return a record of what is there of an engine, so that it can be ended."""
        if record is not None and record.pid:
            return replace(record, key="", state="unknown")
        return Record(oldest.pid, 0, "", {}, "unknown", started=oldest.started)

    async def _let_go(
        self, steps: Steps, running: Mapping[str, Record], wanted: Mapping[str, Launch]
    ) -> None:
        """Stop what goes, all at once, before anything starts in its place."""
        going = set(steps.stop) | {name for name in self._keepers if name not in wanted}
        going |= {name for name in self._keepers if name in steps.start}
        tasks = [self._tasks.pop(name) for name in going if name in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        leaving = [
            self._keepers.pop(name) if name in self._keepers else self._keeper_of(name, running[name])
            for name in going
        ]
        await asyncio.gather(*(keeper.stop() for keeper in leaving))

    def _keeper_of(self, name: str, record: Record) -> Keeper:
        """Return a keeper of an engine that is to be ended."""
        url = f"http://127.0.0.1:{record.port}"
        launch = Launch(EngineCommand(name, (), (), record.port, ""), record.key, {}, (), url)
        return Keeper(launch, self._state, self._pace, {}, adopted=record)

    def _prepare(self, wanted: Wanted) -> None:
        """Make the devices ready: undo what is not wanted any more, do what is new."""
        backend = local_backend(wanted.backend)
        steps = {
            "before": [_plain(one) for one in backend.before(wanted.placement, wanted.options)],
            "after": [_plain(one) for one in backend.after(wanted.placement, wanted.options)],
        }
        # Command by command, so that a device that stays as it is is left alone.
        gone = [one for one in self._prepared["after"] if one not in steps["after"]]
        new = [one for one in steps["before"] if one not in self._prepared["before"]]
        for one in (*gone, *new):
            processes.run(_command(one))
        self._prepared = steps
        self._save()

    def _keep(self, wanted: Mapping[str, Launch], running: Mapping[str, Record]) -> None:
        devices = sorted({device for launch in wanted.values() for device in launch.devices})
        turns = {device: asyncio.Lock() for device in devices}
        for name, launch in wanted.items():
            keeper = self._keepers.get(name)
            if keeper is not None and not self._tasks[name].done():
                # A later start of it takes the new adapters along.
                keeper.launch = launch
                continue
            known = running.get(name)
            adopted = known if known is not None and known.key == launch.key else None
            keeper = Keeper(launch, self._state, self._pace, turns, adopted=adopted, changed=self._save)
            self._keepers[name] = keeper
            self._tasks[name] = asyncio.create_task(keeper.run(), name=name)

    async def _adapt(self, steps: Steps) -> None:
        for name in steps.keep:
            unload = [adapter for engine, adapter in steps.unload if engine == name]
            load = {adapter: path for engine, adapter, path in steps.load if engine == name}
            if unload or load:
                try:
                    await self._keepers[name].adapt(unload=unload, load=load)
                except EngineError as error:
                    log.error("Engine %s: %s", name, error)  # noqa: TRY400 - it says all there is
                    self._keepers[name].record = replace(self._keepers[name].record, reason=error.message)

    def _save(self) -> None:
        records = {name: keeper.record for name, keeper in self._keepers.items()}
        self._state.save(records, version=self._reached, prepared=self._prepared)


def nothing(state: State) -> Wanted:
    """Return what is wanted where no engine is to run."""
    was = state.wanted()
    empty = Placement((), ())
    return Wanted(empty, was.backend, was.options) if was else Wanted(empty, "plain", Options())


async def look(state: State, *, timeout_s: float = 5.0) -> dict[str, Seen]:
    """Look at every engine that is wanted: its processes, its health, its adapters, its part.

    Raises:
        NotFound: Nothing was applied yet.
    """
    wanted = state.wanted()
    if wanted is None:
        raise NotFound(f"Nothing was applied in {state.folder}.", hint="Run `offramp enforce apply`.")
    records = state.records()
    found = processes.marked(state.folder, {name: one.first for name, one in records.items()})
    wanted_launches = launches(with_ports(wanted, records), local_backend(wanted.backend))
    names = list(wanted_launches)
    seen = await asyncio.gather(
        *(
            _look(launch, records.get(name), found.get(name, []), timeout_s)
            for name, launch in wanted_launches.items()
        )
    )
    return dict(zip(names, seen, strict=True))


async def _look(
    launch: Launch, record: Record | None, mine: list[processes.Process], timeout_s: float
) -> Seen:
    record = record or Record(0, launch.command.port, "", {}, "starting")
    first = next((one for one in mine if one.pid == record.pid), None)
    async with Control(launch.url, engine=launch.program, timeout_s=timeout_s) as control:
        healthy = first is not None and await control.healthy()
        try:
            listed = await control.models() if healthy else ()
        except EngineError:
            listed = ()
    expected = {name: value for name, value in launch.command.environment if not value.startswith("MIG-")}
    unmet = (
        ()
        if first is None
        else tuple(name for name, value in expected.items() if first.environment.get(name) != value)
    )
    return Seen(
        record,
        running=first is not None,
        healthy=healthy,
        processes=len(mine),
        missing=tuple(name for name in launch.adapters if name not in listed),
        unmet=unmet,
    )


def _plain(command: Command) -> JsonObject:
    return {
        "argv": list(command.argv),
        "environment": [list(pair) for pair in command.environment],
        "stdin": command.stdin,
    }


def _command(value: JsonObject) -> Command:
    pairs = tuple((str(name), str(text)) for name, text in value["environment"])
    return Command(tuple(value["argv"]), pairs, value["stdin"])
