from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.plan.cost import Costs, estimate_costs
from offramp.plan.devices import Device
from offramp.plan.prices import ModelPrice, Prices
from offramp.plan.traffic import Candidate, TaskTraffic, Traffic

DEVICE = Device("box", "cpu", "box", 2**34, 5e10, 4e11, price_per_hour=0.1, source="test")
PRICES = Prices({"big": ModelPrice(input=2.0, cached_input=0.5, output=8.0)})
# 1,000 in and 100 out: 0.0028 USD a call.
TASKS = (TaskTraffic("a", 600_000, 1000, 100), TaskTraffic("b", 400_000, 1000, 100))
CALL = 0.0028


def candidate(coverage: float = 0.5, audit_share: float = 0.1, training_s: float = 3600.0) -> Candidate:
    return Candidate(
        "a",
        "s1",
        "extractive",
        coverage=coverage,
        audit_share=audit_share,
        seconds_per_call=0.05,
        training_seconds=training_s,
    )


def costs(*candidates: Candidate, calls: float = 1.0, days: float = 30.0, replicas: int = 1) -> Costs:
    tasks = tuple(dataclasses.replace(task, calls=round(task.calls * calls)) for task in TASKS)
    return estimate_costs(
        Traffic("big", days, tasks),
        candidates,
        {c.task: c.seconds_per_call or 0.0 for c in candidates},
        DEVICE,
        PRICES,
        replicas=replicas,
    )


def test_the_llm_alone_costs_calls_times_price() -> None:
    assert costs(candidate()).llm_only == pytest.approx(1_000_000 * CALL)


def test_every_part_of_the_bill_is_counted() -> None:
    found = costs(candidate())
    assert found.kept == pytest.approx(400_000 * CALL)
    assert found.deferred == pytest.approx(300_000 * CALL)
    assert found.audits == pytest.approx(30_000 * CALL)
    assert found.device == pytest.approx(0.1 * 24 * 30)
    assert found.with_offramp == pytest.approx(found.kept + found.deferred + found.audits + found.device)
    assert found.training_once == pytest.approx(0.1)


def test_a_cheaper_model_is_billed_for_every_call_it_is_asked_about() -> None:
    hosted = dataclasses.replace(candidate(), seconds_per_call=0.0, usd_per_call=0.0002, training_seconds=0.0)
    assert not hosted.needs_device
    assert candidate().needs_device
    found = costs(hosted, replicas=0)
    assert found.billed == pytest.approx(600_000 * 0.0002)
    assert found.with_offramp == pytest.approx(found.kept + found.deferred + found.audits + found.billed)
    assert found.saving == pytest.approx(600_000 * (CALL * 0.5 * 0.9 - 0.0002))
    assert (found.device, found.break_even) == (0.0, ())


def test_the_device_is_paid_for_while_idle() -> None:
    found = costs(candidate())
    assert found.device_used == pytest.approx(600_000 * 0.05 * 0.1 / 3600)
    assert found.device > 10 * found.device_used


def test_a_window_of_a_week_is_scaled_to_thirty_days() -> None:
    assert costs(candidate(), days=7.0).llm_only == pytest.approx(1_000_000 * CALL * 30 / 7)


def test_training_of_a_shared_specialist_is_paid_once() -> None:
    shared = (candidate(), dataclasses.replace(candidate(), task="b"))
    assert costs(*shared).training_once == pytest.approx(0.1)


def test_a_saving_that_repays_training_is_worth_it() -> None:
    found = costs(candidate())
    assert found.worth_it
    assert found.payback_days == pytest.approx(found.training_once / found.saving * 30)
    assert found.sentence.startswith("Worth it at 1,000,000 calls in 30 days")


def test_little_traffic_is_not_worth_it_and_says_from_when_it_would_be() -> None:
    found = costs(candidate(), calls=0.01)
    assert not found.worth_it
    assert found.saving < 0
    assert found.payback_days is None
    assert found.sentence.startswith("Not worth it at 10,000 calls")
    assert f"from {found.dedicated_calls:,} calls" in found.sentence


def test_the_break_even_volume_is_where_the_saving_changes_its_sign() -> None:
    found = costs(candidate())
    assert found.dedicated_calls is not None
    below = costs(candidate(), calls=(found.dedicated_calls - 100) / 1e6)
    above = costs(candidate(), calls=(found.dedicated_calls + 100) / 1e6)
    assert below.saving < 0 < above.saving


def test_a_training_that_takes_years_to_repay_is_not_worth_it() -> None:
    found = costs(dataclasses.replace(candidate(), training_usd=1e6))
    assert found.saving > 0
    assert not found.worth_it
    assert "to repay" in found.sentence


def test_a_specialist_slower_than_its_price_allows_never_pays() -> None:
    slow = dataclasses.replace(candidate(), seconds_per_call=1000.0)
    found = costs(slow, replicas=500)
    assert found.dedicated_calls is None
    assert "at any volume" in found.sentence
    assert all(row.calls_to_repay_training is None for row in found.break_even)


def test_without_candidates_everything_stays_with_the_llm() -> None:
    found = costs(replicas=0)
    assert found.with_offramp == pytest.approx(found.llm_only)
    assert found.break_even == ()
    assert not found.worth_it
    assert found.sentence.startswith("Nothing to save yet")


def test_idle_time_raises_the_cost_of_a_call() -> None:
    rows = costs(candidate()).break_even
    assert [row.utilisation for row in rows] == [0.2, 0.5, 1.0]
    assert rows[0].margin_per_call < rows[1].margin_per_call < rows[2].margin_per_call
    assert (rows[0].calls_to_repay_training or 0) >= (rows[2].calls_to_repay_training or 0) > 0


def test_break_even_rows_are_consistent_with_an_always_on_device() -> None:
    row = costs(candidate()).break_even[1]
    at_that_volume = costs(candidate(), calls=row.calls_per_month / 1e6)
    assert row.saving_per_month == pytest.approx(at_that_volume.saving, rel=1e-3)
    assert at_that_volume.utilisation == pytest.approx(0.5, rel=1e-3)


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_audits_never_save_more(coverage: float, audit_share: float) -> None:
    audited = costs(candidate(coverage, audit_share))
    assert audited.saving <= costs(candidate(coverage, 0.0)).saving + 1e-9


@given(st.floats(0, 1))
def test_no_coverage_saves_more_than_the_teachers_share_of_the_task(coverage: float) -> None:
    found = costs(candidate(coverage, 0.0))
    assert found.saving <= 600_000 * CALL - found.device + 1e-9
    assert found.with_offramp >= 0


def test_the_prices_used_are_named() -> None:
    assert costs(candidate()).prices == (
        "big: 2 USD in, 0.5 cached, 8 out per 1M tokens (the bundled prices)",
    )
