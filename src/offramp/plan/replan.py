"""The next plan from the present one: moves cost something, and below their cost nothing happens.

What still keeps its terms stays as it is, down to the byte; the rest, and what is new, is packed beside it. A
plan from nothing takes its place only where it saves more than its moves cost, by a margin (hysteresis), and
never with more devices.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.core.placement import Role, slot_rank
from offramp.plan.choose import Packed
from offramp.plan.fleet_plan import Move, described
from offramp.plan.groups import groups_of
from offramp.plan.load import Mix
from offramp.plan.pack import Item, Packer, Room, cost_of
from offramp.plan.placing import ordered, placement_of
from offramp.plan.sizing import Part, sizing_of
from offramp.plan.ways import Way
from offramp.plan.words import usd

if TYPE_CHECKING:
    from offramp.core.placement import PlacedEngine, Placement
    from offramp.plan.choose import Chooser, Picked
    from offramp.plan.fleet_plan import FleetPlan
    from offramp.plan.load import Group

_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Switching:
    """What changing costs.

    Attributes:
        usd_per_start: USD that starting one engine costs: its device idles, its calls go to the LLM.
        horizon_h: Hours that a plan is thought to last.
        margin: How many times the cost of its moves a plan has to save.
    """

    usd_per_start: float = 0.5
    horizon_h: float = 24.0
    margin: float = 1.5

    def __post_init__(self) -> None:
        if min(self.usd_per_start, self.margin) < 0 or self.horizon_h <= 0:
            raise BadInput(
                f"Starting an engine costs {self.usd_per_start:g} USD, {self.margin:g} times over, for "
                f"{self.horizon_h:g} hours; allowed are 0 or more, 0 or more, above 0."
            )


def replan(chooser: Chooser, present: Placement, switching: Switching) -> FleetPlan:
    """Plan from a present placement.

    Args:
        chooser: Demand and fleet of today.
        present: What runs.
        switching: What changing it costs.

    Raises:
        NotFound: The fleet has none of the present devices' kinds, or a base has no shape.
        BadInput: The LLM does not fit.
    """
    patcher = _Patcher(chooser, present, switching)
    patched = patcher.patched()
    fresh = chooser.best()
    if patched is None:
        return patcher.described(patcher.adopted(chooser.needed(fresh)), "")
    found = [patched, *(patcher.adopted(one) for one in (patcher.improved(patched), fresh) if one)]
    best = min(
        (one for one in found if len(one.rooms) <= len(patched.rooms)),
        key=lambda one: (patcher.cost(one), one is not patched),
    )
    return patcher.described(best, patcher.declined(best, found))


@dataclass(slots=True)
class _Patcher:
    """Changes a present placement as little as today's demand allows."""

    chooser: Chooser
    present: Placement
    switching: Switching
    _crowd: float = field(default=0.0, init=False)

    def patched(self) -> Packed | None:
        """Return the present with what has to change, for the sum of duties that makes it cheapest."""
        found = []
        for crowd in self.chooser.crowds:
            self._crowd = crowd
            packed = self._with_new()
            if packed is not None:
                found.append(packed)
        return min(found, key=self.cost, default=None)

    def improved(self, packed: Packed) -> Packed:
        """Return it with devices emptied into others where that is cheaper."""
        packer = Packer(self.chooser.fleet.stocks, packed.crowd)
        loads = self.chooser.loads(packed.groups, packed.crowd)
        if loads is None:
            return packed
        rooms = packer.improved(loads, list(packed.rooms))
        return replace(packed, rooms=tuple(rooms), devices_usd=cost_of(rooms)[0])

    def cost(self, packed: Packed) -> float:
        """USD over the horizon, with what its moves have to save."""
        starts = sum(move.starts for move in self.moves(packed))
        moving = self.switching.margin * self.switching.usd_per_start * starts
        return self.switching.horizon_h * packed.usd + moving

    def moves(self, packed: Packed) -> tuple[Move, ...]:
        """Return what has to be started, started anew and ended."""
        whole = replace(packed, rooms=tuple(ordered(packed)))
        after = placement_of(whole, self.chooser.fleet, self.present)
        was, now = _keys(self.present), _keys(after)
        found = [
            Move(name, "restart" if name in was else "start") for name in now if was.get(name) != now[name]
        ]
        return (*found, *(Move(name, "stop") for name in was if name not in now))

    def described(self, packed: Packed, note: str) -> FleetPlan:
        """Turn a packing into the plan, with its moves."""
        plan = described(self.chooser, packed, present=self.present, eased=False)
        notes = (*plan.notes, note) if note else plan.notes
        return replace(plan, moves=self.moves(packed), notes=notes)

    def declined(self, best: Packed, found: list[Packed]) -> str:
        """Say what a cheaper plan was left for."""
        cheapest = min(found, key=lambda one: one.usd)
        if cheapest.usd >= best.usd - _TOLERANCE:
            return ""
        starts = sum(move.starts for move in self.moves(cheapest))
        return (
            f"a plan for {usd(best.usd - cheapest.usd)} an hour less would start {starts} engines: "
            f"not worth it within {self.switching.horizon_h:g} hours"
        )

    def adopted(self, packed: Packed) -> Packed:
        """Give devices the numbers of present ones of their kind, those with the same engines first."""
        taken = {room.name for room in packed.rooms}
        rooms = list(packed.rooms)
        pairs = sorted(
            (
                (-len(self._names(packed, room) & self._there(number)), position, number)
                for position, room in enumerate(rooms)
                for number, device in enumerate(self.present.devices)
                if room.name is None and device.kind == room.stock.device.name
                # An engine over several devices stays on one host only if they are numbered together.
                if all(packed.groups[item.group].parallel == 1 for item in room.items)
            )
        )
        for _, position, number in pairs:
            if rooms[position].name is None and number not in taken:
                rooms[position] = replace(rooms[position], name=number)
                taken.add(number)
        return replace(packed, rooms=tuple(rooms))

    def _names(self, packed: Packed, room: Room) -> set[str]:
        return {f"{packed.groups[item.group].name}.{item.replica}" for item in room.items}

    def _there(self, device: int) -> set[str]:
        return {engine.name for engine in self.present.on(device)}

    def _with_new(self) -> Packed | None:
        """Return the present patched, with specialists for tasks that have none where that is cheaper."""
        picked = self._picked()
        packed = self._pack(picked)
        for task in self.chooser.demand.tasks:
            if packed is None or picked[task.task] is not None:
                continue
            for choice in self.chooser.able(task):
                tried = self._pack({**packed.picked, task.task: choice})
                if tried is not None and self.cost(tried) < self.cost(packed) - _TOLERANCE:
                    packed = tried
        return packed

    def _picked(self) -> Picked:
        """Return who answers each task in the present placement."""
        adapters = {one.specialist for engine in self.present.engines for one in engine.adapters}
        plain = {
            engine.base
            for engine in self.present.engines
            if not engine.adapters and engine.role is Role.SMALL
        }
        return {
            task.task: next(
                (
                    one
                    for one in task.choices
                    if one.specialist in adapters or (not one.rank and one.base in plain)
                ),
                None,
            )
            for task in self.chooser.demand.tasks
        }

    def _pack(self, picked: Picked) -> Packed | None:
        """Leave what can stay where it is, and pack the rest beside it."""
        groups = self._groups(picked)
        loads = self.chooser.loads(groups, self._crowd)
        if loads is None:
            return None
        rooms = {
            number: Room(self.chooser.fleet.stock(device.kind), self._crowd, name=number)
            for number, device in enumerate(self.present.devices)
        }
        left = set(range(len(groups)))
        for number, group in enumerate(groups):
            for replica, ways in enumerate(self._staying(group)):
                left.discard(number)
                for device, way in ways:
                    rooms[device].put(Item(number, replica, way))
        full = {item.group for room in rooms.values() if room.overfull for item in room.items}
        left |= full
        kept = [
            replace(room, items=[item for item in room.items if item.group not in full])
            for room in rooms.values()
        ]
        packer = Packer(self.chooser.fleet.stocks, self._crowd)
        packed = packer.once(loads, [room for room in kept if room.items], rule="both", only=left)
        if packed is None:
            return None
        return self.adopted(
            Packed(
                picked=picked,
                groups=groups,
                rooms=tuple(packed),
                crowd=self._crowd,
                devices_usd=cost_of(packed)[0],
                llm_usd=self.chooser.llm_usd(picked),
            )
        )

    def _groups(self, picked: Picked) -> tuple[Group, ...]:
        """Group tasks as the engines of the present do, and new ones with them where there is room."""
        homes: dict[str, str] = {}
        bases: dict[tuple[str, int], list[str]] = defaultdict(list)
        for engine in self.present.engines:
            family = engine.name.rpartition(".")[0]
            homes |= {adapter.specialist: family for adapter in engine.adapters}
            if engine.role is Role.SMALL and family not in bases[engine.base, engine.rank]:
                bases[engine.base, engine.rank].append(family)
        families: dict[str, str] = {}
        for task, choice in picked.items():
            if choice is not None:
                rank = (slot_rank(choice.rank) or choice.rank) if choice.rank else 0
                known = bases.get((choice.base, rank), [])
                families[task] = homes.get(choice.specialist) or (known[0] if known else "")
        return groups_of(
            self.chooser.demand, picked, self.chooser.fleet, self.chooser.shapes, families=families
        )

    def _staying(self, group: Group) -> list[list[tuple[int, Way]]]:
        """Return each engine of a group with its devices where it can stay, nothing where one cannot."""
        engines = [one for one in self.present.engines if one.name.rpartition(".")[0] == group.name]
        mix = Mix(group) if engines else None
        found = []
        for engine in sorted(engines, key=lambda one: int(one.name.rpartition(".")[2] or 0)):
            assert mix is not None
            way = self._stays(mix, engine, len(engines))
            if way is None:
                return []
            found.append([(part.device, way) for part in engine.slices])
        return found

    def _stays(self, mix: Mix, engine: PlacedEngine, replicas: int) -> Way | None:
        """Return how a present engine would run today's calls, None where it would break its terms."""
        group = mix.group
        first = engine.slices[0]
        device = self.present.devices[first.device]
        same = (engine.base, engine.role, len(engine.slices)) == (
            group.base_name,
            group.role,
            group.parallel,
        )
        needed = slot_rank(max(group.ranks, default=1)) or 0
        if not same or (group.ranks and (engine.rank != needed or engine.loaded < len(group.ranks))):
            return None
        alone = all(len(self.present.on(part.device)) == 1 for part in engine.slices)
        profile = "" if first.profile is None else device.profiles[first.profile]
        part = Part(first.share, 0.0 if alone and not profile else self._crowd, replicas)
        stock = self.chooser.fleet.stock(device.kind)
        sizing = sizing_of(mix, stock, part, self.chooser.terms, self.chooser.speeds)
        if sizing is None:
            return None
        sized = sizing.sized()
        if sized.slots > engine.slots or sized.memory.kv > engine.memory.kv or sized.context > engine.context:
            return None
        held = replace(sized, memory=engine.memory, slots=engine.slots, context=engine.context)
        return Way(device.kind, sizing, profile, held, engine.loaded)


def _keys(placement: Placement) -> dict[str, object]:
    """Return by engine all that a restart takes to change."""
    return {
        engine.name: (
            engine.base,
            engine.role,
            tuple(
                (placement.devices[part.device].node, placement.devices[part.device].index, part.share)
                for part in engine.slices
            ),
            tuple(
                placement.devices[part.device].profiles[part.profile]
                for part in engine.slices
                if part.profile is not None
            ),
            engine.memory.kv,
            engine.slots,
            engine.context,
            engine.rank,
            engine.loaded,
        )
        for engine in placement.engines
    }
