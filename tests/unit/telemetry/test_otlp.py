from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from offramp.core.errors import BadSetting
from offramp.telemetry import SpanSender

if TYPE_CHECKING:
    from collections.abc import Iterator


class Collector(ThreadingHTTPServer):
    """A collector that keeps what it is sent, and answers with ``status``."""

    daemon_threads = True
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.requests: list[tuple[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Post(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append((self.path, body))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def spans_of(collector: Collector) -> list[Any]:
    return [
        span
        for _, body in collector.requests
        for resource in body["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def test_spans_arrive_in_order(collector: Collector) -> None:
    sender = SpanSender(collector.url, batch=3)
    sender.put({"name": str(n)} for n in range(10))
    sender.close()
    assert [span["name"] for span in spans_of(collector)] == [str(n) for n in range(10)]
    assert {path for path, _ in collector.requests} == {"/v1/traces"}
    assert (sender.sent, sender.dropped) == (10, 0)


def test_a_whole_url_is_taken_as_it_is(collector: Collector) -> None:
    sender = SpanSender(collector.url + "/otel/v1/traces")
    sender.put([{"name": "a"}])
    sender.close()
    assert collector.requests[0][0] == "/otel/v1/traces"


def test_a_collector_that_refuses_costs_spans_that_are_counted(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.status = 500
    sender = SpanSender(collector.url, batch=1)
    sender.put([{"name": "a"}, {"name": "b"}])
    sender.close()
    assert (sender.sent, sender.dropped) == (0, 2)
    assert len(caplog.records) == 1


def test_a_collector_that_is_away_costs_spans_that_are_counted() -> None:
    sender = SpanSender("http://127.0.0.1:9")
    sender.put([{"name": "a"}])
    sender.close()
    assert sender.dropped == 1


@pytest.mark.parametrize("endpoint", ["localhost:4318", "grpc://x:4317", "http://"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(BadSetting, match=r"telemetry\.otlp"):
        SpanSender(endpoint)
