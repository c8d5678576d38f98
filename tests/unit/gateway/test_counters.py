from __future__ import annotations

import math
import re
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.call import Dialect
from offramp.gateway.caller import Caller
from offramp.gateway.counters import BOUNDS_S, Counters, Metric
from offramp.gateway.course import Course
from offramp.gateway.exposition import render
from offramp.gateway.wire import Asked
from offramp.record.stats import TapStats

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? ([0-9.e+-]+)")
_LABEL = re.compile(rf'({_NAME})="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')


def _read(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Read the exposition format as Prometheus does; fails on what it would refuse."""
    kinds: dict[str, str] = {}
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            match = _SAMPLE.fullmatch(line)
            assert match, line
            name, inside, value = match.groups()
            family = re.sub(r"_(bucket|sum|count)$", "", name)
            assert kinds.get(name) or kinds.get(family) == "histogram", line
            labels = _LABEL.findall(inside or "")
            assert "".join(f'{key}="{text}",' for key, text in labels)[:-1] == (inside or "")
            samples.setdefault(name, []).append((dict(labels), float(value)))
    return samples


def _course(route_seconds: float, status: int = 200) -> Course:
    course = Course(
        Asked("POST", "/v1/chat/completions", (), b""),
        Caller("", "", (), record=True, trainable=True),
        Dialect.CHAT,
        started_at=0.0,
    )
    course.status, course.latency_s, course.first_s = status, route_seconds, route_seconds / 2
    return course


def test_a_count_starts_at_zero_and_adds_up() -> None:
    counters = Counters()
    assert counters.value(Metric.PASSED, "200") == 0
    counters.add(Metric.PASSED, "200")
    counters.add(Metric.PASSED, "200", amount=2.5)
    assert counters.value(Metric.PASSED, "200") == 3.5


def test_labels_are_counted_apart() -> None:
    counters = Counters()
    counters.add(Metric.PASSED, "200")
    assert counters.value(Metric.PASSED, "404") == 0


def test_calls_are_counted_by_route_dialect_and_status() -> None:
    counters = Counters()
    for status in (200, 200, 429):
        counters.call(_course(0.1, status), "chat")
    assert counters.value(Metric.CALLS, "teacher", "chat", "200") == 2
    assert counters.value(Metric.CALLS, "teacher") == 3


def test_a_counter_is_rendered_with_its_labels() -> None:
    counters = Counters()
    counters.call(_course(0.1, 429), "chat")
    samples = _read(render(counters, {}))
    assert samples["offramp_calls_total"] == [({"route": "teacher", "dialect": "chat", "status": "429"}, 1)]


def test_a_counter_without_label_has_no_braces() -> None:
    counters = Counters()
    counters.add(Metric.GONE)
    assert "offramp_clients_gone_total 1\n" in render(counters, {})


def test_every_metric_is_explained_even_at_zero() -> None:
    text = render(Counters(), {})
    assert all(f"# TYPE {metric.value[0]} counter" in text for metric in Metric)


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=20))
def test_buckets_are_cumulative_and_end_with_all(times: list[float]) -> None:
    counters = Counters()
    for seconds in times:
        counters.call(_course(seconds), "chat")
    samples = _read(render(counters, {}))
    buckets = {float(labels["le"]): value for labels, value in samples["offramp_call_seconds_bucket"]}
    assert buckets == {bound: sum(seconds <= bound for seconds in times) for bound in (*BOUNDS_S, math.inf)}
    assert samples["offramp_call_seconds_count"][0][1] == len(times)
    assert samples["offramp_call_seconds_sum"][0][1] == pytest.approx(sum(times))


def test_what_the_recorder_says_in_numbers_is_shown() -> None:
    samples = _read(render(Counters(), {"taken": 7, "lag_s": 0.25, "error": "none", "enabled": True}))
    assert samples["offramp_recorder_taken_total"] == [({}, 7)]
    assert samples["offramp_recorder_lag_s"] == [({}, 0.25)]
    assert samples["offramp_recorder_enabled"] == [({}, 1)]


def test_every_number_of_the_recorder_is_explained() -> None:
    recording = {name: value for name, value in asdict(TapStats()).items() if not isinstance(value, str)}
    shown = render(Counters(), recording | {"enabled": True})
    assert "The recorder's" not in shown
    assert "# HELP offramp_recorder_dropped_total Calls lost because there was no room." in shown


def test_the_process_shows_its_memory_and_cpu() -> None:
    samples = _read(render(Counters(), {}))
    assert samples["process_cpu_seconds_total"][0][1] > 0
    assert samples["process_resident_memory_bytes"][0][1] > 1 << 20


def test_reasons_without_end_become_one_series() -> None:
    counters = Counters()
    for number in range(200):
        counters.add(Metric.DEFERRALS, f"reason {number}")
    assert len(counters.series(Metric.DEFERRALS)) == 65
    assert counters.value(Metric.DEFERRALS, "other") == 136


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_any_label_gives_lines_that_prometheus_reads(label: str) -> None:
    counters = Counters()
    counters.add(Metric.DEFERRALS, label)
    ((labels, value),) = _read(render(counters, {}))["offramp_deferrals_total"]
    unescaped = re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], labels["reason"])
    assert (unescaped, value) == (label, 1)
