"""Which specialist answers each task, decided together with where everything runs.

A better specialist may need another device, and a smaller one may fit beside the others: the choice is by
what devices and the LLM cost together. It is a local search: each task's choice is changed alone, then all of
one base at once, as long as that is cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.core.placement import Role
from offramp.plan.demand import Demand
from offramp.plan.groups import groups_of
from offramp.plan.pack import Load, Packer, cost_of
from offramp.plan.sizing import MOST_ENGINES, Terms, modelled
from offramp.plan.ways import Finder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from offramp.plan.demand import Choice, TaskDemand
    from offramp.plan.fleet import Fleet, Stock
    from offramp.plan.load import Group
    from offramp.plan.pack import Room
    from offramp.plan.shape import ModelShape
    from offramp.plan.sizing import Speeds
    from offramp.plan.ways import Way

    Picked = dict[str, Choice | None]

CROWDS = (1.0, 2.0, 4.0)
"""Sums of duties on one device that are tried: more neighbours, each with more room for them."""
UNPRICED_USD = 1e3
"""What a call on the LLM counts where nobody said what it costs: as many as possible are taken off it."""
URGENT = "urgent"
"""What the names of engines end in that urgent tasks have for themselves."""
_ROUNDS = 6
_OWN_LLM = 1e-4
_WORTH = 1e-6


@dataclass(frozen=True, slots=True)
class Packed:
    """One choice, packed.

    Attributes:
        picked: Who answers each task.
        groups: What engines serve.
        rooms: Devices with engines.
        crowd: Sum of duties that a device takes.
        devices_usd: USD an hour for devices.
        llm_usd: What calls on the LLM count, USD an hour.
        families: Names of the engines of tasks that do not share those of their base.
    """

    picked: Picked
    groups: tuple[Group, ...]
    rooms: tuple[Room, ...]
    crowd: float
    devices_usd: float
    llm_usd: float
    families: Mapping[str, str] = field(default_factory=dict)

    @property
    def usd(self) -> float:
        """Both."""
        return self.devices_usd + self.llm_usd


@dataclass(slots=True)
class Chooser:
    """Searches for the cheapest choice.

    Attributes:
        demand: The calls.
        fleet: What there is.
        shapes: Shape of each base by its name.
        speeds: How fast bases are.
    """

    demand: Demand
    fleet: Fleet
    shapes: Mapping[str, ModelShape]
    speeds: Speeds = modelled
    _ways: dict[tuple[Group, str, float], tuple[Way, ...]] = field(default_factory=dict)

    @property
    def terms(self) -> Terms:
        """What every engine has to keep: its part of what its device may overflow with."""
        return Terms(self.fleet.within, self.fleet.overflow / MOST_ENGINES)

    @property
    def crowds(self) -> tuple[float, ...]:
        """The sums of duties worth trying: one where bandwidth is divided for good."""
        shared = any(not stock.sharing.bandwidth for stock in self.fleet.stocks)
        return CROWDS if shared else CROWDS[:1]

    def best(self) -> Packed | None:
        """Search, and return the cheapest choice that was found; None where nothing fits at all."""
        found = [packed for start in self._starts() if (packed := self._fitting(start)) is not None]
        if not found:
            return None
        current = min((self._split(one) for one in found), key=lambda one: one.usd)
        for _ in range(_ROUNDS):
            improved = self._split(self._round(current))
            if improved.usd >= current.usd - _WORTH:
                break
            current = improved
        return self.whole(current.picked, current.families) or current

    def needed(self, packed: Packed | None) -> Packed:
        """Return a packing that has to be there.

        Raises:
            BadInput: It is not.
        """
        if packed is None:
            raise BadInput(
                "The LLM does not fit onto this fleet within its objective.",
                hint="Allow more devices of more memory, more of them in parallel, or a longer objective.",
            )
        return packed

    def quick(self, picked: Picked, families: Mapping[str, str] | None = None) -> Packed | None:
        """Pack a choice in one order."""
        packer = Packer(self.fleet.stocks, self.crowds[0])
        return self._packed(picked, packer, families or {}, thorough=False)

    def whole(self, picked: Picked, families: Mapping[str, str] | None = None) -> Packed | None:
        """Pack a choice in all orders and for all crowds, and return the cheapest."""
        found = [
            packed
            for crowd in self.crowds
            if (
                packed := self._packed(
                    picked, Packer(self.fleet.stocks, crowd), families or {}, thorough=True
                )
            )
        ]
        return min(found, key=lambda one: cost_of(one.rooms), default=None)

    def loads(self, groups: tuple[Group, ...], crowd: float) -> list[Load] | None:
        """Return the ways to run each group, None where one has none."""
        loads = []
        for group in groups:
            found = tuple(way for stock in self.fleet.stocks for way in self.ways(group, stock, crowd))
            if not found:
                return None
            loads.append(Load(found, group.parallel))
        return loads

    def ways(self, group: Group, stock: Stock, crowd: float) -> tuple[Way, ...]:
        """Return the ways to run a group on one kind of device."""
        key = (group, stock.device.name, crowd)
        if key not in self._ways:
            inside = group.parallel <= stock.per_node and stock.per_node % group.parallel == 0
            there = stock.count != 0
            finder = Finder(stock, self.terms, crowd, self.speeds)
            self._ways[key] = finder.ways(group) if inside and there else ()
        return self._ways[key]

    def _packed(
        self, picked: Picked, packer: Packer, families: Mapping[str, str], *, thorough: bool
    ) -> Packed | None:
        groups = groups_of(self.demand, picked, self.fleet, self.shapes, families=families)
        loads = self.loads(groups, packer.crowd)
        if loads is None:
            return None
        rooms = packer.best(loads) if thorough else packer.once(loads, rule="both")
        if rooms is None:
            return None
        return Packed(
            picked=picked,
            groups=groups,
            rooms=tuple(rooms),
            crowd=packer.crowd,
            devices_usd=cost_of(rooms)[0],
            llm_usd=self.llm_usd(picked),
            families=families,
        )

    def llm_usd(self, picked: Picked) -> float:
        """USD an hour that calls on the LLM count.

        Where it is on the fleet's own devices it is paid with them, and its calls decide between equals only.
        """
        factor = 1.0 if self.fleet.llm is None else _OWN_LLM
        return factor * self._provider_usd(picked)

    def _provider_usd(self, picked: Picked) -> float:
        if any(task.llm_usd for task in self.demand.tasks):
            return sum(task.llm_usd_per_hour(picked.get(task.task)) for task in self.demand.tasks)
        left = (
            task.mean_rate * (1.0 if (one := picked.get(task.task)) is None else 1.0 - one.taken_off)
            for task in self.demand.tasks
        )
        return UNPRICED_USD * sum(left)

    def able(self, task: TaskDemand) -> tuple[Choice, ...]:
        """Return the choices of a task that some device can run alone, the best first."""
        found = []
        for choice in task.choices:
            groups = groups_of(Demand((task,)), {task.task: choice}, self._no_llm, self.shapes)
            if any(
                self.ways(group, stock, self.crowds[0]) for group in groups for stock in self.fleet.stocks
            ):
                found.append(choice)
        return tuple(sorted(found, key=lambda one: (-one.taken_off, one.specialist)))

    @property
    def _no_llm(self) -> Fleet:
        return replace(self.fleet, llm=None)

    def _starts(self) -> Iterator[Picked]:
        """Return where the search begins: the best for each, one base for all, all with the LLM."""
        able = {task.task: self.able(task) for task in self.demand.tasks}
        yield {task: next(iter(choices), None) for task, choices in able.items()}
        for base in self.demand.bases:
            yield {
                task: next((one for one in choices if one.base == base), None)
                for task, choices in able.items()
            }
        yield dict.fromkeys(able)

    def _fitting(self, start: Picked) -> Packed | None:
        """Pack a start; where it does not fit, as many of its tasks as do, those first that save most."""
        whole = self.quick(start)
        if whole is not None:
            return whole
        saving = {
            task.task: task.llm_usd_per_hour(None) - task.llm_usd_per_hour(start.get(task.task))
            or task.mean_rate
            for task in self.demand.tasks
        }
        order = sorted(saving, key=lambda task: (-saving[task], task))
        low, high = 0, len(order)
        best = None
        while high - low > 1 or best is None:
            middle = (low + high) // 2
            kept = set(order[:middle])
            found = self.quick({task: one if task in kept else None for task, one in start.items()})
            if found is None:
                if middle == 0:
                    return None
                high = middle
            else:
                low, best = middle, found
        return best

    def _round(self, current: Packed) -> Packed:
        """Try every change once, and keep each that is cheaper."""
        for change in self._changes():
            if all(current.picked.get(task) == choice for task, choice in change.items()):
                continue
            tried = self.quick({**current.picked, **change}, current.families)
            if tried is not None and tried.usd < current.usd - _WORTH:
                current = tried
        return current

    def _split(self, current: Packed) -> Packed:
        """Give urgent tasks engines of their own where that is cheaper: a shared one is sized by them."""
        for group in current.groups:
            if group.role is Role.LLM or len(group.members) < 2:
                continue
            for limit in sorted({member.objective_s for member in group.members})[:-1]:
                urgent = {
                    one.task: f"{group.name}-{URGENT}" for one in group.members if one.objective_s <= limit
                }
                tried = self.quick(current.picked, {**current.families, **urgent})
                if tried is not None and tried.usd < current.usd - _WORTH:
                    current = tried
        return current

    def _changes(self) -> Iterator[Picked]:
        """Return changes of one task's choice, then of all tasks that have a choice on one base."""
        for task in self.demand.tasks:
            for choice in (*self.able(task), None):
                yield {task.task: choice}
        for base in self.demand.bases:
            yield {
                task.task: next(one for one in task.choices if one.base == base)
                for task in self.demand.tasks
                if any(one.base == base for one in task.choices)
            }
