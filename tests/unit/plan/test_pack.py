from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.plan.fleets import A100, SHARED, group, member, shape, stocks

from offramp.plan.fleet import Sharing, Stock
from offramp.plan.load import Mix
from offramp.plan.pack import Item, Load, Packer, Room, cost_of
from offramp.plan.sizing import MOST_ENGINES, Part, Terms, sizing_of
from offramp.plan.ways import Finder, Way

SMALL = shape("small", layers=28, hidden=1024)


def way(stock: Stock, rate: float, part: Part = Part(0.1, 1.0)) -> Way:  # noqa: B008 - frozen
    sizing = sizing_of(Mix(group(member(rate=rate, objective_s=60.0), base=SMALL)), stock, part, Terms())
    assert sizing is not None
    return Way(stock.device.name, sizing)


L4, H100 = stocks("l4", "h100")
FEW = replace(L4, count=1)


@given(st.lists(st.floats(0.01, 3.0), min_size=1, max_size=14))
@settings(max_examples=25, deadline=None)
def test_no_device_is_ever_over_capacity(rates: list[float]) -> None:
    finders = [Finder(stock, Terms(), 2.0) for stock in (L4, H100)]
    loads = [
        Load(tuple(way for one in finders for way in one.ways(group(member(rate=rate), base=SMALL))))
        for rate in rates
    ]
    rooms = Packer((L4, H100), 2.0).best(loads)
    assert rooms is not None
    for room in rooms:
        assert room.memory <= room.stock.memory
        assert room.share <= 1.0 + 1e-9
        assert len(room.items) <= MOST_ENGINES
        assert len({item.group for item in room.items}) == len(room.items)
        assert len(room.items) == 1 or not any(item.way.alone for item in room.items)
        assert len(room.items) == 1 or room.duty <= 2.0 + 1e-9
    for number, load in enumerate(loads):
        placed = [item for room in rooms for item in room.items if item.group == number]
        assert len({item.way for item in placed}) == 1
        assert len(placed) == placed[0].way.replicas
        assert placed[0].way in load.ways


def test_several_small_engines_share_one_device() -> None:
    rooms = Packer((L4,), 2.0).best([Load((way(L4, 0.05),)) for _ in range(4)])
    assert rooms is not None
    assert [len(room.items) for room in rooms] == [4]


def test_replicas_of_a_group_are_on_different_devices() -> None:
    two = way(L4, 0.1, Part(0.1, 1.0, replicas=2))
    rooms = Packer((L4,), 2.0).best([Load((two,))])
    assert rooms is not None
    assert [len(room.items) for room in rooms] == [1, 1]


def test_what_does_not_fit_is_none() -> None:
    alone = way(FEW, 0.1, Part())
    assert Packer((FEW,), 2.0).best([Load((alone,)), Load((alone,))]) is None


def test_the_cheaper_device_is_taken() -> None:
    rooms = Packer((H100, L4), 2.0).best([Load((way(H100, 0.1), way(L4, 0.1)))])
    assert rooms is not None
    assert [room.stock.device.name for room in rooms] == ["l4"]


def test_a_device_is_emptied_where_its_engines_fit_elsewhere() -> None:
    loads = [Load((way(L4, 0.05),)) for _ in range(2)]
    packer = Packer((L4,), 2.0)
    apart = [Room(L4, 2.0, [Item(number, 0, load.ways[0])]) for number, load in enumerate(loads)]
    assert len(packer.improved(loads, apart)) == 1
    pinned = [replace(room, fixed=True) for room in apart]
    assert len(packer.improved(loads, pinned)) == 2


def test_an_engine_over_two_devices_gets_two_fresh_ones() -> None:
    big = group(member(rate=0.05, rank=0, objective_s=60.0))
    sizing = sizing_of(Mix(replace(big, parallel=2)), A100, Part(), Terms())
    assert sizing is not None
    rooms = Packer((A100,), 2.0).best([Load((Way("a100-80gb", sizing),), parallel=2)])
    assert rooms is not None
    assert [item.replica for room in rooms for item in room.items] == [0, 0]


def test_where_bandwidth_is_divided_duty_does_not_count() -> None:
    own = replace(L4, sharing=Sharing(bandwidth=True))
    busy = way(own, 3.0)
    assert busy.sized.duty > 0.5
    assert Room(own, 1.0, [Item(0, 0, busy)]).takes(1, busy)
    assert not Room(replace(L4, sharing=SHARED), 1.0, [Item(0, 0, busy)]).takes(1, busy)


def test_costs_compare_by_price_first() -> None:
    one, two = Room(H100, 1.0), Room(L4, 1.0)
    assert cost_of([one]) > cost_of([two, two])
    assert cost_of([]) == (0.0, 0, 0.0)
    assert cost_of([two])[0] == pytest.approx(L4.device.price_per_hour)
