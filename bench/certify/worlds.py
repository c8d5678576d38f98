"""Worlds in which the risk of every threshold is known, and calls drawn from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offramp.certify.sessions import Sessions
from offramp.certify.units import Units, call_units, first_of_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from offramp.certify.units import Bools, Floats

SHARED = 0.8
"""Where calls depend, each takes its session's confidence, and its session's luck, this often."""


@dataclass(frozen=True)
class World:
    """P(loss | confidence c) = floor + rise (1 - c)^2, confidence uniform."""

    floor: float
    rise: float

    def chance(self, confidence: Floats) -> Floats:
        """Return the chance of a disagreement."""
        return np.asarray(self.floor + self.rise * (1.0 - confidence) ** 2)

    def risk(self, threshold: float) -> float:
        """Return the true risk per call of the calls at or above a threshold."""
        return self.floor + self.rise * (1.0 - threshold) ** 2 / 3.0

    def breaks(self, threshold: float | None, alpha: float) -> bool:
        """Say whether a gate that answers from a threshold on lets too much through."""
        return threshold is not None and self.risk(threshold) > alpha


def rising(alpha: float) -> World:
    """Risk alpha/20 at the strictest threshold, alpha at a coverage of 0.69, twice that for everything."""
    return World(alpha / 20.0, 6.0 * alpha)


def hopeless(alpha: float) -> World:
    """Risk a hair above alpha at every threshold: whatever is certified is wrong."""
    return World(alpha * (1.0 + 1e-9), 0.0)


@dataclass(frozen=True)
class Shape:
    """How long sessions are, and what that has to do with their risk.

    Attributes:
        name: For the table.
        lengths: Possible numbers of calls, all equally likely.
        factors: Risk of the calls of a session of each length, over the mean risk per call.
    """

    name: str
    lengths: tuple[int, ...]
    factors: tuple[float, ...]

    @property
    def cap(self) -> int:
        """What a session counts as at most."""
        return max(self.lengths)


SHAPES = (
    Shape("one call", (1,), (1.0,)),
    Shape("1 to 5 calls, dependent", (1, 2, 3, 4, 5), (1.0,) * 5),
    Shape("20 calls, dependent", (20,), (1.0,)),
    # Per call (0.25 x 1 + 1.0833 x 9) / 10 = 1; per session two thirds of that.
    Shape("1 or (worse) 9 calls, dependent", (1, 9), (0.25, 9.75 / 9.0)),
)


@dataclass(frozen=True)
class Sample:
    """Calls of one repeat as columns.

    Attributes:
        session: Number of the session of each call, shape (m,).
        confidence: Shape (m,).
        loss: Shape (m,).
        sessions: How many sessions there are.
        cap: What a session counts as at most.
    """

    session: NDArray[np.intp]
    confidence: Floats
    loss: Bools
    sessions: int
    cap: int

    @property
    def rows(self) -> Units:
        """Every call as one unit, as if calls were independent."""
        return call_units(self.confidence, self.loss)

    def drawn(self, rng: np.random.Generator) -> Units:
        """Draw one call a session."""
        rows = first_of_session(self.session, rng.random(len(self.session)))
        return call_units(self.confidence[rows], self.loss[rows])

    @property
    def whole(self) -> Sessions:
        """Whole sessions, in the order in which they were drawn."""
        units = self.rows
        return Sessions(self.session, units.answer_at, units.error_at, units.weight, self.sessions, self.cap)


def samples(
    world: World, shape: Shape, sessions: int, repeats: int, rng: np.random.Generator
) -> Iterator[Sample]:
    """Draw ``repeats`` independent samples of ``sessions`` sessions each."""
    for _ in range(repeats):
        kind = rng.integers(len(shape.lengths), size=sessions)
        length = np.array(shape.lengths)[kind]
        session = np.repeat(np.arange(sessions), length)
        confidence, luck = (_mixed(session, sessions, rng, alone=shape.cap == 1) for _ in range(2))
        chance = world.chance(confidence) * np.array(shape.factors)[kind][session]
        # In order of confidence, which spares every gate most of its sorting.
        order = np.argsort(confidence)
        yield Sample(session[order], confidence[order], (luck < chance)[order], sessions, shape.cap)


def _mixed(session: NDArray[np.intp], sessions: int, rng: np.random.Generator, *, alone: bool) -> Floats:
    """Draw uniform numbers, each of them its session's with probability ``SHARED``."""
    own = rng.random(len(session))
    if alone:
        return own
    return np.where(rng.random(len(session)) < SHARED, rng.random(sessions)[session], own)
