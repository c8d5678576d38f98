"""Devices a specialist may run on, from the bundled table or a file of the user's."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import TYPE_CHECKING

from offramp.core.errors import BadSetting, NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.core.json import JsonObject

HOURS_PER_DAY = 24


@dataclass(frozen=True, slots=True)
class Device:
    """One device with what it costs to keep it running.

    Attributes:
        name: Short name used on the command line.
        kind: ``"cpu"`` or ``"gpu"``.
        title: What it is.
        memory: Bytes that programs can use.
        bandwidth: Peak bytes per second from memory.
        flops: Peak dense operations per second in the precision that models run in.
        price_per_hour: USD for an hour, used or not.
        source: Where the figures come from.
        memory_efficiency: Share of the bandwidth that decoding reaches.
        compute_efficiency: Share of the arithmetic that prefill reaches.
        step_overhead_s: Seconds that every step takes on top.
        adapter_slowdown: Factor on the time of requests through an adapter.
        max_batch: Requests decoded at once.
        utilisation_cap: Share of its time that may be planned: above it, waiting grows without bound.
    """

    name: str
    kind: str
    title: str
    memory: int
    bandwidth: float
    flops: float
    price_per_hour: float
    source: str
    memory_efficiency: float = 0.8
    compute_efficiency: float = 0.5
    step_overhead_s: float = 0.0005
    adapter_slowdown: float = 1.0
    max_batch: int = 256
    utilisation_cap: float = 0.7

    def price_per_day(self) -> float:
        """USD for a day, used or not."""
        return self.price_per_hour * HOURS_PER_DAY


def load_devices(path: Path | None = None) -> dict[str, Device]:
    """Read the bundled devices, then those of ``path`` over them.

    Raises:
        BadSetting: The file is missing or no JSON, or a device lacks a field or has one too many.
    """
    bundled = json.loads(files("offramp").joinpath("assets/devices.json").read_text(encoding="utf-8"))
    found = {str(raw["name"]): _device(raw, "the bundled devices") for raw in bundled["devices"]}
    if path is not None:
        try:
            given = json.loads(path.read_text(encoding="utf-8"))["devices"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadSetting(
                f'{path} is not a devices file: {error!r}; expected {{"devices": [...]}}.'
            ) from error
        found |= {device.name: device for device in (_device(raw, str(path)) for raw in given)}
    return found


def find_device(name: str, path: Path | None = None) -> Device:
    """Return one device by name.

    Raises:
        NotFound: There is no such device.
        BadSetting: See ``load_devices``.
    """
    known = load_devices(path)
    if name not in known:
        raise NotFound(
            f"There is no device {name!r}; known are {', '.join(sorted(known))}.",
            hint="Describe yours in a devices file.",
        )
    return known[name]


def _device(raw: JsonObject, where: str) -> Device:
    allowed = {field.name for field in fields(Device)}
    unknown = sorted(set(raw) - allowed)
    if unknown:
        raise BadSetting(f"A device in {where} has {unknown}; allowed are {', '.join(sorted(allowed))}.")
    try:
        device = Device(**raw)
    except TypeError as error:
        raise BadSetting(f"A device in {where} is incomplete: {error}.") from error
    if min(device.memory, device.bandwidth, device.flops) <= 0 or device.price_per_hour < 0:
        raise BadSetting(
            f"Device {device.name!r} in {where} has a size or speed of 0 or less, or a negative price."
        )
    return device
