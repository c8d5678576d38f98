"""What has to be done so that what runs becomes what is wanted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from offramp.core.json import digest
from offramp.enforce.engines import adapter_path, command_line, host_slots, ports, variables
from offramp.enforce.local import engine_commands

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offramp.core.placement import PlacedEngine
    from offramp.enforce.options import Options
    from offramp.enforce.port import EngineCommand, LocalBackend
    from offramp.enforce.state import Record, Wanted


@dataclass(frozen=True, slots=True)
class Launch:
    """An engine that is wanted.

    Attributes:
        command: How it is started.
        key: Hash of everything that only a restart changes.
        adapters: Directories of its adapters by name: these change while it runs.
        devices: Positions of its devices in the placement.
        url: Its base URL.
        program: What it is, which decides how it takes orders: ``vllm`` or ``sglang``.
    """

    command: EngineCommand
    key: str
    adapters: Mapping[str, str]
    devices: tuple[int, ...]
    url: str
    program: str = "vllm"


@dataclass(frozen=True, slots=True)
class Steps:
    """What has to be done, in this order.

    Attributes:
        stop: Engines that go, or start anew as something else.
        start: Engines that are not running as they should.
        unload: Engine and adapter, for adapters that go.
        load: Engine, adapter and directory, for adapters that come.
        keep: Engines that are as they should be, adapters aside.
    """

    stop: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    unload: tuple[tuple[str, str], ...] = ()
    load: tuple[tuple[str, str, str], ...] = ()
    keep: tuple[str, ...] = ()


def launches(wanted: Wanted, backend: LocalBackend) -> dict[str, Launch]:
    """Return the engines that are wanted, by name.

    Raises:
        BadInput: The backend cannot express one of them.
    """
    commands = {one.name: one for one in engine_commands(backend, wanted.placement, wanted.options)}
    return {
        engine.name: Launch(
            commands[engine.name],
            _key(wanted, backend, engine),
            {one.specialist: adapter_path(engine, one, wanted.options) for one in engine.adapters},
            tuple(part.device for part in engine.slices),
            url_of(commands[engine.name].port, wanted.options),
            wanted.options.engine,
        )
        for engine in wanted.placement.engines
    }


def url_of(port: int, options: Options) -> str:
    """Return the base URL of a local engine."""
    everywhere = options.host in ("0.0.0.0", "::", "")  # noqa: S104 - compared with
    return f"http://{'127.0.0.1' if everywhere else options.host}:{port}"


def difference(wanted: Mapping[str, Launch], running: Mapping[str, Record]) -> Steps:
    """Compare what is wanted with what runs.

    Args:
        wanted: Engines by name.
        running: Engines whose processes are there, by name.
    """
    keep = tuple(name for name, one in wanted.items() if name in running and running[name].key == one.key)
    unload = [
        (name, adapter)
        for name in keep
        for adapter, path in running[name].adapters.items()
        # A directory that changed is another adapter: unloaded, then loaded.
        if wanted[name].adapters.get(adapter) != path
    ]
    load = [
        (name, adapter, path)
        for name in keep
        for adapter, path in wanted[name].adapters.items()
        if running[name].adapters.get(adapter) != path
    ]
    return Steps(
        stop=tuple(name for name in running if name not in keep),
        start=tuple(name for name in wanted if name not in keep),
        unload=tuple(unload),
        load=tuple(load),
        keep=keep,
    )


def _key(wanted: Wanted, backend: LocalBackend, engine: PlacedEngine) -> str:
    """Hash what only a restart changes: all but which adapters there are, and today's UUIDs."""
    port = ports(wanted.placement, wanted.options)[engine.name]
    unnamed = replace(wanted.options, mig_uuids=())
    part = backend.confine(wanted.placement, engine, unnamed)
    # Of the adapters, flags say whether there are any, their slots and the rank of these.
    adapters = [engine.rank, engine.loaded, host_slots(engine)] if engine.adapters else []
    bare = command_line(replace(engine, adapters=()), unnamed, port=port)
    devices = [asdict(wanted.placement.devices[one.device]) for one in engine.slices]
    return digest([bare, adapters, asdict(part), variables(engine, unnamed), devices])
