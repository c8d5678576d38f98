"""Tells the recorder what happened, at no risk to the traffic."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from offramp.core.call import Dialect
from offramp.gateway.counters import Metric
from offramp.gateway.course import NOBODY_ELSE, TEACHER
from offramp.record.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.core.json import JsonObject
    from offramp.gateway.counters import Counters
    from offramp.gateway.course import Course

    Tap = Callable[[Exchange], None]

_log = logging.getLogger("offramp.gateway")

# What nginx logs for a client that left before there was a status.
_CLIENT_LEFT = 499
_EVENTS = "text/event-stream"


class Witness:
    """Hands each call to the tap; a tap that fails is logged and counted, and traffic goes on.

    Args:
        tap: Takes an exchange and returns at once; None records nothing.
        counters: Where failures are counted.
    """

    def __init__(self, tap: Tap | None, counters: Counters) -> None:
        self._tap = tap
        self._counters = counters

    @property
    def watching(self) -> bool:
        """Whether anything is recorded."""
        return self._tap is not None

    def take(self, course: Course, *, complete: bool) -> None:
        """Record one call, once; called before the last byte of its answer is sent."""
        if self._tap is None or course.witnessed or not course.caller.record:
            return
        course.witnessed = True
        try:
            self._tap(_exchange(course, complete=complete))
        except Exception:  # noqa: BLE001 - recording trouble must never reach the traffic
            _log.exception("A call could not be recorded")
            self._counters.add(Metric.FAULTS, "tap")
        else:
            course.recorded = True


def _exchange(course: Course, *, complete: bool) -> Exchange:
    content_type = encoding = ""
    for name, value in course.headers:
        if name == b"content-type":
            content_type = value.decode("latin-1")
        elif name == b"content-encoding":
            encoding = value.decode("latin-1")
    pieces, caller = course.pieces, course.caller
    return Exchange(
        request=course.asked.body,
        response=pieces[0] if len(pieces) == 1 else b"".join(pieces),
        started_at=course.started_at,
        latency_s=course.latency_s,
        status=course.status or _CLIENT_LEFT,
        content_type=content_type,
        content_encoding=encoding,
        stream=content_type.startswith(_EVENTS),
        complete=complete,
        who=caller.who,
        run=caller.run,
        route=course.routing.route if course.audit_of is None else TEACHER,
        meta=_facts(course),
        dialect=course.dialect or Dialect.CHAT,
        trainable=caller.trainable,
        id=course.id,
    )


def _facts(course: Course) -> JsonObject:
    routing = course.routing
    if routing is NOBODY_ELSE:
        return {}
    facts = {
        "task": routing.task,
        "confidence": routing.confidence,
        "reason": routing.reason or None,
        "model": routing.model,
        "audit_of": course.audit_of,
    }
    return {name: value for name, value in facts.items() if value is not None}
