"""What a probe found, as a file that plans read: it lowers what a backend claims, and never raises it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.enforce.catalogue import backend_of
from offramp.enforce.files import write_whole
from offramp.enforce.port import Level

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from offramp.enforce.port import Capabilities

HARD, SOFT = 1.15, 1.6
"""Largest slowdown under a neighbour that counts as none (hard), and as bearable (soft)."""
QUIET = 0.2
"""Most processor cores that something else may have had meanwhile."""
STEADY = 1.5
"""Largest ratio between measurements of the victim alone; beyond it something else was running."""
DIMENSIONS = {"compute": "compute", "bandwidth": "bandwidth", "allocator": "memory"}
"""What each kind of neighbour goes for."""


@dataclass(frozen=True, slots=True)
class Interference:
    """A victim beside one kind of neighbour, medians over the repetitions.

    Attributes:
        neighbour: Kind of neighbour.
        slowdown: Rate alone over rate beside it; 1 is undisturbed.
        tail: 99th percentile of a step beside it over that alone.
        share: Share of its own rate alone that the neighbour reached beside the victim.
        spread: Largest over smallest rate of the victim alone.
        held: Most bytes that the neighbour could hold.
        foreign: Processor cores that neither of them had meanwhile, but something else; 0 on a GPU.
    """

    neighbour: str
    slowdown: float
    tail: float
    share: float
    spread: float
    held: int = 0
    foreign: float = 0.0

    @property
    def steady(self) -> bool:
        """Whether the machine was quiet enough to tell."""
        return self.spread <= STEADY and self.foreign <= QUIET

    @property
    def level(self) -> Level:
        """The level that this slowdown is."""
        if self.slowdown <= HARD:
            return Level.HARD
        return Level.SOFT if self.slowdown <= SOFT else Level.NONE


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a probe found of one backend on one kind of device.

    Attributes:
        backend: Name of the backend.
        device: Kind of device, as placements name it.
        rows: One per kind of neighbour.
        at: Seconds since the epoch.
    """

    backend: str
    device: str
    rows: tuple[Interference, ...]
    at: float

    @property
    def levels(self) -> dict[str, Level]:
        """Levels by dimension; what could not be told is left out."""
        return {DIMENSIONS[row.neighbour]: row.level for row in self.rows if row.steady}


def capabilities_of(backend: str, device: str, file: Path | None = None) -> Capabilities:
    """Return what a backend guarantees on a kind of device: what it claims, lowered to what was measured.

    Args:
        backend: Its name.
        device: Kind of device, as placements name it.
        file: What probes wrote; nothing is lowered where there is none.

    Raises:
        BadInput: There is no such backend, or the file is none.
    """
    claimed = backend_of(backend).capabilities()
    for found in read(file) if file is not None else ():
        if (found.backend, found.device) == (backend, device):
            claimed = claimed.at_most(found.levels)
    return claimed


def read(file: Path) -> tuple[Measurement, ...]:
    """Read what probes found; nothing where there is no file.

    Raises:
        BadInput: It is not what `add` wrote.
    """
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))["measurements"]
        return tuple(
            Measurement(
                one["backend"],
                one["device"],
                tuple(Interference(**row) for row in one["rows"]),
                float(one["at"]),
            )
            for one in raw
        )
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{file} holds no measurements: {error!r}.",
            hint="Remove it, and run `offramp enforce probe` again.",
        ) from error


def add(file: Path, fresh: Measurement) -> None:
    """Write a measurement down, in place of an earlier one of the same backend and device."""
    kept: Iterable[Measurement] = (
        one for one in read(file) if (one.backend, one.device) != (fresh.backend, fresh.device)
    )
    rows = [
        {**asdict(one), "levels": {name: str(level) for name, level in one.levels.items()}}
        for one in (*kept, fresh)
    ]
    write_whole(file, {"measurements": rows})
