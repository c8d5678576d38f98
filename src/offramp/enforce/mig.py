"""NVIDIA MIG: a device cut into instances with multiprocessors, memory and bandwidth of their own.

Cutting anew needs a device without work. The UUID of an instance is known only when it is there, so command
lines hold a placeholder until `read_uuids` has been asked.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.enforce.local import alone, emit, indices
from offramp.enforce.port import Capabilities, Command, Confinement, Emission, File, Level
from offramp.enforce.render import to_yaml

if TYPE_CHECKING:
    from offramp.core.json import JsonObject
    from offramp.core.placement import PlacedEngine, Placement
    from offramp.enforce.options import Options

CONFIG = "offramp"
_GPU = re.compile(r"^GPU (\d+):")
_INSTANCE = re.compile(r"^\s*MIG (\S+)\s+Device\s+\d+:\s+\(UUID: (MIG-[^)\s]+)\)")


class Mig:
    """Instances as the placement's profiles say, one engine each."""

    name = "mig"
    sleeps = True

    def capabilities(self) -> Capabilities:
        """Say that the hardware keeps instances apart, and that cutting anew ends what runs."""
        return Capabilities(Level.HARD, Level.HARD, Level.HARD, Level.HARD, Level.NONE)

    def before(self, placement: Placement, options: Options) -> tuple[Command, ...]:
        """Return the commands that cut every device with profiles."""
        del options
        commands: list[Command] = []
        for device in placement.devices:
            if not device.profiles:
                continue
            number = str(device.index)
            commands.append(Command(("nvidia-smi", "-i", number, "-mig", "1")))
            instances = ",".join(device.profiles)
            commands.append(Command(("nvidia-smi", "mig", "-i", number, "-cgi", instances, "-C")))
        return tuple(commands)

    def after(self, placement: Placement, options: Options) -> tuple[Command, ...]:
        """Return the commands that make the devices whole again."""
        del options
        commands: list[Command] = []
        for device in placement.devices:
            if device.profiles:
                number = str(device.index)
                commands.append(Command(("nvidia-smi", "mig", "-i", number, "-dci")))
                commands.append(Command(("nvidia-smi", "mig", "-i", number, "-dgi")))
                commands.append(Command(("nvidia-smi", "-i", number, "-mig", "0")))
        return tuple(commands)

    def confine(self, placement: Placement, engine: PlacedEngine, options: Options) -> Confinement:
        """Show an engine its instance, or its whole devices."""
        part = engine.slices[0]
        if part.profile is None:
            if not alone(placement, engine):
                raise BadInput(
                    f"Engine {engine.name!r} shares a device that is not cut; MIG needs a profile for it.",
                    hint="Plan with MIG, or use another backend.",
                )
            return Confinement((("CUDA_VISIBLE_DEVICES", ",".join(map(str, indices(placement, engine)))),))
        return Confinement((("CUDA_VISIBLE_DEVICES", uuid_of(placement, engine, options)),))

    def emit(self, placement: Placement, options: Options) -> Emission:
        """Write down the cut, for `nvidia-smi` and for `nvidia-mig-parted`, and the command lines."""
        notes = ["Cutting a device anew needs it idle: drain its engines, and stop what watches it (DCGM)."]
        if not options.mig_uuids and any(device.profiles for device in placement.devices):
            notes.append(
                "MIG-... stands for an instance's UUID: `nvidia-smi -L` lists them once they are there."
            )
        emission = emit(self, placement, options, tuple(notes))
        file = File("mig-parted.yaml", to_yaml(parted_config(placement)))
        return Emission(
            self.name,
            (file, *emission.files),
            emission.before,
            emission.engines,
            emission.after,
            emission.notes,
        )


def parted_config(placement: Placement) -> JsonObject:
    """Return the cut as `nvidia-mig-parted apply -f FILE -c offramp` reads it."""
    entries: list[JsonObject] = [
        {
            "devices": [device.index],
            "mig-enabled": bool(device.profiles),
            **({"mig-devices": dict(Counter(device.profiles))} if device.profiles else {}),
        }
        for device in placement.devices
    ]
    return {"version": "v1", "mig-configs": {CONFIG: entries}}


def uuid_of(placement: Placement, engine: PlacedEngine, options: Options) -> str:
    """Return the UUID of an engine's instance, or a placeholder that names it.

    Instances of one profile on one device are the same, so the first engine takes the first of them.

    Raises:
        BadInput: The engine has no such profile, or the device has fewer instances than the placement.
    """
    part = engine.slices[0]
    device = placement.devices[part.device]
    if part.profile is None or not 0 <= part.profile < len(device.profiles) or len(engine.slices) > 1:
        raise BadInput(
            f"Engine {engine.name!r} wants instance {part.profile} of a device cut into "
            f"{', '.join(device.profiles) or 'nothing'}; an engine has exactly one instance of one device."
        )
    profile = device.profiles[part.profile]
    ordinal = device.profiles[: part.profile].count(profile)
    if not options.mig_uuids:
        return f"MIG-gpu{device.index}-{profile}-{ordinal}"
    known = [uuid for index, name, uuid in options.mig_uuids if index == device.index and name == profile]
    if ordinal >= len(known):
        raise BadInput(
            f"GPU {device.index} has {len(known)} instances of {profile}, the placement wants {ordinal + 1}.",
            hint="Cut it first: offramp enforce emit --backend mig writes the commands.",
        )
    return known[ordinal]


def read_uuids(listing: str) -> tuple[tuple[int, str, str], ...]:
    """Read ``nvidia-smi -L``.

    Returns:
        GPU index, profile and UUID of every instance, in order.
    """
    found: list[tuple[int, str, str]] = []
    gpu = -1
    for line in listing.splitlines():
        if match := _GPU.match(line):
            gpu = int(match.group(1))
        elif match := _INSTANCE.match(line):
            found.append((gpu, match.group(1), match.group(2)))
    return tuple(found)
