from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from tests.unit.plan.fleets import SHAPES, TABLE, stocks, task

from offramp.plan.demand import Demand
from offramp.plan.fleet import Fleet, OwnLlm, Sharing
from offramp.plan.fleet_plan import FleetPlan, plan_fleet
from offramp.plan.picture import WIDTH, draw

SVG = "{http://www.w3.org/2000/svg}"


def planned(fleet: Fleet, *bases: str) -> FleetPlan:
    tasks = tuple(
        task(f"<{number}>", 0.1, usd=0.5, bases=(base,), objective_s=30.0)
        for number, base in enumerate(bases)
    )
    return plan_fleet(Demand(tasks), fleet, SHAPES)


@pytest.fixture(scope="module")
def shared() -> FleetPlan:
    return planned(Fleet(stocks("a100-80gb")), "4b", "1.7b", "0.6b")


def boxes(picture: str) -> list[ET.Element]:
    return list(ET.fromstring(picture).iter(f"{SVG}rect"))


def test_every_engine_of_every_device_is_drawn_within_the_picture(shared: FleetPlan) -> None:
    picture = draw(shared, TABLE)
    for engine in shared.placement.engines:
        assert f"{engine.name}: kv" in picture
    edges = [float(box.get("x", 0)) + float(box.get("width", 0)) for box in boxes(picture)]
    assert max(edges) <= WIDTH
    assert "GiB free" in picture
    assert "&lt;" in picture


def test_bars_are_as_long_as_what_they_stand_for(shared: FleetPlan) -> None:
    """The parts of all engines are to the whole bar as their bytes to the device's."""
    drawn = {
        title.text or "": float(box.get("width", 0))
        for box in boxes(draw(shared, TABLE))
        for title in box.iter(f"{SVG}title")
    }
    engine = shared.placement.engines[0]
    widths = [width for label, width in drawn.items() if label.startswith(f"{engine.name}: weights")]
    free = next(width for label, width in drawn.items() if label.endswith("GiB free"))
    taken = sum(width for label, width in drawn.items() if "GiB" in label or "MiB" in label) - free
    there = TABLE["a100-80gb"].memory
    assert widths[0] / (free + taken) == pytest.approx(engine.memory.weights / there, abs=0.01)


def test_the_reserve_is_marked() -> None:
    fleet = Fleet(stocks("a100-80gb"), llm=OwnLlm("4b", parallel=2))
    picture = draw(planned(fleet, "0.6b"), TABLE)
    assert "reserve for the LLM" in picture
    assert "the LLM among them" in picture


def test_instances_are_named() -> None:
    cut = Fleet(stocks("h100", sharing=Sharing(bandwidth=True, profiles=True)), backend="mig")
    assert "1g.10gb" in draw(planned(cut, "1.7b", "0.6b"), TABLE)


def test_a_plan_of_nothing_is_a_picture_too() -> None:
    nothing = plan_fleet(Demand((task(usd=1e-9),)), Fleet(stocks("l4")), SHAPES)
    picture = draw(nothing, TABLE)
    assert "0 devices" in picture
    ET.fromstring(picture)
