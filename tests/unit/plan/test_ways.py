from __future__ import annotations

from dataclasses import replace

from tests.unit.plan.fleets import A100, TABLE, group, member, summed

from offramp.plan.fleet import Sharing, Stock
from offramp.plan.load import Mix
from offramp.plan.sizing import Part, Terms, sizing_of
from offramp.plan.ways import SHARES, Finder

TERMS = Terms()


def finder(stock: Stock = A100, crowd: float = 1.0) -> Finder:
    return Finder(stock, TERMS, crowd)


def test_a_light_group_gets_a_device_or_a_small_part_of_one() -> None:
    alone, *shared = finder().ways(group(member(rate=0.1)))
    assert alone.alone
    assert alone.replicas == 1
    assert [way.alone for way in shared] == [False] * len(shared)
    assert shared[0].share < 0.5


def test_the_part_is_the_smallest_that_keeps_the_terms() -> None:
    found = next(way for way in finder().ways(group(member(rate=1.0, objective_s=3.0))) if not way.alone)
    smaller = SHARES[SHARES.index(found.share) - 1]
    whole = group(member(rate=1.0, objective_s=3.0))
    assert found.share > SHARES[0]
    assert sizing_of(Mix(whole), A100, Part(smaller, 1.0, found.replicas), TERMS) is None


def test_a_heavy_group_gets_as_many_devices_as_it_needs_and_no_more() -> None:
    heavy = group(member(rate=150.0, objective_s=5.0))
    found = finder().ways(heavy)[0]
    assert found.replicas > 1
    assert finder().alone(heavy, found.replicas - 1) is None
    few = finder(replace(A100, count=found.replicas - 1)).ways(heavy)
    assert all(way.replicas < found.replicas for way in few)


def test_an_impossible_objective_has_no_way() -> None:
    assert finder().ways(group(member(objective_s=0.01))) == ()


def test_a_base_too_large_for_the_device_has_no_way() -> None:
    small = replace(A100, device=replace(A100.device, memory=6 * 2**30))
    assert finder(small).ways(group(member(lengths=summed(200, 20)))) == ()


def test_instances_are_the_smallest_that_hold_the_engine() -> None:
    cut = Stock(TABLE["h100"], sharing=Sharing(bandwidth=True, profiles=True))
    found = [way.profile for way in finder(cut).ways(group(member(rate=0.05, objective_s=30.0)))]
    assert found[0] == ""
    assert found[1] in ("1g.10gb", "1g.20gb", "2g.20gb")


def test_devices_that_cannot_be_cut_are_not() -> None:
    whole = Stock(TABLE["l4"], sharing=Sharing(bandwidth=True, profiles=True))
    assert [way.profile for way in finder(whole).ways(group(member(rate=0.05)))] == [""]
