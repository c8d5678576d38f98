"""A packing written down as a placement: devices numbered on their hosts, engines with their slices."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from offramp.core.placement import Adapter, PlacedDevice, PlacedEngine, Placement, Reserve, Role, Slice
from offramp.plan.mig import placed
from offramp.plan.sizing import MOST_ENGINES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.plan.choose import Packed
    from offramp.plan.fleet import Fleet
    from offramp.plan.load import Group
    from offramp.plan.pack import Room
    from offramp.plan.ways import Way


def ordered(packed: Packed) -> list[Room]:
    """Return the devices that are there already in their order, then the others by kind.

    Among those, devices of engines that span several come first, so that hosts hold them whole.
    """

    def key(position: int) -> tuple[bool, int, str, int, int]:
        room = packed.rooms[position]
        widest = max(packed.groups[item.group].parallel for item in room.items)
        fresh = room.name is None
        return fresh, room.name or 0, room.stock.device.name, -widest, position

    return [packed.rooms[position] for position in sorted(range(len(packed.rooms)), key=key)]


def placement_of(packed: Packed, fleet: Fleet, present: Placement | None = None) -> Placement:
    """Write a packing down.

    Args:
        packed: Its devices in order (`ordered`).
        fleet: What is promised.
        present: The placement whose devices the packing names.
    """
    devices = _devices(packed, present)
    where: dict[tuple[int, int], list[Slice]] = {}
    ways: dict[tuple[int, int], Way] = {}
    for device, room in enumerate(packed.rooms):
        taken: Counter[str] = Counter()
        for item in room.items:
            profile = _instance(devices[device].profiles, item.way.profile, taken)
            # Engines that take turns get equal ones, whatever they were sized for.
            turns = not (item.way.alone or room.stock.sharing.shares)
            share = 1.0 / len(room.items) if turns else item.way.share
            part = Slice(device, round(share, 4), profile)
            where.setdefault((item.group, item.replica), []).append(part)
            ways[item.group, item.replica] = item.way
    engines = tuple(
        _engine(packed.groups[group], replica, ways[group, replica], tuple(where[group, replica]))
        for group, replica in sorted(where)
    )
    each = fleet.overflow / MOST_ENGINES
    return Placement(
        devices=devices,
        engines=engines,
        reserve=_reserve(engines, fleet),
        overflow=max((len(room.items) * each for room in packed.rooms), default=0.0),
        price_per_hour=sum(room.stock.device.price_per_hour for room in packed.rooms),
    )


def _devices(packed: Packed, present: Placement | None) -> tuple[PlacedDevice, ...]:
    """Number devices: those of the present keep their numbers, the others get free ones."""
    hosts = _Hosts()
    found: list[PlacedDevice] = []
    for room in packed.rooms:
        if room.name is not None and present is not None:
            there = present.devices[room.name]
            hosts.take(there)
            found.append(PlacedDevice(there.kind, there.node, there.index, _cut(room)))
    block: list[tuple[str, int]] = []
    for room in packed.rooms[len(found) :]:
        widest = max(packed.groups[item.group].parallel for item in room.items)
        block = block or hosts.block(room, widest)
        node, index = block.pop(0)
        found.append(PlacedDevice(room.stock.device.name, node, index, _cut(room)))
    return tuple(found)


class _Hosts:
    """Which numbers are taken on which host."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[str, set[int]]] = {}

    def take(self, device: PlacedDevice) -> None:
        self._taken.setdefault(device.node, (device.kind, set()))[1].add(device.index)

    def block(self, room: Room, count: int) -> list[tuple[str, int]]:
        """Take so many free numbers on one host, a new one where none has them."""
        kind, most = room.stock.device.name, room.stock.per_node
        for node, (there, taken) in self._taken.items():
            free = [index for index in range(most) if index not in taken]
            if there == kind and len(free) >= count:
                return self._give(node, kind, free[:count])
        number = next(one for one in range(len(self._taken) + 1) if f"node-{one}" not in self._taken)
        return self._give(f"node-{number}", kind, list(range(count)))

    def _give(self, node: str, kind: str, indices: list[int]) -> list[tuple[str, int]]:
        for index in indices:
            self.take(PlacedDevice(kind, node, index))
        return [(node, index) for index in indices]


def _cut(room: Room) -> tuple[str, ...]:
    names = tuple(sorted(item.way.profile for item in room.items if item.way.profile))
    return (placed(room.stock.device.name, names) or ()) if names else ()


def _instance(profiles: tuple[str, ...], name: str, taken: Counter[str]) -> int | None:
    """Return the position of the next instance of a profile that nobody has."""
    if not name:
        return None
    positions = [position for position, one in enumerate(profiles) if one == name]
    taken[name] += 1
    return positions[taken[name] - 1]


def _engine(group: Group, replica: int, way: Way, slices: tuple[Slice, ...]) -> PlacedEngine:
    ranks = {one.specialist: one.rank for one in group.members if one.rank}
    return PlacedEngine(
        name=f"{group.name}.{replica}",
        base=group.base_name,
        role=group.role,
        slices=slices,
        memory=way.sized.memory,
        slots=way.sized.slots,
        context=way.sized.context,
        adapters=tuple(Adapter(name, ranks[name]) for name in sorted(ranks)),
        loaded=max(len(ranks), way.loaded),
    )


def _reserve(engines: Sequence[PlacedEngine], fleet: Fleet) -> Reserve | None:
    llm = [engine for engine in engines if engine.role is Role.LLM]
    if fleet.llm is None or not llm:
        return None
    return Reserve(
        slots=sum(engine.slots for engine in llm),
        kv=sum(engine.memory.kv * len(engine.slices) for engine in llm),
        share=min(part.share for engine in llm for part in engine.slices),
        wait_s=fleet.llm.wait_s,
        probability=fleet.llm.probability,
    )
