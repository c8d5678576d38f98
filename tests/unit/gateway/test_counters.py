from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from offramp.gateway.counters import Counters, Metric

_LINE = re.compile(r'# (HELP|TYPE) \w+ .+|\w+(\{\w+="([^"\\\n]|\\["\\n])*"\})? [0-9.e+]+')


def test_a_count_starts_at_zero_and_adds_up() -> None:
    counters = Counters()
    assert counters.value(Metric.CALLS, "teacher") == 0
    counters.add(Metric.CALLS, "teacher")
    counters.add(Metric.CALLS, "teacher", 2.5)
    assert counters.value(Metric.CALLS, "teacher") == 3.5


def test_labels_are_counted_apart() -> None:
    counters = Counters()
    counters.add(Metric.CALLS, "s1")
    assert counters.value(Metric.CALLS, "teacher") == 0


def test_a_counter_is_rendered_with_its_label() -> None:
    counters = Counters()
    counters.add(Metric.STATUSES, "429")
    assert 'offramp_responses_total{status="429"} 1\n' in counters.render()


def test_a_counter_without_label_has_no_braces() -> None:
    counters = Counters()
    counters.add(Metric.GONE)
    assert "offramp_clients_gone_total 1\n" in counters.render()


def test_every_metric_is_explained_even_at_zero() -> None:
    text = Counters().render()
    assert all(f"# TYPE {metric.value[0]} counter" in text for metric in Metric)


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_any_label_gives_lines_that_prometheus_reads(label: str) -> None:
    counters = Counters()
    counters.add(Metric.DEFERRALS, label)
    lines = counters.render().removesuffix("\n").split("\n")
    assert all(_LINE.fullmatch(line) for line in lines)
