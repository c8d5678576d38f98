"""What the gateway counts and times."""

from __future__ import annotations

import enum
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.gateway.course import Course

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the buckets of every histogram, in seconds: from a specialist to a model that thinks."""

_DEFERRALS_KEPT = 64
_OTHER = "other"


class Metric(enum.Enum):
    """A counter: its name, the labels it is split by, and what it counts."""

    CALLS = ("offramp_calls_total", ("route", "dialect", "status"), "Recorded calls, by who answered")
    PASSED = ("offramp_passed_total", ("status",), "Other calls under /v1, by HTTP status")
    REFUSED = ("offramp_refused_total", ("status",), "Requests that the gateway refused, by HTTP status")
    DEFERRALS = ("offramp_deferrals_total", ("reason",), "Calls the router gave to the teacher, by reason")
    ERRORS = ("offramp_upstream_errors_total", ("kind",), "Calls the teacher did not answer, by error")
    GONE = ("offramp_clients_gone_total", (), "Clients that left before their answer was complete")
    AUDITS = ("offramp_audits_total", ("result",), "Audits of specialists' answers, by result")
    FAULTS = ("offramp_faults_total", ("part",), "Faults inside offramp that traffic did not see, by part")


class Histogram:
    """Times by route and dialect.

    Args:
        name: Its name for Prometheus.
        meaning: What it times.
    """

    __slots__ = ("_counts", "_sums", "meaning", "name")

    def __init__(self, name: str, meaning: str) -> None:
        self.name = name
        self.meaning = meaning
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._sums: dict[tuple[str, str], float] = {}

    def observe(self, key: tuple[str, str], seconds: float) -> None:
        """Take in one time."""
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = [0] * (len(BOUNDS_S) + 1)
            self._sums[key] = 0.0
        counts[bisect_left(BOUNDS_S, seconds)] += 1
        self._sums[key] += seconds

    def series(self) -> Iterator[tuple[tuple[str, str], list[int], float]]:
        """Yield labels, counts by bucket (the last one for what is longer), and the sum of seconds."""
        for key, counts in sorted(self._counts.items()):
            yield key, counts, self._sums[key]


class Counters:
    """Counts from the start of the process.

    Attributes:
        in_flight: Calls under way.
        seconds: Times until the last byte of a call's answer.
        first_byte: Times until its first byte.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.seconds = Histogram("offramp_call_seconds", "Seconds until the last byte of the answer")
        self.first_byte = Histogram(
            "offramp_first_byte_seconds", "Seconds until the first byte of the answer"
        )
        self._values: dict[Metric, dict[tuple[str, ...], float]] = {metric: {} for metric in Metric}
        self._calls: dict[tuple[str, str, int], int] = {}

    def add(self, metric: Metric, *labels: str, amount: float = 1.0) -> None:
        """Count one event, or an amount, under the metric's labels."""
        values = self._values[metric]
        if metric is Metric.DEFERRALS and labels not in values and len(values) >= _DEFERRALS_KEPT:
            # A reason is the router's text; series without end would fill the memory of who scrapes them.
            labels = (_OTHER,)
        values[labels] = values.get(labels, 0.0) + amount

    def call(self, course: Course) -> None:
        """Count and time one recorded call."""
        route, dialect = course.routing.route, str(course.dialect)
        key = (route, dialect, course.status)
        self._calls[key] = self._calls.get(key, 0) + 1
        pair = (route, dialect)
        self.seconds.observe(pair, course.latency_s)
        if course.status:
            self.first_byte.observe(pair, course.first_s)

    def value(self, metric: Metric, *labels: str) -> float:
        """Return a count; with fewer labels than the metric has, the sum of what begins with them."""
        return sum(count for key, count in self.series(metric) if key[: len(labels)] == labels)

    def series(self, metric: Metric) -> list[tuple[tuple[str, ...], float]]:
        """Return a metric's labels and counts."""
        if metric is Metric.CALLS:
            return sorted(
                ((route, dialect, str(status)), float(count))
                for (route, dialect, status), count in self._calls.items()
            )
        return sorted(self._values[metric].items())
