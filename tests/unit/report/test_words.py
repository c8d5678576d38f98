from __future__ import annotations

from dataclasses import replace

import pytest

from offramp.report.results import Interval, TaskResult
from offramp.report.summary import Summary
from offramp.report.words import (
    above_promise,
    headline,
    missing,
    percent,
    plural,
    seconds,
    span,
    usd,
    verdict,
)

DASH = "\N{EN DASH}"


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.47, "47 %"),
        (0.019, "1.9 %"),
        (0.05, "5 %"),
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.0996, "10 %"),
        (0.0004, "0.04 %"),
        (None, DASH),
        (float("nan"), DASH),
    ],
)
def test_percentages_keep_the_digits_that_matter(share: float | None, shown: str) -> None:
    assert percent(share) == shown


def test_percentages_in_a_column_keep_the_same_digits() -> None:
    assert [percent(share, digits=1) for share in (0.03, 0.397)] == ["3.0 %", "39.7 %"]


def test_an_end_of_an_interval_is_not_rounded_onto_the_promise() -> None:
    assert span(Interval(0.048, 0.257)) == f"4.8{DASH}25.7 %"


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (263.4, "$263"),
        (85.62, "$85.62"),
        (0.00133, "$0.0013"),
        (-12.0, "-$12.00"),
        (0.0, "$0.00"),
        (None, DASH),
    ],
)
def test_money_keeps_the_digits_that_matter(amount: float | None, shown: str) -> None:
    assert usd(amount) == shown


@pytest.mark.parametrize(
    ("duration", "shown"), [(2.44, "2.4 s"), (412.0, "6 min 52 s"), (7260.0, "2 h 01 min")]
)
def test_durations_are_in_the_unit_that_fits(duration: float, shown: str) -> None:
    assert seconds(duration) == shown


def test_one_is_singular() -> None:
    assert (plural(1, "task"), plural(2, "task")) == ("1 task", "2 tasks")


def test_the_headline_says_share_disagreement_interval_and_promise() -> None:
    summary = Summary(calls_unseen=5012, answered_unseen=2356, disagreements=45, risk=45 / 2356, alpha=0.05)
    assert headline(summary) == (
        f"offramp answered 47 % of 5,012 unseen calls; 1.9 % of those disagreed (95 %: 1.4{DASH}2.5 %), "
        "promised at most 5 %."
    )


def test_the_headline_of_a_test_without_answers_says_so() -> None:
    summary = Summary(calls_unseen=100, answered_unseen=0, tasks=(TaskResult("a", "a"),))
    assert headline(summary) == "offramp answered none of 100 unseen calls: all of them stay with the LLM."


def test_the_headline_of_a_scan_says_what_could_leave(sample: Summary) -> None:
    scan = replace(sample, calls_unseen=None)
    assert headline(scan) == (
        "offramp found 22 tasks in 12,530 calls; 19 tasks and about 48 % of the calls could leave the LLM, "
        "with at most 5 % disagreement."
    )


def test_the_headline_of_a_fruitless_scan_says_so(sample: Summary) -> None:
    scan = replace(sample, calls_unseen=None, tasks=sample.kept)
    assert headline(scan) == "offramp found 3 tasks in 12,530 calls; all of them stay with the LLM."


def test_the_headline_of_nothing_is_a_sentence_too() -> None:
    assert headline(Summary()) == "offramp found 0 tasks in 0 calls; there is nothing to convert."


@pytest.mark.parametrize(
    ("risk", "low", "high", "state"),
    [
        (0.02, 0.01, 0.03, "kept"),
        (0.04, 0.01, 0.07, "open"),
        (0.06, 0.04, 0.08, "open"),
        (0.09, 0.06, 0.12, "broken"),
    ],
)
def test_the_verdict_counts_the_interval(risk: float, low: float, high: float, state: str) -> None:
    assert verdict(risk, Interval(low, high), 0.05)[0] == state


def test_without_a_measurement_there_is_no_verdict() -> None:
    assert verdict(None, None, 0.05)[0] == "unknown"


def test_tasks_above_the_promise_are_named_though_the_pool_is_below_it(sample: Summary) -> None:
    assert [line.split(" 1")[0] for line in above_promise(sample)] == ["home assistant: calendar_remove"]


def test_a_task_that_needs_calls_says_how_many() -> None:
    assert (
        missing(TaskResult("a", "a", calls_needed=18)) == "about 18 more calibration calls could certify it"
    )


def test_a_task_that_calls_cannot_help_names_the_best_candidate() -> None:
    task = TaskResult("a", "a", candidates={"cache": 0.02, "extractive": 0.41})
    assert missing(task) == "a better candidate: the best, extractive, agrees on 41 %"


def test_a_task_nobody_tried_says_so() -> None:
    assert missing(TaskResult("a", "a")) == "no candidate was tried"
