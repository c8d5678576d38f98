"""A probe by successive halving: all arms on a few calls, the better ones on more, the best on all.

Successive halving is from Karnin, Koren and Somekh (2013); that racing on a nested prefix of the same
calls spares most of the cost when arms are far apart is Jamieson and Talwalkar (1502.07943). Two changes: an
arm is not judged by its agreement alone, because the *smallest* arm within a margin of the best is wanted,
and the arm with the best agreement of a rung never leaves in that rung, because it defines the margin.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput, OfframpError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Measure = Callable[[str, Sequence[int]], Sequence[float]]

_SLACK = 1.0
"""Standard errors of the difference to the best that an arm is given in rungs before the last."""


@dataclass(frozen=True, slots=True)
class Probe:
    """How to probe.

    Attributes:
        margin: How much less agreement than the best's is still good enough.
        eta: One arm in ``eta`` stays after each rung.
        least: Fewest calls of the first rung.
        seed: Seed of the order in which calls are drawn.
    """

    margin: float = 0.02
    eta: int = 2
    least: int = 32
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of one arm.

    Attributes:
        name: The arm.
        size: Its size, as it was given.
        calls: Calls it was asked.
        agreement: Share of them it agreed on.
        rung: The last rung it ran in, from 0.
        reason: Why it left, or why it won; never empty.
    """

    name: str
    size: float
    calls: int
    agreement: float
    rung: int
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a probe.

    Attributes:
        winner: The smallest arm within the margin of the best in the last rung; "" where every arm failed.
        standings: All arms, the winner first, then by how long they stayed.
        rungs: Calls of each rung, cumulative.
        asked: Calls asked of all arms together.
    """

    winner: str
    standings: tuple[Standing, ...]
    rungs: tuple[int, ...]
    asked: int


def rungs_of(arms: int, calls: int, probe: Probe) -> tuple[int, ...]:
    """Lay out the rungs: cumulative numbers of calls, growing by ``eta``, the last one all calls.

    There are no more rungs than it takes to get down to one arm, and none starts with fewer than
    ``probe.least`` calls.
    """
    count = 1
    while probe.eta ** (count - 1) < arms and calls // probe.eta**count >= probe.least:
        count += 1
    return tuple(max(1, calls // probe.eta ** (count - 1 - rung)) for rung in range(count))


def probe_arms(sizes: Mapping[str, float], measure: Measure, calls: int, probe: Probe) -> Outcome:
    """Find the smallest arm within a margin of the best.

    Args:
        sizes: Size of each arm; smaller is better. What it counts (seconds, bytes) is the caller's.
        measure: Asks an arm about calls, given by their indices, and returns a loss in 0 to 1 for each.
            An arm is never asked about a call twice. An `OfframpError` takes the arm out, with its message.
        calls: How many calls there are to ask about: validation calls, never calibration calls.
        probe: How to probe.

    Raises:
        BadInput: There are no arms or no calls, ``eta`` is below 2, or a loss is missing.
    """
    if not sizes or calls < 1 or probe.eta < 2:
        raise BadInput(
            f"A probe needs arms, calls and an eta of at least 2; got {len(sizes)}, {calls}, {probe.eta}."
        )
    order = list(range(calls))
    random.Random(probe.seed).shuffle(order)  # noqa: S311 - an order of calls, no secret
    race = _Race(dict(sizes), measure, probe)
    rungs = rungs_of(len(sizes), calls, probe)
    for rung, upto in enumerate(rungs):
        race.run(rung, order[len(race.drawn) : upto])
        if rung < len(rungs) - 1:
            race.thin(rung)
    return race.finish(rungs)


class _Race:
    """The arms that still run, with what each lost on every call drawn so far."""

    def __init__(self, sizes: dict[str, float], measure: Measure, probe: Probe) -> None:
        # The name breaks ties, so that the order in which arms are given decides nothing.
        self._sizes = dict(sorted(sizes.items(), key=lambda item: (item[1], item[0])))
        self._measure = measure
        self._probe = probe
        self._losses: dict[str, list[float]] = {name: [] for name in self._sizes}
        self._left: dict[str, tuple[int, str]] = {}
        self.drawn: list[int] = []

    @property
    def running(self) -> list[str]:
        return [name for name in self._sizes if name not in self._left]

    def run(self, rung: int, rows: Sequence[int]) -> None:
        self.drawn.extend(rows)
        for name in self.running:
            try:
                losses = list(self._measure(name, rows))
            except OfframpError as error:
                self._left[name] = (rung, f"failed: {error}")
                continue
            if len(losses) != len(rows):
                raise BadInput(f"Arm {name!r} returned {len(losses)} losses for {len(rows)} calls.")
            self._losses[name] += losses

    def thin(self, rung: int) -> None:
        """Keep the best arm, and the smallest that are not shown to be worse, one in ``eta`` in all."""
        running = self.running
        if len(running) < 2:
            return
        best = self._best()
        near = [name for name in running if self._near(name, best, _SLACK)]
        far = sorted(
            (n for n in running if n not in near), key=lambda n: (-self._agreement(n), self._sizes[n])
        )
        keep = math.ceil(len(running) / self._probe.eta)
        kept = list(dict.fromkeys([best, *near, *far]))[:keep]
        for name in running:
            if name not in kept:
                ours, theirs = self._agreement(name), self._agreement(best)
                reason = f"{ours:.1%} of {len(self.drawn)} calls, the best {theirs:.1%}"
                self._left[name] = (rung, reason)

    def finish(self, rungs: tuple[int, ...]) -> Outcome:
        running, last = self.running, len(rungs) - 1
        winner = ""
        if running:
            best = self._best()
            winner = next(name for name in running if self._near(name, best, 0.0))
            for name in running:
                self._left[name] = (last, self._verdict(name, winner, best))
        ranked = sorted(
            self._left, key=lambda n: (n != winner, -self._left[n][0], -self._agreement(n), self._sizes[n])
        )
        standings = tuple(
            Standing(
                name, self._sizes[name], len(self._losses[name]), self._agreement(name), *self._left[name]
            )
            for name in ranked
        )
        return Outcome(winner, standings, rungs, sum(len(losses) for losses in self._losses.values()))

    def _verdict(self, name: str, winner: str, best: str) -> str:
        if name == winner:
            return (
                "the smallest within the margin of the best"
                if name != best
                else "the best, and none smaller is near"
            )
        if self._near(name, best, 0.0):
            return f"near the best, but larger than {winner}"
        return f"{self._agreement(best) - self._agreement(name):.1%} below the best"

    def _best(self) -> str:
        # Ties go to the smallest: the order of the names is that of the sizes, and max keeps the first.
        return max(self.running, key=self._agreement)

    def _agreement(self, name: str) -> float:
        losses = self._losses[name]
        return 1.0 - sum(losses) / len(losses) if losses else 0.0

    def _near(self, name: str, best: str, slack: float) -> bool:
        """Whether an arm is within the margin of the best, or not yet shown to be outside (paired calls)."""
        gaps = [ours - theirs for ours, theirs in zip(self._losses[name], self._losses[best], strict=True)]
        mean = sum(gaps) / len(gaps)
        spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps) / len(gaps))
        return mean <= self._probe.margin + slack * spread + 1e-12
