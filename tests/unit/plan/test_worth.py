from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.plan.fleets import task

from offramp.plan.demand import Choice, Demand
from offramp.plan.worth import FleetBreakEven, break_even, sentence

CHOICE = Choice("s", "4b", 16, 0.8, audit_share=0.25)
DEMAND = Demand(
    (task("a", 1.0, usd=0.001, windows=(0.1, 1.0)), task("b", 5.0, usd=0.002, windows=(1.0, 0.5)))
)


def rows(devices_usd: float, *, own_llm: bool = False, cheaper: float = 0.0) -> tuple[FleetBreakEven, ...]:
    tasks = tuple(replace(one, cheaper_usd=cheaper) for one in DEMAND.tasks)
    return break_even(Demand(tasks), {"a": CHOICE, "b": None}, devices_usd, own_llm=own_llm)


def test_shares_of_the_busiest_window_around_the_clock() -> None:
    """Task a: one call a second in its busiest window, 60 % off the LLM: 2,160 calls an hour, 2.16 USD."""
    found = rows(1.0)
    assert [row.utilisation for row in found] == [0.2, 0.5, 1.0]
    assert [row.calls_per_hour for row in found] == pytest.approx([432, 1080, 2160])
    assert [row.margin_usd for row in found] == pytest.approx([0.432 - 1, 1.08 - 1, 2.16 - 1])
    assert [row.verdict for row in found] == ["not worth it", "worth it", "worth it"]


def test_a_cheaper_model_may_save_more() -> None:
    found = rows(1.0, cheaper=0.0001)
    assert "the cheaper model saves more" in found[0].verdict
    assert "the cheaper model saves more" in found[2].verdict
    assert rows(0.1, cheaper=0.0005)[2].verdict == "worth it"
    assert "on the cheaper model" in sentence(found[0])
    assert "cheaper" not in sentence(rows(1.0)[0])


def test_an_llm_of_ones_own_takes_every_call_off_the_provider() -> None:
    """Window 0: 0.1 and 5 calls a second at 0.1 and 0.2 cents."""
    found = rows(1.0, own_llm=True)[2]
    assert found.calls_per_hour == pytest.approx(3600 * 5.1)
    assert found.saved_usd == pytest.approx(3600 * (0.1 * 0.001 + 5 * 0.002))


def test_no_devices_have_no_break_even() -> None:
    assert rows(0.0) == ()
    assert break_even(DEMAND, {"a": None, "b": None}, 1.0, own_llm=False) == ()
