"""A time budget over a night: which calls are used, and which kinds of candidates are tried."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from offramp.loop.candidates import CANDIDATES
from offramp.select.choose import MARGIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from offramp.core.call import Call
    from offramp.loop.workshop import Brief
    from offramp.select import Trial, Unit

LEAST_CALLS = 1500
"""Calls of a unit that are used however short the time: a third of them calibrate."""

ENOUGH_CALLS = 4000
"""Calls that a further kind must be affordable on, or all there are: more calls beat more kinds before."""

MASKING = 1e-3
"""Seconds of one core for masking a call, about."""

_SETTLED = 3
"""Seconds from which a kind's own time says more of the machine than of what was loaded on the way."""


@dataclass
class Budget:
    """Seconds to spend, on what could save most first.

    Attributes:
        seconds: All of them.
        clock: Seconds that only grow.
        slowness: How much longer than estimated things take here: 3.0 where two others use the core.
        left_out: What the budget did not allow, a sentence each.
    """

    seconds: float
    clock: Callable[[], float] = time.monotonic
    slowness: float = 1.0
    left_out: list[str] = field(default_factory=list)
    _started: float = 0.0
    _planned: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._started = self.clock()

    @property
    def left(self) -> float:
        """Seconds that are left; below 0 where more was spent."""
        return self.seconds - (self.clock() - self._started)

    def estimate(self, kinds: Iterable[str], calls: int) -> float:
        """Seconds that making and measuring some kinds on so many calls will take on this machine."""
        return self.slowness * calls * sum(CANDIDATES[kind].effort for kind in kinds)

    def affordable(
        self, unit: Unit, kinds: Sequence[str], calls: int, share: float
    ) -> tuple[tuple[str, ...], int]:
        """Say which kinds a unit is given, and on how many of its calls; these kinds will be tried.

        The cheapest kinds come first; one more is taken only where the unit's share of the time still
        carries them all on enough calls.

        Args:
            unit: The unit.
            kinds: Kinds that can do the unit.
            calls: Calls of the unit.
            share: The unit's share of what could be saved, 0 to 1.
        """
        time_there = max(0.0, self.left) * share
        taken: list[str] = []
        for kind in sorted(kinds, key=lambda kind: CANDIDATES[kind].effort):
            if taken and self.estimate([*taken, kind], min(calls, ENOUGH_CALLS)) > time_there:
                continue
            taken.append(kind)
        self._planned |= {(unit.name, kind) for kind in taken}
        most = int(time_there / (self.slowness * MASKING + self.estimate(taken, 1)))
        return tuple(taken), min(calls, max(LEAST_CALLS, most))

    def denies(self, kind: str, brief: Brief, trials: Sequence[Trial]) -> str:
        """Say why a kind is not tried on a unit; "" where it is. See `Workshop.denies`."""
        best = max((trial.coverage for trial in trials), default=0.0)
        if best >= 1 - MARGIN:
            return f"a cheaper kind could answer {best:.0%} already"
        self._learn(brief, trials)
        needed = self.estimate([kind], sum(map(len, brief.dataset.parts.values())))
        # What was planned is tried even when the time ran away: a budget that says nothing is no use.
        if needed <= self.left or (brief.unit.name, kind) in self._planned:
            return ""
        self.left_out.append(
            f"{brief.unit.name}: {kind} would take about {minutes(needed)}, "
            f"{minutes(max(0.0, self.left))} were left."
        )
        return f"no time: it takes about {minutes(needed)}"

    def _learn(self, brief: Brief, trials: Sequence[Trial]) -> None:
        """Compare the last trial's time with what was expected of it."""
        if not trials or trials[-1].seconds < _SETTLED:
            return
        expected = CANDIDATES[trials[-1].kind].effort * sum(map(len, brief.dataset.parts.values()))
        if expected:
            self.slowness = min(50.0, max(0.2, trials[-1].seconds / expected))


def drawn(calls: Mapping[str, Sequence[Call]], most: int) -> list[Call]:
    """Draw calls by whole sessions until there are enough, the same ones every time.

    Args:
        calls: Calls by session.
        most: How many are wanted; the last session drawn may exceed it.
    """
    taken: list[Call] = []
    for session in sorted(calls, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if len(taken) >= most:
            break
        taken += calls[session]
    return taken


def shares_of(units: Sequence[Unit], worth: Callable[[Unit], float]) -> list[float]:
    """Each unit's share of what all of them are worth; equal shares where nothing is known."""
    amounts = [max(0.0, worth(unit)) for unit in units]
    total = sum(amounts)
    return [amount / total if total else 1 / len(units) for amount in amounts]


def minutes(seconds: float) -> str:
    """A duration as it is said: seconds up to a minute and a half, then minutes."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
