"""Engines into devices: best fit, the largest first, in a few orders, then one device after the other again.

Bin packing with several kinds of devices and, for each group of engines, several ways to run it. Everything
is additive (memory, shares, duty), so that an exact solver packs by the same rules.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from offramp.plan.mig import placed
from offramp.plan.sizing import MOST_ENGINES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from offramp.plan.fleet import Stock
    from offramp.plan.ways import Way

    _Rule = Callable[[float, float], tuple[float, ...]]

_TOLERANCE = 1e-9
_PASSES = 4
_SHAKES = 300
_SEED = 20260


@dataclass(frozen=True, slots=True)
class Item:
    """One engine in a device.

    Attributes:
        group: Position of its group.
        replica: Its number among the group's engines.
        way: How it runs.
    """

    group: int
    replica: int
    way: Way


@dataclass(slots=True)
class Room:
    """One device with what is in it.

    Attributes:
        stock: Its kind.
        crowd: Sum of duties that it takes.
        items: Its engines.
        fixed: Whether it stays as it is: no other device takes its engines over.
        name: Of the device in a present placement, None for a fresh one.
    """

    stock: Stock
    crowd: float
    items: list[Item] = field(default_factory=list)
    fixed: bool = False
    name: int | None = None

    memory: int = field(default=0, init=False)
    """Bytes taken."""
    share: float = field(default=0.0, init=False)
    """Share of the compute taken."""
    duty: float = field(default=0.0, init=False)
    """Duties of its engines, summed."""

    def __post_init__(self) -> None:
        items, self.items = self.items, []
        for item in items:
            self.put(item)

    def put(self, item: Item) -> None:
        """Put one more engine in; whether it fits is the caller's question."""
        self.items.append(item)
        self.memory += item.way.memory
        self.share += item.way.share
        self.duty += item.way.sized.duty

    @property
    def fill(self) -> float:
        """The fullest of its resources."""
        return self._fill(self.memory, self.share, self.duty)

    @property
    def overfull(self) -> bool:
        """Whether it has more than it takes: instances that do not fit, or too much of a resource."""
        names = tuple(sorted(item.way.profile for item in self.items if item.way.profile))
        if names:
            return placed(self.stock.device.name, names) is None
        return len(self.items) > 1 and self.fill > 1.0 + 1e-3

    def fill_with(self, way: Way) -> float:
        """Return how full it would be with one more."""
        if way.alone:
            return 1.0
        return self._fill(self.memory + way.memory, self.share + way.share, self.duty + way.sized.duty)

    def takes(self, group: int, way: Way) -> bool:
        """Whether an engine fits in beside those that are there; a group has one engine in a device."""
        if not self.items:
            return True
        if way.alone or len(self.items) >= MOST_ENGINES:
            return False
        if any(item.group == group or item.way.alone for item in self.items):
            return False
        if way.profile:
            names = tuple(sorted((*(item.way.profile for item in self.items), way.profile)))
            return placed(self.stock.device.name, names) is not None
        return self.fill_with(way) <= 1.0 + _TOLERANCE

    def left_with(self, way: Way) -> float:
        """Return how much would be left with one more, as the sum of the squares over the resources.

        The fullest resource alone says little where engines differ in what they need (Panigrahy et al.,
        "Heuristics for vector bin packing", 2011).
        """
        parts = (
            (self.memory + way.memory) / self.stock.memory,
            self.share + way.share if self.stock.sharing.shares else 1.0,
            1.0 if self.stock.sharing.bandwidth else (self.duty + way.sized.duty) / self.crowd,
        )
        return sum((1.0 - part) ** 2 for part in parts)

    def _fill(self, memory: float, share: float, duty: float) -> float:
        compute = share if self.stock.sharing.shares else 0.0
        duty = 0.0 if self.stock.sharing.bandwidth else duty / self.crowd
        return max(memory / self.stock.memory, compute, duty)


@dataclass(frozen=True, slots=True)
class Load:
    """One group with the ways to run it.

    Attributes:
        ways: At least one.
        parallel: Devices that each engine spans.
    """

    ways: tuple[Way, ...]
    parallel: int = 1


@dataclass(frozen=True, slots=True)
class Packer:
    """What all packings of one fleet have in common.

    Attributes:
        stocks: Kinds of devices.
        crowd: Sum of duties that one device takes.
    """

    stocks: tuple[Stock, ...]
    crowd: float

    def best(self, loads: Sequence[Load], rooms: Sequence[Room] = ()) -> list[Room] | None:
        """Pack in several orders by several rules, improve each, and return the cheapest.

        Args:
            loads: The groups.
            rooms: Devices that are there already, with what is in them.

        Returns:
            Devices with engines; None where a group finds no place.
        """
        found: list[list[Room]] = []
        for order, rule in itertools.product(_ORDERS, _RULES):
            packed = self.once(loads, rooms, order=order, rule=rule)
            if packed is not None:
                found.append(self.improved(loads, packed))
        best = min(found, key=cost_of, default=None)
        return None if best is None else self.shaken(loads, best)

    def shaken(self, loads: Sequence[Load], rooms: list[Room]) -> list[Room]:
        """Take a few devices out, pack their engines again, and keep what is not dearer (ruin and recreate).

        Draws are seeded, so that the same input gives the same packing.
        """
        generator = np.random.default_rng(_SEED)
        for _ in range(min(_SHAKES, 25 * (len(rooms) - 1))):
            free = [position for position, room in enumerate(rooms) if not room.fixed]
            taken = generator.permutation(free)[: int(generator.integers(2, 6))]
            moved = {item.group for position in taken for item in rooms[position].items}
            if moved & _held(rooms):
                continue
            order, rule = generator.choice(list(_ORDERS)), generator.choice(list(_RULES))
            rest = self._without(rooms, moved)
            # An empty device of some kind to fill first: other kinds are seldom the cheapest for one engine.
            stock = self.stocks[int(generator.integers(len(self.stocks)))]
            there = sum(room.stock is stock for room in rest)
            if generator.integers(2) and (stock.count is None or there < stock.count):
                rest.append(Room(stock, self.crowd))
            packed = self.once(loads, rest, order=order, rule=rule, only=moved)
            if packed is not None and cost_of(packed)[:1] <= cost_of(rooms)[:1]:
                rooms = packed
        return rooms

    def once(
        self,
        loads: Sequence[Load],
        rooms: Sequence[Room] = (),
        *,
        order: str = "fill",
        rule: str = "new",
        only: Iterable[int] | None = None,
    ) -> list[Room] | None:
        """Pack groups one after the other, each in the way that is cheapest now.

        Args:
            loads: The groups.
            rooms: Devices that are there already.
            order: What the largest is measured by.
            rule: What cheapest means.
            only: Positions of the groups to pack; all where not given.
        """
        open_rooms = [Room(one.stock, self.crowd, list(one.items), one.fixed, one.name) for one in rooms]
        numbers = range(len(loads)) if only is None else sorted(only)
        size = _ORDERS[order]
        for number in sorted(numbers, key=lambda one: (-loads[one].parallel, -size(self, loads[one]), one)):
            if not self._place(number, loads[number], open_rooms, _RULES[rule]):
                return None
        return [room for room in open_rooms if room.items]

    def improved(self, loads: Sequence[Load], rooms: list[Room]) -> list[Room]:
        """Empty one device after the other into the rest, as long as that is cheaper."""
        for _ in range(_PASSES):
            better = next(self._cheaper(loads, rooms), None)
            if better is None:
                return rooms
            rooms = better
        return rooms

    def price(self, way: Way) -> float:
        """USD an hour of what a way takes of its devices, by its fullest resource."""
        stock = self._stock(way.kind)
        fill = Room(stock, self.crowd).fill_with(way)
        return way.replicas * fill * stock.device.price_per_hour

    def _cheaper(self, loads: Sequence[Load], rooms: list[Room]) -> Iterator[list[Room]]:
        now = cost_of(rooms)
        for emptied in sorted(range(len(rooms)), key=lambda one: (rooms[one].fill, one)):
            moved = {item.group for item in rooms[emptied].items}
            if rooms[emptied].fixed or moved & _held(rooms):
                continue
            tried = self._without(rooms, moved)
            for rule in _RULES:
                packed = self.once(loads, tried, rule=rule, only=moved)
                if packed is not None and cost_of(packed) < now:
                    yield packed

    def _without(self, rooms: Sequence[Room], moved: set[int]) -> list[Room]:
        """Return devices without the engines of some groups; empty ones are gone."""
        rest = [
            Room(
                room.stock,
                self.crowd,
                [item for item in room.items if item.group not in moved],
                room.fixed,
                room.name,
            )
            for room in rooms
        ]
        return [room for room in rest if room.items]

    def _place(self, number: int, load: Load, rooms: list[Room], rule: _Rule) -> bool:
        best: tuple[tuple[float, ...], Way, list[Room], int] | None = None
        for order, way in enumerate(load.ways):
            there, fresh = self._rooms_for(number, load, way, rooms)
            if there is None:
                continue
            price = self._stock(way.kind).device.price_per_hour * fresh
            key = (*rule(price, self.price(way) * load.parallel), order)
            if best is None or key < best[0]:
                best = (key, way, there, fresh)
        if best is None:
            return False
        _, way, there, fresh = best
        added = [Room(self._stock(way.kind), self.crowd) for _ in range(fresh)]
        rooms.extend(added)
        for position, room in enumerate([*there, *added]):
            room.put(Item(number, position // load.parallel, way))
        return True

    def _rooms_for(
        self, number: int, load: Load, way: Way, rooms: list[Room]
    ) -> tuple[list[Room] | None, int]:
        """Return the fullest devices that take an engine each, and how many fresh ones are needed besides."""
        stock = self._stock(way.kind)
        kind = [room for room in rooms if room.stock.device.name == way.kind]
        # An engine that spans devices gets fresh ones, so that they are on one host.
        shared = load.parallel == 1 and not way.alone
        able = [room for room in kind if room.takes(number, way)] if shared else []
        able.sort(key=lambda room: room.left_with(way))
        there = able[: way.replicas]
        fresh = way.replicas * load.parallel - len(there)
        if stock.count is not None and len(kind) + fresh > stock.count:
            return None, 0
        return there, fresh

    def _stock(self, kind: str) -> Stock:
        return next(stock for stock in self.stocks if stock.device.name == kind)


def _held(rooms: Sequence[Room]) -> set[int]:
    """Return the groups in devices that stay as they are."""
    return {item.group for room in rooms if room.fixed for item in room.items}


def cost_of(rooms: Sequence[Room]) -> tuple[float, int, float]:
    """Return what packings are compared by: USD an hour, devices, and how unevenly those are filled.

    Full devices beside emptier ones are nearer to one device less than all of them half full.
    """
    price = sum(room.stock.device.price_per_hour for room in rooms)
    uneven = sum(room.stock.device.price_per_hour * room.fill**2 for room in rooms)
    return round(price, 9), len(rooms), -round(uneven, 9)


_RULES: dict[str, _Rule] = {
    "new": lambda new, used: (new, used),
    "used": lambda new, used: (used, new),
    "both": lambda new, used: (new / 2 + used, new),
}
_ORDERS: dict[str, Callable[[Packer, Load], float]] = {
    "fill": lambda packer, load: min(packer.price(way) for way in load.ways),
    "memory": lambda _, load: max(way.memory * way.replicas for way in load.ways),
    "share": lambda _, load: max(way.share * way.replicas for way in load.ways),
}
