from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.errors import BadInput
from offramp.plan.devices import load_devices
from offramp.plan.plan import plan
from offramp.plan.prices import load_prices
from offramp.plan.traffic import Candidate, TaskTraffic, Traffic
from offramp.report.interval import clopper_pearson
from offramp.report.results import GroupResult, Interval, Sessions, TaskResult
from offramp.report.summary import Costs, Summary


def test_a_summary_survives_json(sample: Summary) -> None:
    assert Summary.from_dict(json.loads(json.dumps(sample.to_dict()))) == sample


def test_an_empty_summary_survives_json() -> None:
    assert Summary.from_dict(json.loads(json.dumps(Summary().to_dict()))) == Summary()


def test_every_part_may_be_missing() -> None:
    assert Summary.from_dict({}) == Summary()


def test_keys_of_a_later_offramp_are_ignored() -> None:
    assert Summary.from_dict({"calls_total": 3, "colour": "green"}) == Summary(calls_total=3)


def test_a_whole_number_is_read_where_a_fraction_is_meant() -> None:
    found = Summary.from_dict({"risk": 0})
    assert found.risk == 0.0
    assert isinstance(found.risk, float)


def test_a_number_that_is_none_is_written_as_null() -> None:
    assert Summary(risk=float("nan")).to_dict()["risk"] is None


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"calls_total": "many"}, r"Summary\.calls_total is 'many'; int is needed"),
        ({"calls_total": True}, "int is needed"),
        ({"tasks": {}}, r"Summary\.tasks is {}; a list is needed"),
        ({"tasks": [{"id": "t"}]}, r"Summary\.tasks\[0\] lacks 'name'"),
        ({"seconds": {"train": "long"}}, r"Summary\.seconds\.train"),
        ({"seconds": [1]}, "an object is needed"),
        ({"sessions": 4}, r"Summary\.sessions is 4; an object is needed"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_place(raw: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Summary.from_dict(raw)


def test_a_plan_brings_its_costs_along() -> None:
    found = plan(
        Traffic("gpt-4o", 5, (TaskTraffic("t", 50_000, 900, 40),)),
        (Candidate("t", "s", "extractive", coverage=0.6, seconds_per_call=0.03, training_seconds=400),),
        load_devices()["cpu-laptop"],
        load_prices(),
    )
    costs = Summary(plan=found.to_dict()).money
    assert costs is not None
    assert costs.with_offramp == found.costs.with_offramp
    assert costs.break_even[2].utilisation == 1.0
    assert costs.sentence == found.costs.sentence
    assert set(Costs.__dataclass_fields__) <= set(found.costs.to_dict())


def test_answered_calls_are_summed_over_the_tasks() -> None:
    tasks = (
        TaskResult("a", "a", answered_unseen=3),
        TaskResult("b", "b"),
        TaskResult("c", "c", answered_unseen=4),
    )
    assert Summary(tasks=tasks, calls_unseen=10).answered == 7


def test_answered_calls_follow_from_the_coverage() -> None:
    assert Summary(calls_unseen=200, coverage=0.25).answered == 50


def test_nothing_is_known_of_answered_calls_without_figures() -> None:
    assert Summary(calls_unseen=200).answered is None


def test_a_given_interval_goes_before_the_counts() -> None:
    given_ = Interval(0.01, 0.02)
    found = Summary(answered_unseen=100, disagreements=3, risk_interval=given_)
    assert found.interval == given_


def test_the_interval_follows_from_the_counts() -> None:
    found = Summary(answered_unseen=2356, disagreements=45).interval
    assert found is not None
    assert (round(found.low, 3), round(found.high, 3)) == (0.014, 0.025)


def test_tasks_groups_and_sessions_work_out_their_intervals() -> None:
    expected = Interval(*clopper_pearson(2, 50))
    assert TaskResult("a", "a", answered_unseen=50, disagreements_unseen=2).realised == expected
    assert GroupResult("g", answered_unseen=50, disagreements_unseen=2).realised == expected
    assert Sessions(sessions=80, touched=50, disturbed=2).interval == expected


def test_a_task_without_answers_has_no_interval() -> None:
    task = TaskResult("a", "a", answered_unseen=0, disagreements_unseen=0)
    assert task.realised is None
    assert task.realised_risk is None


def test_live_and_kept_tasks_come_largest_first(sample: Summary) -> None:
    assert [task.id for task in sample.kept] == ["t-a1b2c3d4", "t-5e6f7a8b", "t-00c0ffee"]
    assert sample.live[0].id == "t-1abe1000"
    assert len(sample.live) + len(sample.kept) == len(sample.tasks)


@given(st.integers(1, 400), st.data())
def test_the_interval_contains_the_share(n: int, data: st.DataObject) -> None:
    errors = data.draw(st.integers(0, n))
    low, high = clopper_pearson(errors, n)
    assert 0 <= low <= errors / n <= high <= 1


def test_no_error_in_59_calls_is_below_five_percent_one_sided() -> None:
    assert clopper_pearson(0, 59, confidence=0.9)[1] < 0.05 < clopper_pearson(0, 58, confidence=0.9)[1]


@pytest.mark.parametrize(("errors", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_refused(errors: int, n: int) -> None:
    with pytest.raises(BadInput, match="0 <= errors <= n"):
        clopper_pearson(errors, n)


def test_changing_a_summary_makes_a_new_one(sample: Summary) -> None:
    assert replace(sample, title="x") != sample
