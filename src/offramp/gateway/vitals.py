"""How the gateway is doing: whether it lives, is ready, what it counts, and what it can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import offramp
from offramp.dialect.codec import encode
from offramp.gateway.endpoint import Endpoint, Page
from offramp.gateway.exposition import CONTENT_TYPE, render
from offramp.gateway.openapi import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offramp.core.json import JsonObject
    from offramp.gateway.counters import Counters
    from offramp.gateway.endpoint import Inquiry

_TEXT: JsonObject = {"type": "string"}
_HEALTH: JsonObject = {
    "type": "object",
    "required": ["status", "version"],
    "properties": {"status": {"const": "ok"}, "version": _TEXT},
}
_READY: JsonObject = {
    "type": "object",
    "required": ["status", "recording"],
    "properties": {"status": _TEXT, "recording": {"type": "boolean"}},
}


class Vitals:
    """The endpoints that every gateway has.

    Args:
        counters: What is counted.
        status: What ``/offramp/status`` says.
        records: Whether calls are recorded.
    """

    def __init__(self, counters: Counters, status: Callable[[], JsonObject], *, records: bool) -> None:
        self._counters = counters
        self._status = status
        self._records = records

    def endpoints(self, others: Sequence[Endpoint]) -> list[Endpoint]:
        """Return them; ``others`` are described in ``/openapi.json`` beside them."""
        not_ready = [(503, "Calls cannot be recorded.")]
        own = [
            Endpoint("GET", "/health", "", _health, "Whether the process lives", answer=_HEALTH),
            Endpoint(
                "GET", "/ready", "", self._ready, "Whether calls are taken", answer=_READY, statuses=not_ready
            ),
            Endpoint("GET", "/offramp/status", "read_status", self._tell, "How everything is doing"),
            Endpoint(
                "GET",
                "/metrics",
                "metrics",
                self._metrics,
                "Counters and times for Prometheus",
                answer=_TEXT,
                content_type="text/plain",
            ),
        ]
        described = Endpoint("GET", "/openapi.json", "", lambda _: description, "This description")
        description = describe([*own, described, *others])
        return [*own, described]

    def _ready(self, inquiry: Inquiry) -> Page:
        del inquiry
        failing = self._records and bool(self._recording().get("error"))
        # Why is in /offramp/status: it names files, and anybody may ask here.
        told: JsonObject = {"status": "not ready" if failing else "ready", "recording": self._records}
        return Page(encode(told), status=503 if failing else 200)

    def _tell(self, inquiry: Inquiry) -> JsonObject:
        del inquiry
        return self._status()

    def _metrics(self, inquiry: Inquiry) -> Page:
        del inquiry
        status = self._status()
        text = render(self._counters, _part(status, "recording"), _part(status, "schedule"))
        return Page(text.encode(), CONTENT_TYPE)

    def _recording(self) -> JsonObject:
        return _part(self._status(), "recording")


def _part(status: JsonObject, name: str) -> JsonObject:
    part = status.get(name)
    return part if isinstance(part, dict) else {}


def _health(inquiry: Inquiry) -> JsonObject:
    del inquiry
    return {"status": "ok", "version": offramp.__version__}
