"""NVIDIA MPS: engines run on a device at the same time, each on at most its share of multiprocessors.

One daemon per group of devices that engines span, so that a crash takes down one group and no more. A daemon
shows its clients its own devices, numbered from 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.enforce.local import MIB, alone, emit, indices, percent
from offramp.enforce.port import Capabilities, Command, Confinement, Emission, Level

if TYPE_CHECKING:
    from offramp.core.placement import PlacedEngine, Placement
    from offramp.enforce.options import Options

CONTROL = "nvidia-cuda-mps-control"


class Mps:
    """Shares of multiprocessors and limits on memory, by one daemon per group of shared devices."""

    name = "mps"
    sleeps = True

    def capabilities(self) -> Capabilities:
        """Say what NVIDIA says: memory and multiprocessors are limited, bandwidth and faults are shared.

        A client's percentage is read when it starts, so a share changes only with a restart.
        """
        return Capabilities(Level.HARD, Level.SOFT, Level.NONE, Level.NONE, Level.NONE)

    def before(self, placement: Placement, options: Options) -> tuple[Command, ...]:
        """Return the start of every daemon; one that runs already says so and ends."""
        commands: list[Command] = []
        for group in groups(placement):
            environment = self._folders(placement, group, options)
            commands.append(Command(("mkdir", "-p", *(folder for _, folder in environment))))
            shown = ("CUDA_VISIBLE_DEVICES", ",".join(str(placement.devices[one].index) for one in group))
            commands.append(Command((CONTROL, "-d"), (shown, *environment)))
        return tuple(commands)

    def after(self, placement: Placement, options: Options) -> tuple[Command, ...]:
        """Return the end of every daemon."""
        return tuple(
            Command((CONTROL,), self._folders(placement, group, options), "quit\n")
            for group in groups(placement)
        )

    def confine(self, placement: Placement, engine: PlacedEngine, options: Options) -> Confinement:
        """Connect an engine to its daemon with its share and memory; one alone on its devices needs none."""
        if alone(placement, engine):
            shown = ",".join(map(str, indices(placement, engine)))
            return Confinement((("CUDA_VISIBLE_DEVICES", shown),))
        group = next(one for one in groups(placement) if engine.slices[0].device in one)
        mine = [group.index(part.device) for part in engine.slices]
        mib = -(-engine.memory.total // MIB)
        return Confinement(
            (
                ("CUDA_VISIBLE_DEVICES", ",".join(map(str, mine))),
                *self._folders(placement, group, options),
                ("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", str(percent(engine))),
                ("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT", ",".join(f"{i}={mib}M" for i in range(len(mine)))),
            )
        )

    def emit(self, placement: Placement, options: Options) -> Emission:
        """Write down daemons and command lines."""
        notes = (
            "A share is an upper limit on multiprocessors; memory bandwidth is shared by all.",
            "A fault of one client ends the daemon's server, and every engine of its devices with it.",
        )
        return emit(self, placement, options, notes if groups(placement) else ())

    def _folders(
        self, placement: Placement, group: tuple[int, ...], options: Options
    ) -> tuple[tuple[str, str], ...]:
        name = "-".join(str(placement.devices[one].index) for one in group)
        folder = f"{options.mps_folder}/gpu{name}"
        return ("CUDA_MPS_PIPE_DIRECTORY", f"{folder}/pipe"), ("CUDA_MPS_LOG_DIRECTORY", f"{folder}/log")


def groups(placement: Placement) -> tuple[tuple[int, ...], ...]:
    """Return the devices that need a daemon, those that one engine spans together.

    Returns:
        Groups of positions in `Placement.devices`, each in order; devices of a single engine are in none.
    """
    parents = list(range(len(placement.devices)))

    def root(device: int) -> int:
        while parents[device] != device:
            device = parents[device]
        return device

    for engine in placement.engines:
        for part in engine.slices[1:]:
            parents[root(part.device)] = root(engine.slices[0].device)
    found: dict[int, list[int]] = {}
    for device in range(len(placement.devices)):
        found.setdefault(root(device), []).append(device)
    return tuple(
        tuple(group) for group in found.values() if any(len(placement.on(device)) > 1 for device in group)
    )
