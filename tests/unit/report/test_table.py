from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offramp.report.markup import columns, elide, shorten
from offramp.report.summary import Summary
from offramp.report.table import render_table


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(sample: Summary, width: int) -> None:
    assert max(columns(line) for line in render_table(sample, width=width).splitlines()) <= width


def test_a_narrow_terminal_counts_as_eighty_columns(sample: Summary) -> None:
    assert render_table(sample, width=20) == render_table(sample, width=80)


def test_the_table_is_plain_text(sample: Summary) -> None:
    text = render_table(sample)
    assert "\x1b" not in text
    assert "\N{EN DASH}" not in text
    assert text.endswith("\n")


def test_figures_stand_under_each_other(sample: Summary) -> None:
    lines = render_table(sample, width=120).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("---"))
    rows = lines[start + 1 : start + 20]
    ends = {match.end() for row in rows for match in [re.search(r" [\d,]+(?=  )", row)] if match}
    assert len(rows) == 19
    assert len(ends) == 1


def test_a_narrow_table_keeps_the_figures_and_drops_the_rest(sample: Summary) -> None:
    narrow, wide = render_table(sample, width=80), render_table(sample, width=120)
    assert "realised (95 %)" in narrow
    assert "answered by" not in narrow
    assert "answered by" in wide


def test_refused_tasks_say_what_is_missing_and_why(sample: Summary) -> None:
    text = render_table(sample)
    assert "Kept on the LLM: 3 tasks" in text
    assert "    missing: about 18 more calibration calls could certify it" in text
    assert "    why: free text: no candidate agrees often enough" in text


def test_the_group_and_the_money_are_told(sample: Summary) -> None:
    text = render_table(sample)
    assert "Group home, 18 tasks: certified at most 4.9 %" in text
    assert "Money: Worth it at 75,180 calls in 30 days" in text
    assert "Above the promise on their own: home assistant: calendar_remove" in text


def test_an_empty_summary_is_one_sentence() -> None:
    assert render_table(Summary()) == "offramp found 0 tasks in 0 calls; there is nothing to convert.\n"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=300), width=st.integers(80, 130))
def test_any_name_keeps_the_table_in_its_width(sample: Summary, name: str, width: int) -> None:
    tasks = tuple(replace(task, name=name, reason=name, candidate=name) for task in sample.tasks[-6:])
    text = render_table(replace(sample, tasks=tasks, groups=(), notes=(name,)), width=width)
    lines = text.split("\n")
    assert max(columns(line) for line in lines) <= width
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


@given(st.text(max_size=60), st.integers(3, 40))
def test_a_cut_name_fits(text: str, width: int) -> None:
    assert columns(shorten(text, width)) <= width
    assert columns(elide(text, width)) <= width


def test_a_cut_name_keeps_its_end() -> None:
    assert elide("home assistant: calendar_remove", 20) == "home as\N{HORIZONTAL ELLIPSIS}endar_remove"


def test_wide_characters_count_twice() -> None:
    assert columns("日本") == 4
