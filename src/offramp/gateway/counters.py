"""What the gateway counts and times."""

from __future__ import annotations

import enum
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


class Series:
    """The calls of one route and dialect.

    Attributes:
        statuses: Counts by HTTP status.
        seconds: Counts of the times until the last byte, by bucket; the last one for what is longer.
        seconds_sum: Their sum.
        first_byte: Counts of the times until the first byte, by bucket.
        first_byte_sum: Their sum.
    """

    __slots__ = ("first_byte", "first_byte_sum", "seconds", "seconds_sum", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.seconds = [0] * (len(BOUNDS_S) + 1)
        self.seconds_sum = 0.0
        self.first_byte = [0] * (len(BOUNDS_S) + 1)
        self.first_byte_sum = 0.0

    def take(self, course: Course) -> None:
        """Count and time one call."""
        status = course.status
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.seconds[bisect_left(BOUNDS_S, course.latency_s)] += 1
        self.seconds_sum += course.latency_s
        if status:
            self.first_byte[bisect_left(BOUNDS_S, course.first_s)] += 1
            self.first_byte_sum += course.first_s


class Counters:
    """Counts from the start of the process.

    Attributes:
        in_flight: Calls under way.
        calls: Recorded calls, by route and dialect.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.calls: dict[tuple[str, str], Series] = {}
        self._values: dict[Metric, dict[tuple[str, ...], float]] = {metric: {} for metric in Metric}

    def add(self, metric: Metric, *labels: str, amount: float = 1.0) -> None:
        """Count one event, or an amount, under the metric's labels."""
        values = self._values[metric]
        if metric is Metric.DEFERRALS and labels not in values and len(values) >= _DEFERRALS_KEPT:
            # A reason is the router's text; series without end would fill the memory of who scrapes them.
            labels = (_OTHER,)
        values[labels] = values.get(labels, 0.0) + amount

    def call(self, course: Course, dialect: str) -> None:
        """Count and time one recorded call."""
        key = (course.routing.route, dialect)
        series = self.calls.get(key)
        if series is None:
            series = self.calls[key] = Series()
        series.take(course)

    def value(self, metric: Metric, *labels: str) -> float:
        """Return a count; with fewer labels than the metric has, the sum of what begins with them."""
        return sum(count for key, count in self.series(metric) if key[: len(labels)] == labels)

    def series(self, metric: Metric) -> list[tuple[tuple[str, ...], float]]:
        """Return a metric's labels and counts."""
        if metric is Metric.CALLS:
            return sorted(
                ((route, dialect, str(status)), float(count))
                for (route, dialect), series in self.calls.items()
                for status, count in series.statuses.items()
            )
        return sorted(self._values[metric].items())
