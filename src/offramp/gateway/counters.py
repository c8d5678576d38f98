"""What the gateway counts, and its text for Prometheus."""

from __future__ import annotations

import enum


class Metric(enum.Enum):
    """A counter: its name, the one label it is split by ("" for none), and what it counts."""

    CALLS = ("offramp_calls_total", "route", "Chat calls answered, by who answered")
    STATUSES = ("offramp_responses_total", "status", "Chat calls answered, by HTTP status")
    SECONDS = ("offramp_call_seconds_total", "route", "Seconds spent on chat calls, by who answered")
    PASSED = ("offramp_passed_total", "status", "Other calls under /v1, by HTTP status")
    DEFERRALS = ("offramp_deferrals_total", "reason", "Calls the router gave to the teacher, by reason")
    ERRORS = ("offramp_upstream_errors_total", "kind", "Calls the teacher did not answer, by error")
    GONE = ("offramp_clients_gone_total", "", "Clients that left before their answer was complete")
    AUDITS = ("offramp_audits_total", "result", "Audits of specialists' answers, by result")
    FAULTS = ("offramp_faults_total", "part", "Faults inside offramp that traffic did not see, by part")


class Counters:
    """Counts from the start of the process."""

    def __init__(self) -> None:
        self._values: dict[Metric, dict[str, float]] = {metric: {} for metric in Metric}

    def add(self, metric: Metric, label: str = "", amount: float = 1.0) -> None:
        """Count one event, or an amount, under the metric's label."""
        values = self._values[metric]
        values[label] = values.get(label, 0.0) + amount

    def value(self, metric: Metric, label: str = "") -> float:
        """Return a count."""
        return self._values[metric].get(label, 0.0)

    def render(self) -> str:
        """Return every counter in Prometheus' text format."""
        lines: list[str] = []
        for metric, values in self._values.items():
            name, label, meaning = metric.value
            lines += [f"# HELP {name} {meaning}.", f"# TYPE {name} counter"]
            for key, value in sorted(values.items()):
                split = f'{{{label}="{_escaped(key)}"}}' if label else ""
                lines.append(f"{name}{split} {value:.10g}")
        return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
