from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from tests.unit.plan.fleets import SHAPES, group, member, shape, stocks, task

from offramp.core.errors import BadInput, MissingExtra
from offramp.plan.demand import Demand
from offramp.plan.exact import relaxed, solve
from offramp.plan.fleet import Fleet, OwnLlm, Sharing, Stock
from offramp.plan.fleet_plan import plan_fleet
from offramp.plan.pack import Item, Load, Packer, Room, cost_of
from offramp.plan.sizing import MOST_ENGINES, Terms
from offramp.plan.ways import Finder

CROWD = 2.0
STOCKS = stocks("l4", "l40s", "a100-80gb")
SMALL, MIDDLE = shape("small", layers=28, hidden=2048), shape("middle")


def loads(count: int, seed: int, kinds: tuple[Stock, ...] = STOCKS) -> list[Load]:
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        base = SMALL if generator.uniform() < 0.5 else MIDDLE
        rate = float(generator.choice([0.05, 0.3, 1.0]))
        each = [Finder(stock, Terms(), CROWD).ways(group(member(rate=rate), base=base)) for stock in kinds]
        found.append(Load(tuple(way for ways in each for way in ways)))
    return found


def packed(groups: list[Load], kinds: tuple[Stock, ...] = STOCKS) -> list[Room]:
    rooms = Packer(kinds, CROWD).best(groups)
    assert rooms is not None
    return rooms


def cheapest(groups: list[Load]) -> float:
    """Try every way of every group on every split of the groups: for a handful of them only."""
    best = float("inf")
    for ways in itertools.product(*(load.ways for load in groups)):
        if any(way.replicas > 1 for way in ways):
            continue
        for split in itertools.product(range(len(ways)), repeat=len(ways)):
            rooms: dict[tuple[int, str], Room] = {}
            for number, (way, where) in enumerate(zip(ways, split, strict=True)):
                stock = next(one for one in STOCKS if one.device.name == way.kind)
                room = rooms.setdefault((where, way.kind), Room(stock, CROWD))
                if not room.takes(number, way):
                    break
                room.put(Item(number, 0, way))
            else:
                best = min(best, cost_of(list(rooms.values()))[0])
    return best


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_finds_what_trying_everything_finds(seed: int) -> None:
    groups = loads(3, seed)
    found = solve(STOCKS, groups, packed(groups), crowd=CROWD, effort=5.0)
    assert cost_of(found.rooms)[0] == pytest.approx(cheapest(groups))
    assert found.gap == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("seed", [3, 4])
def test_it_is_never_dearer_than_greedy_and_never_over_capacity(seed: int) -> None:
    groups = loads(12, seed)
    greedy = packed(groups)
    found = solve(STOCKS, groups, greedy, crowd=CROWD, effort=3.0)
    assert found.bound - 1e-3 <= cost_of(found.rooms)[0] <= cost_of(greedy)[0]
    for room in found.rooms:
        assert room.fill <= 1.0 + 1e-5
        assert len(room.items) <= MOST_ENGINES
    placed = [item.group for room in found.rooms for item in room.items]
    assert sorted(set(placed)) == list(range(12))
    again = solve(STOCKS, groups, greedy, crowd=CROWD, effort=3.0)
    assert [[item.group for item in room.items] for room in again.rooms] == [
        [item.group for item in room.items] for room in found.rooms
    ]


def test_a_poor_packing_is_improved() -> None:
    """Two engines that fit on one device, given to it on two."""
    finder = Finder(STOCKS[0], Terms(), CROWD)
    groups = [Load(finder.ways(group(member(rate=0.05, objective_s=30.0), base=SMALL))) for _ in range(2)]
    ways = [next(way for way in load.ways if not way.alone) for load in groups]
    apart = [Room(STOCKS[0], CROWD, [Item(number, 0, way)]) for number, way in enumerate(ways)]
    found = solve(STOCKS[:1], groups, apart, crowd=CROWD, effort=2.0)
    assert len(found.rooms) == 1


def test_a_plan_says_its_gap() -> None:
    demand = Demand(tuple(task(f"t{n}", 0.2, usd=0.1, bases=(base,)) for n, base in enumerate(SHAPES)))
    greedy = plan_fleet(demand, Fleet(STOCKS), SHAPES)
    exact = plan_fleet(demand, Fleet(STOCKS), SHAPES, effort=2.0)
    assert (greedy.solver, greedy.gap) == ("greedy", None)
    assert exact.solver == "CP-SAT"
    assert exact.gap == pytest.approx(0.0, abs=1e-3)
    assert exact.devices_usd <= greedy.devices_usd


def test_an_llm_over_several_devices_stays_where_greedy_put_it() -> None:
    fleet = Fleet(stocks("a100-80gb"), llm=OwnLlm("4b", parallel=2, objective_s=60.0))
    demand = Demand((task("a", 0.3, bases=("0.6b",)), task("b", 0.2, bases=("1.7b",))))
    exact = plan_fleet(demand, fleet, SHAPES, effort=1.0)
    assert exact.devices_usd <= plan_fleet(demand, fleet, SHAPES).devices_usd
    assert any(len(engine.slices) == 2 for engine in exact.placement.engines)


def test_instances_are_left_to_greedy() -> None:
    cut = Fleet(stocks("h100", sharing=Sharing(bandwidth=True, profiles=True)))
    with pytest.raises(BadInput, match="greedy solver only"):
        plan_fleet(Demand((task(usd=0.5),)), cut, SHAPES, effort=1.0)


def test_without_or_tools_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ortools.sat.python", None)
    with pytest.raises(MissingExtra, match=r"offramp\[plan\]"):
        plan_fleet(Demand((task(usd=0.5),)), Fleet(STOCKS), SHAPES, effort=1.0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_relaxed_bound_is_below_the_cheapest(seed: int) -> None:
    groups = loads(3, seed)
    assert 0.0 < relaxed(STOCKS, groups, CROWD) <= cheapest(groups) + 1e-9
