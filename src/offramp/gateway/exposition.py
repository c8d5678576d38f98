"""Counters, times and gauges as text for Prometheus (exposition format 0.0.4)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.gateway.counters import BOUNDS_S, Counters, Metric
from offramp.gateway.scheduled import scheduled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from offramp.core.json import JsonObject

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_PAIR = ("route", "dialect")
_STATM = Path("/proc/self/statm")
# What the recorder says that only ever grows; all else it says in numbers is a gauge.
_GROWING = frozenset({"taken", "written", "failed", "dropped", "lost", "restarts"})
_MEANINGS = {
    "enabled": "Whether calls are recorded",
    "taken": "Calls handed to the recorder",
    "written": "Calls stored",
    "waiting": "Calls handed over and not stored yet",
    "failed": "Calls lost because they could not be read",
    "dropped": "Calls lost because there was no room",
    "dropped_bytes": "Bytes of the calls lost because there was no room",
    "restarts": "Times the recorder was started again",
    "lag_s": "Seconds that the oldest waiting call has waited",
    "stalled": "Whether nothing can be stored at present",
    "earlier_losses": "Calls lost by earlier runs of this installation",
}


def render(counters: Counters, recording: JsonObject, schedule: JsonObject | None = None) -> str:
    """Return every metric.

    Args:
        counters: What the gateway counted.
        schedule: What the queues say of themselves, by queue.
        recording: What the recorder says of itself; its numbers become ``offramp_recorder_...``.
    """
    lines: list[str] = []
    for metric in Metric:
        name, labels, meaning = metric.value
        lines += _head(name, "counter", meaning)
        lines += [f"{name}{_split(labels, key)} {value:.10g}" for key, value in counters.series(metric)]
    series = sorted(counters.calls.items())
    lines += _histogram(
        "offramp_call_seconds",
        "Seconds until the last byte of the answer",
        [(key, calls.seconds, calls.seconds_sum) for key, calls in series],
    )
    lines += _histogram(
        "offramp_first_byte_seconds",
        "Seconds until the first byte of the answer",
        [(key, calls.first_byte, calls.first_byte_sum) for key, calls in series],
    )
    lines += _one("offramp_calls_in_flight", "gauge", "Calls under way", counters.in_flight)
    lines += _recorder(recording)
    lines += scheduled(schedule or {})
    lines += _process()
    return "\n".join(lines) + "\n"


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP {name} {meaning}.", f"# TYPE {name} {kind}"]


def _one(name: str, kind: str, meaning: str, value: float) -> list[str]:
    return [*_head(name, kind, meaning), f"{name} {value:.10g}"]


def _histogram(
    name: str, meaning: str, series: Sequence[tuple[tuple[str, str], Sequence[int], float]]
) -> Iterator[str]:
    yield from _head(name, "histogram", meaning)
    for key, counts, total in series:
        so_far = 0
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), counts, strict=True):
            so_far += count
            yield f"{name}_bucket{_split((*_PAIR, 'le'), (*key, bound))} {so_far}"
        yield f"{name}_sum{_split(_PAIR, key)} {total:.10g}"
        yield f"{name}_count{_split(_PAIR, key)} {so_far}"


def _recorder(recording: Mapping[str, object]) -> Iterator[str]:
    for key, value in sorted(recording.items()):
        if not isinstance(value, int | float):
            continue
        grows = key in _GROWING
        name = f"offramp_recorder_{key}_total" if grows else f"offramp_recorder_{key}"
        yield from _one(
            name, "counter" if grows else "gauge", _MEANINGS.get(key, f"The recorder's {key}"), value
        )


def _process() -> Iterator[str]:
    yield from _one(
        "process_cpu_seconds_total", "counter", "Seconds of CPU used by the process", time.process_time()
    )
    if _STATM.exists():
        resident = int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        yield from _one(
            "process_resident_memory_bytes", "gauge", "Bytes of memory that the process holds", resident
        )


def _split(labels: Sequence[str], values: Sequence[str]) -> str:
    pairs = [f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True)]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
