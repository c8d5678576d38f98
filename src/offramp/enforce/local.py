"""Backends whose engines are processes of one host: none at all, processor cores, MPS, MIG, HAMi-core."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.enforce.engines import command_line, node_of, ports, variables
from offramp.enforce.port import Capabilities, Command, Confinement, Emission, EngineCommand, File, Level

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offramp.core.placement import PlacedEngine, Placement
    from offramp.enforce.options import Options
    from offramp.enforce.port import LocalBackend

MIB = 1 << 20


def emit(
    backend: LocalBackend, placement: Placement, options: Options, notes: tuple[str, ...] = ()
) -> Emission:
    """Write down a local backend's placement: commands around it, engines in it, and a script."""
    before: list[Command] = []
    engines: list[EngineCommand] = []
    after: list[Command] = []
    scripts: list[File] = []
    for node in sorted({device.node for device in placement.devices}):
        here = on_node(placement, node)
        first, mine = backend.before(here, options), engine_commands(backend, here, options)
        scripts.append(File(f"{node}.sh", _script(first, mine)))
        before += first
        engines += mine
        after += backend.after(here, options)
    return Emission(backend.name, tuple(scripts), tuple(before), tuple(engines), tuple(after), notes)


def on_node(placement: Placement, node: str) -> Placement:
    """Return the part of a placement that is on one host.

    Raises:
        BadInput: There is no such host, or an engine is on devices of several.
    """
    kept = [index for index, device in enumerate(placement.devices) if device.node == node]
    if not kept:
        known = ", ".join(sorted({device.node for device in placement.devices}))
        raise BadInput(f"The placement has no host {node!r}; it has {known or 'none'}.")
    engines = tuple(
        replace(
            engine,
            slices=tuple(replace(part, device=kept.index(part.device)) for part in engine.slices),
        )
        for engine in placement.engines
        if node_of(placement, engine) == node
    )
    return replace(placement, devices=tuple(placement.devices[index] for index in kept), engines=engines)


def engine_commands(
    backend: LocalBackend, placement: Placement, options: Options
) -> tuple[EngineCommand, ...]:
    """Return every engine's command line within its part."""
    by_name = ports(placement, options)
    return tuple(_engine(backend, placement, engine, options, by_name) for engine in placement.engines)


def _engine(
    backend: LocalBackend,
    placement: Placement,
    engine: PlacedEngine,
    options: Options,
    by_name: Mapping[str, int],
) -> EngineCommand:
    port = by_name[engine.name]
    options = replace(options, sleep=options.sleep and backend.sleeps)
    part = backend.confine(placement, engine, options)
    environment = variables(engine, options) | dict(part.environment)
    return EngineCommand(
        engine.name,
        (*part.prefix, *command_line(engine, options, port=port)),
        tuple(sorted(environment.items())),
        port,
        node_of(placement, engine),
    )


def _script(before: tuple[Command, ...], engines: tuple[EngineCommand, ...]) -> str:
    """Render a script that starts engines one by one: two that start together mis-size each other."""
    lines = ["#!/bin/sh", "set -eu", *(command.shell() for command in before)]
    for engine in engines:
        lines += [
            f"# {engine.name}",
            f"{engine.shell()} &",
            f"until curl -fsS http://127.0.0.1:{engine.port}/health; do kill -0 $!; sleep 1; done",
        ]
    return "\n".join([*lines, "wait", ""])


def indices(placement: Placement, engine: PlacedEngine) -> tuple[int, ...]:
    """Return the numbers of an engine's devices on their host."""
    return tuple(placement.devices[part.device].index for part in engine.slices)


def alone(placement: Placement, engine: PlacedEngine) -> bool:
    """Whether no other engine is on any of an engine's devices."""
    return all(placement.on(part.device) == (engine,) for part in engine.slices)


class _AsIs:
    """Devices are used as they are: nothing is to be done before the engines start, or after."""

    def before(self, placement: Placement, options: Options) -> tuple[Command, ...]:
        """Return nothing."""
        del placement, options
        return ()

    def after(self, placement: Placement, options: Options) -> tuple[Command, ...]:
        """Return nothing."""
        del placement, options
        return ()


class Plain(_AsIs):
    """Engines see the devices they are placed on, and keep to their sizes by themselves."""

    name = "plain"
    sleeps = True

    def capabilities(self) -> Capabilities:
        """Say that only an engine's own KV budget and slots hold it back."""
        return Capabilities(Level.SOFT, Level.NONE, Level.NONE, Level.SOFT, Level.NONE)

    def confine(self, placement: Placement, engine: PlacedEngine, options: Options) -> Confinement:
        """Show the engine its devices."""
        del options
        return Confinement((_visible(indices(placement, engine)),))

    def emit(self, placement: Placement, options: Options) -> Emission:
        """Write down the command lines."""
        note = "Compute is shared by time slices: an engine that computes all the time slows every neighbour."
        return emit(self, placement, options, (note,) if _shared(placement) else ())


class Cores(_AsIs):
    """Engines on a CPU, each on processor cores of its own: `Slice.share` of the host's cores, at least one.

    Args:
        cores: Numbers of the cores that may be given away.
    """

    name = "cores"
    sleeps = False

    def __init__(self, cores: tuple[int, ...]) -> None:
        self._cores = cores

    def capabilities(self) -> Capabilities:
        """Say that cores are kept apart, and memory with its bandwidth is not."""
        return Capabilities(Level.NONE, Level.HARD, Level.NONE, Level.HARD, Level.SOFT)

    def confine(self, placement: Placement, engine: PlacedEngine, options: Options) -> Confinement:
        """Give the engine the cores after those of the engines before it."""
        del options
        first = 0
        for other in placement.on(engine.slices[0].device):
            count = self._count(other)
            if other.name == engine.name:
                break
            first += count
        if first + count > len(self._cores):
            raise BadInput(
                f"Engine {engine.name!r} needs cores {first} to {first + count - 1} of its device; "
                f"there are {len(self._cores)}.",
                hint="Place fewer engines on it.",
            )
        mine = self._cores[first : first + count]
        listed = ",".join(map(str, mine))
        environment = (("OMP_NUM_THREADS", str(count)), ("VLLM_CPU_OMP_THREADS_BIND", listed))
        return Confinement(environment, ("taskset", "--cpu-list", listed))

    def _count(self, engine: PlacedEngine) -> int:
        return max(1, round(engine.slices[0].share * len(self._cores)))

    def emit(self, placement: Placement, options: Options) -> Emission:
        """Write down the command lines."""
        return emit(self, placement, options, ("Memory bandwidth is shared by all cores.",))


class Hami:
    """HAMi-core without Kubernetes: a library that stands between an engine and the CUDA driver."""

    name = "hami"
    sleeps = True

    def capabilities(self) -> Capabilities:
        """Say that memory is capped; its limit on compute did not separate tenants on large devices."""
        return Capabilities(Level.HARD, Level.NONE, Level.NONE, Level.SOFT, Level.NONE)

    def before(self, placement: Placement, options: Options) -> tuple[Command, ...]:
        """Return the folder of locks that the library wants."""
        del placement, options
        return (Command(("mkdir", "-p", "/tmp/vgpulock")),)  # noqa: S108 - the library's own choice

    def after(self, placement: Placement, options: Options) -> tuple[Command, ...]:
        """Return the removal of the engines' accounts: a stale one would count memory that nobody holds."""
        del options
        return tuple(Command(("rm", "-f", _account(engine))) for engine in placement.engines)

    def confine(self, placement: Placement, engine: PlacedEngine, options: Options) -> Confinement:
        """Cap memory and compute of every device of the engine."""
        mib = -(-engine.memory.total // MIB)
        limits = [(f"CUDA_DEVICE_MEMORY_LIMIT_{i}", f"{mib}m") for i in range(len(engine.slices))]
        return Confinement(
            (
                _visible(indices(placement, engine)),
                *limits,
                ("CUDA_DEVICE_SM_LIMIT", str(percent(engine))),
                # Without it, the limit is off whenever an engine is alone for a moment.
                ("GPU_CORE_UTILIZATION_POLICY", "force"),
                # One account per engine: a shared one breaks engines of several processes.
                ("CUDA_DEVICE_MEMORY_SHARED_CACHE", _account(engine)),
                ("LD_PRELOAD", options.hami_library),
            )
        )

    def emit(self, placement: Placement, options: Options) -> Emission:
        """Write down the command lines."""
        notes = (
            "HAMi-core's limit on compute did not separate tenants on large devices; probe it.",
            "Memory given away twice ends in an out-of-memory error, not in waiting.",
        )
        return emit(self, placement, options, notes)


def percent(engine: PlacedEngine) -> int:
    """Return an engine's share of compute in whole per cent, at least 1."""
    return max(1, int(100 * min(part.share for part in engine.slices)))


def _account(engine: PlacedEngine) -> str:
    return f"/tmp/vgpulock/{engine.name}.cache"  # noqa: S108 - beside the library's locks


def _visible(devices: tuple[int, ...]) -> tuple[str, str]:
    return "CUDA_VISIBLE_DEVICES", ",".join(map(str, devices))


def _shared(placement: Placement) -> bool:
    return any(len(placement.on(device)) > 1 for device in range(len(placement.devices)))
