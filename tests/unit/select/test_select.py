from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from offramp.core.call import OutputType
from offramp.core.measure import Measure
from offramp.core.task import Task
from offramp.select import Trial, choose, coverage_range, expected_coverage, explain, units_of

COVERAGES = {"cache": 0.1, "template": 0.49, "classifier": 0.495, "lora": 0.5}


def task(name: str, output: OutputType, calls: int, *, convertible: bool = True) -> Task:
    return Task(name, "v", name, "s", output, calls, 0.1, 0.1, calls, convertible, "")


def test_errors_among_the_unsure_leave_the_sure_part_covered() -> None:
    confidence = np.linspace(1, 0, 1000)
    loss = (confidence < 0.5).astype(float)
    assert 0.5 < expected_coverage(confidence, loss, 0.05, 0.05) < 0.55


def test_the_estimate_is_for_as_many_calls_as_the_certificate_rests_on() -> None:
    """Three wrong of the surest hundred prove nothing at 5 %; thirty of a thousand do."""
    confidence = np.linspace(1, 0, 200)
    loss = (np.isin(np.arange(200), [10, 40, 70]) | (confidence < 0.5)).astype(float)
    assert expected_coverage(confidence, loss, 0.05, 0.05) == 0.0
    assert 0.45 < expected_coverage(confidence, loss, 0.05, 0.05, times=10.0) < 0.55


def test_errors_everywhere_cover_nothing() -> None:
    confidence = np.linspace(1, 0, 1000)
    loss = (np.arange(1000) % 5 == 0).astype(float)
    assert expected_coverage(confidence, loss, 0.05, 0.05) == 0.0


def test_calls_of_equal_confidence_are_not_parted() -> None:
    confidence = np.ones(200)
    loss = np.concatenate([np.zeros(150), np.ones(50)])
    assert expected_coverage(confidence, loss, 0.05, 0.05) == 0.0


def test_no_calls_cover_nothing() -> None:
    assert expected_coverage(np.array([]), np.array([]), 0.05, 0.05) == 0.0


@pytest.mark.parametrize(
    ("classifier", "lora", "chosen"),
    [(0.40, 0.41, "classifier"), (0.40, 0.50, "lora"), (0.01, 0.015, "keep_llm")],
)
def test_the_cheapest_within_the_margin_wins(classifier: float, lora: float, chosen: str) -> None:
    trials = [Trial("classifier", 100, 0.9, classifier, 1.0), Trial("lora", 100, 0.9, lora, 9.0)]
    assert choose(trials).kind == chosen


def test_the_range_holds_the_estimate_and_shrinks_with_more_sessions() -> None:
    widths = []
    for calls in (100, 1600):
        confidence = np.linspace(1, 0, calls)
        loss = (np.random.default_rng(5).random(calls) < (1 - confidence) ** 2).astype(float)
        names = [f"s-{row // 2}" for row in range(calls)]
        low, high = coverage_range(confidence, loss, names, (0.1, 0.5), seed=1)
        assert low <= expected_coverage(confidence, loss, 0.1, 0.5) <= high
        assert coverage_range(confidence, loss, names, (0.1, 0.5), seed=1) == (low, high)
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_no_calls_have_an_empty_range() -> None:
    assert coverage_range(np.array([]), np.array([]), [], (0.1, 0.5)) == (0.0, 0.0)


def test_every_trial_is_told_what_the_choice_made_of_it() -> None:
    trials = [Trial(kind, 100, 0.9, coverage, 1.0) for kind, coverage in COVERAGES.items()]
    told = {trial.kind: trial.verdict for trial in explain(trials, choose(trials))}
    assert told["template"] == "chosen: within 2 points of the best (lora), and cheaper to run"
    assert told["classifier"] == "about as good as the best, but template is cheaper to run"
    assert told["lora"] == "about as good as the best, but template is cheaper to run"
    assert told["cache"] == "40 points below the best (lora)"


def test_the_best_that_nothing_comes_near_is_told_so() -> None:
    trials = [Trial("cache", 100, 0.9, 0.1, 1.0), Trial("lora", 100, 0.9, 0.5, 1.0)]
    told = explain(trials, choose(trials))
    assert told[1].verdict == "chosen: the best, and nothing cheaper to run comes near"
    assert explain([], choose([])) == []


def test_what_is_not_worth_leaving_the_llm_is_told_so() -> None:
    trials = [Trial("cache", 100, 0.9, 0.01, 1.0)]
    (told,) = explain(trials, choose(trials))
    assert told.verdict == "could answer 1%, too little to leave the LLM for"


def test_nothing_tried_keeps_the_llm() -> None:
    assert choose([]).kind == "keep_llm"


def test_tool_calls_pool_and_labels_stand_alone() -> None:
    units = units_of(
        [
            task("a", OutputType.TOOL_CALL, 10),
            task("b", OutputType.TOOL_CALL, 20),
            task("c", OutputType.LABEL, 25),
            task("d", OutputType.TEXT, 99, convertible=False),
        ]
    )
    assert [(u.name, [t.id for t in u.tasks]) for u in units] == [
        ("2 tool-call tasks", ["b", "a"]),
        ("c", ["c"]),
    ]
    assert units[0].is_group
    assert not units[1].is_group


def test_tasks_compared_in_different_senses_are_pooled_apart() -> None:
    made = [task(name, OutputType.TOOL_CALL, calls) for name, calls in (("a", 30), ("b", 20), ("c", 10))]
    made[1] = replace(made[1], measure=Measure.TOOLS_LOOSE)
    made[2] = replace(made[2], measure=Measure.TOOLS)
    units = units_of(made)
    assert [[member.id for member in unit.tasks] for unit in units] == [["a", "c"], ["b"]]
    assert [unit.measure for unit in units] == [Measure.TOOLS, Measure.TOOLS_LOOSE]
