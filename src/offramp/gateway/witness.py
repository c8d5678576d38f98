"""Tells the recorder what happened, at no risk to the traffic."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.gateway.counters import Metric
from offramp.record.exchange import Exchange
from offramp.record.pseudonym import who_asked
from offramp.upstream.port import header_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offramp.core.decision import Routing
    from offramp.core.json import JsonObject
    from offramp.gateway.counters import Counters
    from offramp.gateway.wire import Asked
    from offramp.record.pseudonym import Pseudonyms
    from offramp.upstream.port import Headers

    Tap = Callable[[Exchange], None]

_log = logging.getLogger("offramp.gateway")

TEACHER = "teacher"
"""The route of a call that no specialist answers."""

_CREDENTIALS = (b"authorization", b"x-api-key", b"api-key")
_SESSIONS = (b"x-offramp-session", b"x-session-id")
# What nginx logs for a client that left before there was a status.
_CLIENT_LEFT = 499
_EVENTS = b"text/event-stream"


@dataclass(frozen=True, slots=True)
class Answered:
    """How a call was answered.

    Attributes:
        started_at: Arrival, seconds since the epoch.
        latency_s: Seconds until the last byte.
        routing: What the router decided.
        status: HTTP status; 0 where the client left before there was one.
        headers: The response's header fields.
        pieces: The response's body as sent, piece by piece.
        complete: False where client or teacher broke off.
        audit_of: Id of the specialist's exchange that this one audits ("" where that one could not be
            recorded); None where it is no audit.
    """

    started_at: float
    latency_s: float
    routing: Routing
    status: int
    headers: Headers
    pieces: Sequence[bytes]
    complete: bool = True
    audit_of: str | None = None


class Witness:
    """Hands each complete call to the tap; a tap that fails is logged and counted, and traffic goes on.

    Args:
        tap: Takes an exchange and returns at once; None records nothing.
        pseudonyms: Make pseudonyms of who asked, before anything leaves the request path.
        counters: Where failures are counted.
    """

    def __init__(self, tap: Tap | None, pseudonyms: Pseudonyms, counters: Counters) -> None:
        self._tap = tap
        self._pseudonyms = pseudonyms
        self._counters = counters

    @property
    def watching(self) -> bool:
        """Whether anything is recorded."""
        return self._tap is not None

    def take(self, asked: Asked, answered: Answered) -> str:
        """Record one call.

        Returns:
            The id it is recorded under, "" where it is not.
        """
        if self._tap is None:
            return ""
        try:
            exchange = self._exchange(asked, answered)
            self._tap(exchange)
        except Exception:  # noqa: BLE001 - recording trouble must never reach the traffic
            _log.exception("A call could not be recorded")
            self._counters.add(Metric.FAULTS, "tap")
            return ""
        return exchange.id

    def _exchange(self, asked: Asked, answered: Answered) -> Exchange:
        content_type = header_of(answered.headers, b"content-type") or b""
        return Exchange(
            request=asked.body,
            response=answered.pieces[0] if len(answered.pieces) == 1 else b"".join(answered.pieces),
            started_at=answered.started_at,
            latency_s=answered.latency_s,
            status=answered.status or _CLIENT_LEFT,
            content_type=content_type.decode("latin-1"),
            content_encoding=(header_of(answered.headers, b"content-encoding") or b"").decode("latin-1"),
            stream=content_type.startswith(_EVENTS),
            complete=answered.complete,
            who=who_asked(self._pseudonyms, _first(asked.headers, _CREDENTIALS), asked.client),
            run=self._run(asked.headers),
            route=answered.routing.route if answered.audit_of is None else TEACHER,
            meta=_facts(answered),
        )

    def _run(self, headers: Headers) -> str:
        named = _first(headers, _SESSIONS)
        return self._pseudonyms.of("run", named) if named else ""


def _first(headers: Headers, names: Sequence[bytes]) -> str:
    for name in names:
        if value := header_of(headers, name):
            return value.decode("latin-1")
    return ""


def _facts(answered: Answered) -> JsonObject:
    routing = answered.routing
    facts = {
        "task": routing.task,
        "confidence": routing.confidence,
        "reason": routing.reason or None,
        "audit_of": answered.audit_of,
    }
    return {name: value for name, value in facts.items() if value is not None}
