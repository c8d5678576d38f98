from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from tests.unit.plan.fleets import SHAPES, TABLE, demands, stocks, task

from offramp.core.errors import BadInput
from offramp.core.placement import Placement, Role
from offramp.plan.choose import Chooser
from offramp.plan.demand import Demand, Length
from offramp.plan.fleet import Fleet, OwnLlm, Sharing
from offramp.plan.fleet_plan import FleetPlan, plan_fleet
from offramp.plan.replan import Switching, replan

FLEET = Fleet(stocks("l4", "a100-80gb"))


def planned(*tasks: object, fleet: Fleet = FLEET) -> FleetPlan:
    return plan_fleet(Demand(tasks), fleet, SHAPES)  # type: ignore[arg-type]


@given(demands())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_plan_keeps_what_it_promises(demand: Demand) -> None:
    """Never over capacity, every objective met, every bound kept; the same input gives the same plan."""
    found = plan_fleet(demand, FLEET, SHAPES)
    placement = found.placement
    for number, device in enumerate(placement.devices):
        engines = placement.on(number)
        assert 0 < sum(engine.memory.total for engine in engines) <= TABLE[device.kind].memory
        assert sum(part.share for one in engines for part in one.slices if part.device == number) <= 1 + 1e-6
    assert all(one.latency_s <= one.objective_s for one in found.tasks)
    assert all(filling.overflow <= FLEET.overflow for filling in found.devices)
    assert placement.overflow <= FLEET.overflow
    served = {adapter.specialist for engine in placement.engines for adapter in engine.adapters}
    assert served == {one.specialist for one in found.tasks if one.specialist}
    assert placement.price_per_hour == pytest.approx(found.devices_usd)
    assert plan_fleet(demand, FLEET, SHAPES) == found
    assert Placement.from_dict(found.to_dict()["placement"]) == placement


@given(demands(most=4))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_plan_costs_more_than_the_llm_alone(demand: Demand) -> None:
    found = plan_fleet(demand, FLEET, SHAPES)
    if any(one.llm_usd for one in demand.tasks):
        assert found.devices_usd + found.llm_usd <= found.llm_only_usd + 1e-6


def test_worthless_tasks_stay_with_the_llm() -> None:
    found = planned(task(usd=1e-7))
    assert found.placement.devices == ()
    assert found.binding.startswith("money: no device costs less")


def test_tasks_of_one_base_share_one_engine() -> None:
    found = planned(*(task(f"t{number}", usd=0.05) for number in range(6)))
    assert len(found.placement.engines) == 1
    assert len(found.placement.engines[0].adapters) == 6
    assert found.oversubscription > 1.0


def test_a_smaller_specialist_that_fits_beats_a_better_one_that_needs_another_device() -> None:
    """0.4 cents a call: five in a hundred more calls do not pay for a device of more memory."""
    small = stocks("l4")[0]
    tight = replace(small, device=replace(small.device, memory=9 * 2**30))
    found = planned(
        task("a", 0.3, usd=0.004), task("b", 0.3, usd=0.004), fleet=Fleet((tight, *stocks("a100-80gb")))
    )
    assert {one.specialist for one in found.tasks} == {"a-1.7b", "b-1.7b"}
    assert all("would answer 90 % instead of 85 %, but needs" in one.why for one in found.tasks)


def test_a_better_specialist_is_taken_where_it_pays() -> None:
    found = planned(task("a", 0.3, usd=1.0))
    assert found.tasks[0].specialist == "a-4b"
    assert found.tasks[0].why == ""


def test_a_fleet_too_small_for_all_serves_what_saves_most() -> None:
    one = replace(stocks("l4")[0], count=1)
    found = planned(
        *(task(f"t{n}", 6.0, usd=0.01 * (n + 1), objective_s=3.0, bases=("4b",)) for n in range(4)),
        fleet=Fleet((one,)),
    )
    taken = [bool(each.specialist) for each in found.tasks]
    assert True in taken
    assert False in taken
    assert taken == sorted(taken)
    assert "l4: all 1 are used" in found.notes
    assert any("the fleet has no room for it" in each.why for each in found.tasks)


def test_an_objective_that_nothing_meets_is_said() -> None:
    found = planned(task("fast", objective_s=0.05))
    assert found.binding.startswith("nothing to place")
    assert "task 'fast' stays with the LLM: fast-1.7b alone takes" in found.notes[0]


def test_a_base_that_fits_nowhere_is_said() -> None:
    small = stocks("l4")[0]
    tiny = replace(small, device=replace(small.device, memory=2**30))
    assert "no device here has the memory" in planned(task(), fleet=Fleet((tiny,))).notes[0]


def test_too_few_devices_are_said() -> None:
    one = replace(stocks("l4")[0], count=1)
    found = planned(task(rate=1000.0, bases=("4b",)), fleet=Fleet((one,)))
    assert "the fleet has too few devices for its calls" in found.notes[0]


def test_without_a_price_as_many_calls_as_fit_are_taken() -> None:
    found = planned(task(usd=0.0))
    assert found.tasks[0].specialist == "t-4b"
    assert any("no price of the LLM is known" in note for note in found.notes)


def test_an_llm_of_ones_own_gets_its_reserve() -> None:
    fleet = Fleet(stocks("a100-80gb"), llm=OwnLlm("4b", parallel=2, objective_s=30.0, wait_s=0.5))
    found = planned(task("a", 0.5, bases=("1.7b",)), fleet=fleet)
    llm = next(engine for engine in found.placement.engines if engine.role is Role.LLM)
    assert len(llm.slices) == 2
    assert len({found.placement.devices[part.device].node for part in llm.slices}) == 1
    reserve = found.placement.reserve
    assert reserve is not None
    assert (reserve.slots, reserve.wait_s, reserve.probability) == (llm.slots, 0.5, 0.01)
    assert found.llm_usd == 0.0


def test_an_llm_that_does_not_fit_is_refused() -> None:
    fleet = Fleet(stocks("l4", count=1), llm=OwnLlm("4b", objective_s=0.1))
    with pytest.raises(BadInput, match="LLM does not fit"):
        planned(task(), fleet=fleet)


def test_mig_plans_name_instances() -> None:
    cut = Fleet(stocks("h100", sharing=Sharing(bandwidth=True, profiles=True)), backend="mig")
    tasks = [
        task(f"t{n}", 0.05, objective_s=30.0, usd=0.3, bases=(base,))
        for n, base in enumerate(("4b", "1.7b", "0.6b"))
    ]
    found = planned(*tasks, fleet=cut)
    assert len(found.placement.devices) == 1
    device = found.placement.devices[0]
    positions = [engine.slices[0].profile for engine in found.placement.engines]
    assert len(set(positions)) == 3 == len(device.profiles)
    assert not found.binding.startswith("bandwidth")


def test_engines_that_take_turns_get_equal_ones() -> None:
    turns = Fleet(stocks("h200", sharing=Sharing(shares=False)), backend="plain")
    tasks = [
        task(f"t{n}", 0.05, objective_s=30.0, usd=0.5, bases=(base,)) for n, base in enumerate(("4b", "1.7b"))
    ]
    found = planned(*tasks, fleet=turns)
    assert [part.share for engine in found.placement.engines for part in engine.slices] == [0.5, 0.5]


def test_bandwidth_binds_engines_that_work_much_and_need_little() -> None:
    tasks = [task(f"t{n}", 0.8, objective_s=60.0, usd=1.0, bases=(base,)) for n, base in enumerate(SHAPES)]
    found = planned(*tasks, fleet=Fleet(stocks("h200")))
    assert found.binding.split(":")[0] in ("bandwidth", "compute", "memory")
    assert sum(filling.duty for filling in found.devices) > 0.5


def test_a_choice_is_packed_by_one_crowd_where_bandwidth_is_divided() -> None:
    cut = Fleet(stocks("h100", sharing=Sharing(bandwidth=True, profiles=True)))
    assert len(Chooser(Demand((task(),)), cut, SHAPES).crowds) == 1
    assert len(Chooser(Demand((task(),)), FLEET, SHAPES).crowds) > 1


def test_urgent_tasks_get_engines_of_their_own_where_that_is_cheaper() -> None:
    """Few urgent calls behind long prompts of patient ones: sized together, all would have to be urgent."""
    long = replace(
        task("patient", 6.0, objective_s=60.0, usd=0.2, bases=("1.7b",)), lengths=(Length(3000, 100, 1.0),)
    )
    demand = Demand((task("urgent", 0.05, objective_s=0.4, usd=0.2, bases=("1.7b",)), long))
    fleet = Fleet(stocks("a100-80gb"))
    found = plan_fleet(demand, fleet, SHAPES)
    assert {engine.name for engine in found.placement.engines} == {"1.7b.0", "1.7b-urgent.0"}
    together = Chooser(demand, fleet, SHAPES).whole({one.task: one.choices[0] for one in demand.tasks})
    assert together is not None
    assert found.devices_usd < together.devices_usd / 4
    again = replan(Chooser(demand, fleet, SHAPES), found.placement, Switching())
    assert (again.placement, again.moves) == (found.placement, ())
