from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from tests.unit.plan.fleets import SHAPES, TABLE, demands, stocks, task

from offramp.core.errors import BadInput, NotFound
from offramp.core.placement import Placement, Role
from offramp.plan.choose import Chooser
from offramp.plan.demand import Demand
from offramp.plan.fleet import Fleet, OwnLlm, Sharing
from offramp.plan.fleet_plan import FleetPlan, plan_fleet
from offramp.plan.replan import Switching, replan

FLEET = Fleet(stocks("l4", "a100-80gb"))
SLOW = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def next_plan(
    present: Placement, demand: Demand, fleet: Fleet = FLEET, switching: Switching | None = None
) -> FleetPlan:
    return replan(Chooser(demand, fleet, SHAPES), present, switching or Switching())


def tasks(count: int, rate: float = 0.3, **facts: float) -> Demand:
    return Demand(tuple(task(f"t{number}", rate, usd=0.02, **facts) for number in range(count)))  # type: ignore[arg-type]


@given(demands(most=4))
@SLOW
def test_the_same_demand_moves_nothing_unless_that_pays(demand: Demand) -> None:
    """Either nothing moves, or what moves saves more than it costs, by the margin."""
    switching = Switching()
    present = plan_fleet(demand, FLEET, SHAPES)
    found = next_plan(present.placement, demand)
    starts = sum(move.starts for move in found.moves)
    saved = present.devices_usd + present.llm_usd - found.devices_usd - found.llm_usd
    if starts and any(one.llm_usd for one in demand.tasks):
        assert saved * switching.horizon_h >= switching.margin * switching.usd_per_start * starts - 1e-6
    if not found.moves:
        assert found.placement == present.placement


@given(demands(most=5))
@SLOW
def test_removing_a_task_never_adds_a_gpu(demand: Demand) -> None:
    present = plan_fleet(demand, FLEET, SHAPES).placement
    assume(present.devices)
    for gone in demand.tasks:
        rest = demand.without(gone.task)
        if rest.tasks:
            assert len(next_plan(present, rest).placement.devices) <= len(present.devices)


def test_an_engine_that_is_left_alone_keeps_its_name_sizes_and_device() -> None:
    present = plan_fleet(tasks(4), FLEET, SHAPES).placement
    found = next_plan(present, tasks(3)).placement
    assert [engine.name for engine in found.engines] == [engine.name for engine in present.engines]
    assert [engine.memory for engine in found.engines] == [engine.memory for engine in present.engines]
    assert found.devices == present.devices
    assert {one.specialist for engine in found.engines for one in engine.adapters} == {
        one.specialist for engine in present.engines for one in engine.adapters
    } - {"t3-4b", "t3-1.7b"}


def test_more_calls_restart_what_no_longer_keeps_its_terms() -> None:
    present = plan_fleet(tasks(2, 0.2, objective_s=4.0), FLEET, SHAPES).placement
    found = next_plan(present, tasks(2, 4.0, objective_s=4.0))
    assert any(move.starts for move in found.moves)
    assert all(one.latency_s <= one.objective_s for one in found.tasks)


def test_a_new_task_joins_the_engine_of_its_base() -> None:
    present = plan_fleet(tasks(3), FLEET, SHAPES).placement
    found = next_plan(present, tasks(4))
    assert len(found.placement.devices) == len(present.devices)
    assert len(found.placement.engines) == len(present.engines)
    assert [move.what for move in found.moves] == ["restart"] * len(found.moves)
    assert found.tasks[3].specialist


def test_a_fleet_that_got_cheaper_is_moved_to_only_if_that_pays() -> None:
    """On an A100 at 10 USD where an L4 at 0.84 would do: moved for a day, not for a quarter of an hour."""
    l4, a100 = stocks("l4", "a100-80gb")
    dear = replace(a100, device=replace(a100.device, price_per_hour=10.0))
    demand = Demand((task("t", 0.3, usd=0.5, objective_s=20.0),))
    present = plan_fleet(demand, Fleet((dear,)), SHAPES).placement
    moved = next_plan(present, demand, Fleet((dear, l4)))
    assert [device.kind for device in moved.placement.devices] == ["l4"]
    assert {move.what for move in moved.moves} <= {"start", "restart", "stop"}
    stayed = next_plan(present, demand, Fleet((dear, l4)), Switching(usd_per_start=5.0, horizon_h=0.25))
    assert stayed.placement.devices == present.devices
    assert stayed.moves == ()
    assert "not worth it within 0.25 hours" in stayed.notes[-1]


def test_what_nothing_asks_for_is_stopped() -> None:
    present = plan_fleet(tasks(1), FLEET, SHAPES).placement
    found = next_plan(present, Demand((task("other", usd=1e-9),)))
    assert found.placement.devices == ()
    assert [move.what for move in found.moves] == ["stop"] * len(present.engines)


def test_instances_stay_where_they_are() -> None:
    cut = Fleet(stocks("h100", sharing=Sharing(bandwidth=True, profiles=True)), backend="mig")
    demand = Demand(
        tuple(
            task(f"t{n}", 0.05, objective_s=30.0, usd=0.3, bases=(base,))
            for n, base in enumerate(("4b", "1.7b"))
        )
    )
    present = plan_fleet(demand, cut, SHAPES).placement
    assert len(present.engines) == 2
    found = next_plan(present, demand, cut)
    assert (found.placement, found.moves) == (present, ())


def test_an_llm_of_ones_own_stays_too() -> None:
    fleet = Fleet(stocks("a100-80gb"), llm=OwnLlm("4b", parallel=2, objective_s=60.0))
    demand = Demand((task("a", 0.3, bases=("0.6b",)),))
    present = plan_fleet(demand, fleet, SHAPES).placement
    found = next_plan(present, demand, fleet)
    assert (found.placement.engines, found.moves) == (present.engines, ())
    assert any(engine.role is Role.LLM for engine in found.placement.engines)


def test_devices_that_the_fleet_has_not_are_refused() -> None:
    present = plan_fleet(tasks(1), FLEET, SHAPES).placement
    with pytest.raises(NotFound, match="no device"):
        next_plan(present, tasks(1), Fleet(stocks("h200")))


def test_new_devices_get_free_numbers() -> None:
    l4 = replace(stocks("l4")[0], per_node=2)
    fleet = Fleet((l4,))
    present = plan_fleet(Demand((task("a", 0.3, usd=0.5, bases=("4b",)),)), fleet, SHAPES).placement
    grown = Demand(
        (task("a", 0.3, usd=0.5, bases=("4b",)), task("b", 4.0, usd=0.5, bases=("1.7b",), objective_s=3.0))
    )
    found = next_plan(present, grown, fleet).placement
    assert found.devices[0] == present.devices[0]
    assert len({(device.node, device.index) for device in found.devices}) == len(found.devices) > 1
    assert all(device.index < 2 for device in found.devices)
    assert TABLE["l4"].name == found.devices[-1].kind


@pytest.mark.parametrize("facts", [{"usd_per_start": -1.0}, {"horizon_h": 0.0}, {"margin": -0.1}])
def test_impossible_costs_of_switching_are_refused(facts: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="allowed are"):
        Switching(**facts)
