from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.report.curve_charts import chosen_point
from offramp.report.money_charts import break_even_chart, break_even_words, cost_bars, stage_bars
from offramp.report.results import TaskResult
from offramp.report.summary import Costs, CurvePoint, RiskCurve, Summary
from offramp.report.svg import Scale, nice_top
from offramp.report.task_charts import coverage_bars, distinct, points_of


@given(st.floats(1e-6, 1e9), st.integers(2, 10))
def test_an_axis_ends_at_a_round_value_not_far_above(value: float, wanted: int) -> None:
    top = nice_top(value, wanted=wanted)
    assert value * (1 - 1e-6) <= top <= value * 2.5 + 1e-9


@given(st.floats(0.001, 1000))
def test_ticks_lie_on_the_axis_and_are_not_many(top: float) -> None:
    ticks = Scale(0.0, top, 0, 100).ticks()
    assert 2 <= len(ticks) <= 7
    assert all(0 <= tick <= top * (1 + 1e-6) for tick in ticks)


def test_values_outside_a_scale_are_drawn_on_its_edge() -> None:
    scale = Scale(0.0, 0.3, 10, 110)
    assert scale.at(0.9) == 110
    assert scale.beyond(0.9)
    assert not scale.beyond(0.3)


def test_bars_are_as_long_as_the_share_and_split_by_coverage() -> None:
    tasks = (
        TaskResult("a", "a", calls=80, decision="specialist", coverage=0.25),
        TaskResult("b", "b", calls=20),
    )
    drawing = coverage_bars(Summary(calls_total=100, tasks=tasks))
    assert drawing is not None
    assert 'width="420"' in drawing
    assert 'width="105" height="9" class="specialist"' in drawing
    assert 'width="105" height="9" class="teacher"' in drawing
    assert "specialists answer 20" in drawing


def test_coverage_of_a_refused_candidate_is_not_drawn_as_answered() -> None:
    tasks = (TaskResult("a", "a", calls=10, coverage=0.9),)
    drawing = coverage_bars(Summary(calls_total=10, tasks=tasks))
    assert drawing is not None
    assert 'width="0" height="9" class="specialist"' in drawing


def test_a_member_of_a_group_is_drawn_without_a_certificate_of_its_own(sample: Summary) -> None:
    points = points_of(sample)
    assert points[0].label == "group home (18 tasks)"
    assert points[0].certified == 0.0489
    assert all(point.certified is None for point in points[1:19])
    assert points[19].certified == 0.0394


def test_members_are_told_apart_by_what_differs() -> None:
    assert distinct(["home: alarm_set", "home: alarm_query"]) == ["alarm_set", "alarm_query"]


@pytest.mark.parametrize("names", [["one"], ["same", "same"], ["a: ", "a: b"], ["x", "y"], []])
def test_names_are_never_cut_away_entirely(names: list[str]) -> None:
    assert distinct(names) == names


def test_the_chosen_point_is_the_closest_to_the_threshold() -> None:
    points = (CurvePoint(0.2, 0.01, threshold=0.9), CurvePoint(0.6, 0.04, threshold=0.7))
    assert chosen_point(RiskCurve("a", points, threshold=0.72)) == points[1]


def test_a_curve_without_thresholds_has_no_chosen_point() -> None:
    assert chosen_point(RiskCurve("a", (CurvePoint(0.2, 0.01),), threshold=0.72)) is None


def test_what_cheaper_models_are_billed_stands_in_the_bill_where_there_are_any() -> None:
    without = Costs(llm_only=10.0, with_offramp=6.0, kept=6.0, calls=1000)
    assert "cheaper models" not in cost_bars(without)
    assert "cheaper models, as billed: $2.00" in cost_bars(replace(without, billed=2.0))


def test_a_device_that_never_pays_says_so() -> None:
    costs = Costs(llm_only=10.0, with_offramp=60.0, device=50.0, calls=1000)
    assert break_even_words(costs).startswith("One always-on device pays at no volume")
    assert break_even_chart(costs) is not None


def test_without_a_device_there_is_no_break_even() -> None:
    assert break_even_chart(Costs(llm_only=10.0, with_offramp=10.0, calls=1000)) is None


def test_stages_that_took_no_time_are_listed() -> None:
    drawing = stage_bars({"import": 0.0, "discover": 0.0})
    assert drawing is not None
    assert "discover" in drawing
