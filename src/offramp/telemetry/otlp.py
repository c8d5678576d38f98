"""OpenTelemetry spans out: OTLP over HTTP, as JSON, in the background."""

from __future__ import annotations

import http.client
import json
import logging
import queue
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from offramp.core.errors import BadSetting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from offramp.core.json import JsonObject

_log = logging.getLogger("offramp.telemetry")

_PATH = "/v1/traces"
_BATCH = 64
_TIMEOUT_S = 10.0
_CAPACITY = 4096


class SpanSender:
    """Sends spans to a collector from a thread of its own.

    Spans are told, not promised: what the collector does not take in time is dropped and counted. Nothing
    waits for it.

    Args:
        endpoint: Base URL of the collector (``http://localhost:4318``), or the whole URL of its traces.
        capacity: Most spans that wait.
        batch: Most spans in one request.

    Raises:
        BadSetting: The endpoint is no http or https URL.
    """

    def __init__(self, endpoint: str, *, capacity: int = _CAPACITY, batch: int = _BATCH) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadSetting(
                f"Setting telemetry.otlp is {endpoint!r}; it has to be an http or https URL.",
                hint="Write it as http://localhost:4318.",
            )
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._address = (parts.hostname, parts.port)
        self._path = parts.path if parts.path not in ("", "/") else _PATH
        self._spans: queue.Queue[JsonObject | None] = queue.Queue(capacity)
        self._batch = batch
        self.sent = 0
        self.dropped = 0
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def put(self, spans: Iterable[JsonObject]) -> None:
        """Take spans (OTLP/JSON) and return at once."""
        for span in spans:
            try:
                self._spans.put_nowait(span)
            except queue.Full:
                self.dropped += 1

    def close(self, timeout_s: float = _TIMEOUT_S) -> None:
        """Send what waits, for ``timeout_s`` seconds at most."""
        try:
            self._spans.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _run(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._next()
            if batch:
                self._send(batch)

    def _next(self) -> tuple[list[JsonObject], bool]:
        """Wait for a span, then take what else is there."""
        batch: list[JsonObject] = []
        span = self._spans.get()
        while span is not None:
            batch.append(span)
            if len(batch) == self._batch:
                return batch, False
            try:
                span = self._spans.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _send(self, spans: list[JsonObject]) -> None:
        try:
            status = self._post(_request(spans))
        except (OSError, http.client.HTTPException) as error:
            self._failed(spans, type(error).__name__)
            return
        if status >= 400:
            self._failed(spans, f"status {status}")
            return
        self.sent += len(spans)
        self._failing = False

    def _post(self, body: bytes) -> int:
        connection = self._kind(*self._address, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", self._path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def _failed(self, spans: list[JsonObject], reason: str) -> None:
        self.dropped += len(spans)
        if not self._failing:
            _log.warning("The collector at %s takes no spans (%s)", self._address[0], reason)
        self._failing = True


def _request(spans: list[JsonObject]) -> bytes:
    service = {"key": "service.name", "value": {"stringValue": "offramp"}}
    scope = {"scope": {"name": "offramp"}, "spans": spans}
    body = {"resourceSpans": [{"resource": {"attributes": [service]}, "scopeSpans": [scope]}]}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
