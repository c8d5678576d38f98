"""Which MIG instances fit onto one device together.

A device has eight slices of memory and seven of compute; an instance takes a run of memory slices that begins
at one of a few of them (`nvidia-smi mig -lgipp`; NVIDIA's MIG user guide).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

COMPUTE, MEMORY = 7, 8
"""Slices of a whole device."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One size of instance.

    Attributes:
        name: As `nvidia-smi` calls it.
        compute: Slices of compute.
        memory: Slices of memory.
        starts: Memory slices that it may begin at.
    """

    name: str
    compute: int
    memory: int
    starts: tuple[int, ...]


_SHAPES = (
    ("1g", 1, 1, (0, 1, 2, 3, 4, 5, 6)),
    ("1g", 1, 2, (0, 2, 4, 6)),
    ("2g", 2, 2, (0, 2, 4)),
    ("3g", 3, 4, (0, 4)),
    ("4g", 4, 4, (0,)),
)
_GIGABYTES = {
    "a100-80gb": (10, 20, 20, 40, 40),
    "h100": (10, 20, 20, 40, 40),
    "h200": (18, 35, 35, 71, 71),
}
PROFILES = {
    device: tuple(
        Profile(f"{slices}.{gigabytes}gb", compute, memory, starts)
        for (slices, compute, memory, starts), gigabytes in zip(_SHAPES, sizes, strict=True)
    )
    for device, sizes in _GIGABYTES.items()
}
"""Instances smaller than the device by kind of device, the smallest first."""


@lru_cache(maxsize=4096)
def placed(device: str, names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the profiles in the order of where they begin on a device, None where they do not fit.

    Args:
        device: The kind of device.
        names: Profiles, in any order.
    """
    known = {profile.name: profile for profile in PROFILES[device]}
    wanted = sorted((known[name] for name in names), key=lambda one: (-one.memory, -one.compute, one.name))
    if sum(profile.compute for profile in wanted) > COMPUTE:
        return None
    found = _place(wanted, frozenset(range(MEMORY)))
    return None if found is None else tuple(name for _, name in sorted(found))


def _place(wanted: list[Profile], free: frozenset[int]) -> list[tuple[int, str]] | None:
    if not wanted:
        return []
    first, *rest = wanted
    for start in first.starts:
        taken = frozenset(range(start, start + first.memory))
        if taken <= free:
            found = _place(rest, free - taken)
            if found is not None:
                return [(start, first.name), *found]
    return None
