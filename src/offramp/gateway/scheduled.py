"""What the queues say of themselves, as text for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.app.dispatch import WAIT_BOUNDS_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.json import JsonObject

_ENGINES = (
    ("slots", "slots", "gauge", "Calls that the engine may have at once"),
    ("in_use", "slots_in_use", "gauge", "Calls that the engine has"),
    ("lent", "slots_lent", "gauge", "Slots kept for another class that calls hold at present"),
    ("shut", "shut", "gauge", "Whether the engine could not be reached and gets no calls for a moment"),
    ("losses", "losses_total", "counter", "Times that the engine could not be reached"),
)
_COUNTS = (
    ("offered", "offered_total", "counter", "Calls that asked for a turn"),
    ("dispatched", "dispatched_total", "counter", "Calls that got their turn"),
    ("cancelled", "cancelled_total", "counter", "Calls taken back: the client left, or the engine failed"),
    ("lent_s", "lent_seconds_total", "counter", "Seconds in slots kept for another class"),
    ("waiting", "waiting", "gauge", "Calls that wait for their turn"),
    ("kept", "slots_kept", "gauge", "Slots kept for the class"),
)
_WAIT = "offramp_schedule_wait_seconds"


def scheduled(schedule: JsonObject) -> Iterator[str]:
    """Give the lines of every queue; none where nothing is scheduled.

    Args:
        schedule: By queue: its engines' slots, and by class what happened and how long it took.
    """
    if not schedule:
        return
    for key, name, kind, meaning in _ENGINES:
        yield from _head(f"offramp_schedule_{name}", kind, meaning)
        for queue, of_queue in schedule.items():
            for engine, facts in of_queue["engines"].items():
                yield f'offramp_schedule_{name}{{queue="{queue}",engine="{engine}"}} {facts[key]:d}'
    classes = [
        (f'queue="{queue}",class="{name}"', facts)
        for queue, of_queue in schedule.items()
        for name, facts in of_queue["classes"].items()
    ]
    for key, name, kind, meaning in _COUNTS:
        yield from _head(f"offramp_schedule_{name}", kind, meaning)
        for labels, facts in classes:
            yield f"offramp_schedule_{name}{{{labels}}} {facts[key]:.10g}"
    yield from _head("offramp_schedule_refused_total", "counter", "Calls refused, by reason")
    for labels, facts in classes:
        for reason, count in facts["refused"].items():
            yield f'offramp_schedule_refused_total{{{labels},reason="{reason}"}} {count}'
    yield from _head(_WAIT, "histogram", "Seconds that calls waited for their turn")
    for labels, facts in classes:
        yield from _waits(labels, facts)


def _waits(labels: str, facts: JsonObject) -> Iterator[str]:
    so_far = 0
    for bound, count in zip((*map(str, WAIT_BOUNDS_S), "+Inf"), facts["waits"], strict=True):
        so_far += count
        yield f'{_WAIT}_bucket{{{labels},le="{bound}"}} {so_far}'
    yield f"{_WAIT}_sum{{{labels}}} {facts['waited_s']:.10g}"
    yield f"{_WAIT}_count{{{labels}}} {so_far}"


def _head(name: str, kind: str, meaning: str) -> Iterator[str]:
    yield f"# HELP {name} {meaning}."
    yield f"# TYPE {name} {kind}"
