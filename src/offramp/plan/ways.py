"""The ways to run a group of tasks: on which kind of device, in how many engines, with what part of each."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from offramp.plan.load import Mix
from offramp.plan.mig import COMPUTE, MEMORY, PROFILES
from offramp.plan.sizing import Part, modelled, sizing_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.plan.fleet import Stock
    from offramp.plan.load import Group
    from offramp.plan.sizing import Sized, Sizing, Speeds, Terms

SHARES = tuple(step / 20 for step in range(1, 20))
"""Shares of a device that engines beside others may get."""
MOST_REPLICAS = 512
_FURTHER_REPLICAS = 2


@dataclass(frozen=True, eq=False)
class Way:
    """One way to run a group.

    Attributes:
        kind: The kind of device.
        sizing: Of each engine.
        profile: MIG profile of each engine; "" where devices are not cut.
        held: What an engine that runs already holds, where that is not what it would get today.
        loaded: Adapter slots that it has, 0 for as many as it needs.
    """

    kind: str
    sizing: Sizing
    profile: str = ""
    held: Sized | None = None
    loaded: int = 0

    @cached_property
    def sized(self) -> Sized:
        """Each engine: its part, memory, slots."""
        return self.sizing.sized() if self.held is None else self.held

    @property
    def replicas(self) -> int:
        """Engines."""
        return self.sizing.part.replicas

    @property
    def alone(self) -> bool:
        """Whether each engine has its devices for itself."""
        return not self.sizing.part.crowd

    @property
    def share(self) -> float:
        """Share of the device's compute that each engine takes."""
        return self.sizing.part.share

    @cached_property
    def memory(self) -> int:
        """Bytes of each engine on each of its devices."""
        return self.sized.memory.total


@dataclass(frozen=True, slots=True)
class _Level:
    share: float
    memory: float
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds the ways to run groups on one kind of device.

    Attributes:
        stock: The kind of device.
        terms: What every engine has to keep.
        crowd: Neighbours in an iteration that engines on shared devices have to bear.
        speeds: How fast bases are.
    """

    stock: Stock
    terms: Terms
    crowd: float
    speeds: Speeds = modelled

    def ways(self, group: Group) -> tuple[Way, ...]:
        """Return the ways to run a group.

        Returns:
            Alone on as few devices as carry it; and on parts of as few and a few more, each part as small as
            can be. Nothing where no number of devices keeps the terms.
        """
        mix = Mix(group)
        if not self._hopeful(mix):
            return ()
        found = []
        alone = self._fewest(mix, self._alone)
        if alone is not None:
            found.append(alone)
        shared = self._fewest(mix, self._smallest)
        if shared is not None:
            found.append(shared)
            for replicas in range(shared.replicas + 1, shared.replicas + 1 + _FURTHER_REPLICAS):
                further = self._smallest(mix, replicas)
                if further is not None and further.share < found[-1].share:
                    found.append(further)
        return tuple(found)

    def alone(self, group: Group, replicas: int) -> Way | None:
        """Return the group with a device for each of so many engines, None where that is not enough."""
        return self._alone(Mix(group), replicas)

    def _hopeful(self, mix: Mix) -> bool:
        """Whether one device keeps the terms as long as there is a single call."""
        idle = copy(mix)
        idle.rates = np.zeros((1, len(mix.objectives)))
        return self._alone(idle, 1) is not None

    def _alone(self, mix: Mix, replicas: int) -> Way | None:
        return self._way(mix, Part(replicas=replicas), _Level(1.0, self.stock.memory))

    def _smallest(self, mix: Mix, replicas: int) -> Way | None:
        """Return the group on the smallest part of each of so many devices."""
        levels = self._levels()
        found = self._at(mix, replicas, levels[-1]) if levels else None
        low, high = 0, len(levels) - 1
        # A larger part is never slower and never has less memory, so the smallest that works can be bisected.
        while found is not None and low < high:
            middle = (low + high) // 2
            tried = self._at(mix, replicas, levels[middle])
            low, high, found = (middle + 1, high, found) if tried is None else (low, middle, tried)
        return found

    def _at(self, mix: Mix, replicas: int, level: _Level) -> Way | None:
        return self._way(mix, Part(level.share, self.crowd, replicas), level)

    def _levels(self) -> list[_Level]:
        """Return the parts that there are, the smallest first."""
        stock = self.stock
        if stock.sharing.profiles:
            return [
                _Level(one.compute / COMPUTE, one.memory / MEMORY * stock.memory, one.name)
                for one in PROFILES.get(stock.device.name, ())
            ]
        return [_Level(share, stock.memory) for share in SHARES]

    def _way(self, mix: Mix, part: Part, level: _Level) -> Way | None:
        if part.replicas * mix.group.parallel > self._most:
            return None
        sizing = sizing_of(mix, self.stock, part, self.terms, self.speeds)
        if sizing is None or not sizing.fits(level.memory):
            return None
        return Way(self.stock.device.name, sizing, level.profile)

    @property
    def _most(self) -> int:
        return MOST_REPLICAS if self.stock.count is None else self.stock.count

    def _fewest(self, mix: Mix, tried: Callable[[Mix, int], Way | None]) -> Way | None:
        """Return what the fewest replicas give: doubled until they do, then bisected."""
        low, high = 0, 1
        best = tried(mix, 1)
        while best is None and high * mix.group.parallel < self._most:
            low, high = high, 2 * high
            best = tried(mix, high)
        while best is not None and high - low > 1:
            middle = (low + high) // 2
            found = tried(mix, middle)
            low, high, best = (middle, high, best) if found is None else (low, middle, found)
        return best
