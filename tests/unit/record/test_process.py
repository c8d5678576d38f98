from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from offramp.core.errors import DiskFull, WrongKey
from offramp.record.exchange import LENGTH, Exchange, encode
from offramp.record.parse import Parser
from offramp.record.process import Report, Writer, serve
from offramp.testing.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from offramp.core.call import Call


@dataclass(frozen=True)
class Unchanged:
    value: Any
    counts: dict[str, int] = field(default_factory=dict)


def picky(value: Any) -> Unchanged:
    """Stands for the redactor; fails on one exchange."""
    if "poison" in json.dumps(value):
        raise RuntimeError("the text was: poison")
    return Unchanged(value)


class NotingStore(MemoryStore):
    """Notes the sizes of batches, and has no space for the first ``failures`` of them."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.failures = failures
        self.closed = False

    def append(self, calls: Sequence[Call]) -> None:
        self.batches.append(len(calls))
        if self.failures:
            self.failures -= 1
            raise DiskFull("No space left.")
        super().append(calls)

    def close(self) -> None:
        self.closed = True


def exchange(text: str = "hi") -> Exchange:
    return Exchange(json.dumps({"messages": [{"role": "user", "content": text}]}).encode(), b"{}", 0.0)


@pytest.fixture
def store() -> NotingStore:
    return NotingStore()


@pytest.fixture
def writer(store: NotingStore) -> Writer:
    return Writer(store, Parser(picky, b"k" * 32))


class Gateway:
    """Speaks to a recorder that runs in a thread."""

    def __init__(self, open_writer: Callable[[], Writer], batch: int = 32) -> None:
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(10)
        self.codes: list[int] = []
        self.thread = threading.Thread(target=lambda: self.run(theirs, open_writer, batch))
        self.thread.start()

    def run(self, channel: socket.socket, open_writer: Callable[[], Writer], batch: int) -> None:
        with channel:
            self.codes.append(serve(channel, open_writer, batch=batch, wait_s=0.02))

    def send(self, *exchanges: Exchange) -> None:
        for one in exchanges:
            self.ours.sendall(b"".join(encode(one)))

    def report(self) -> Report:
        (size,) = LENGTH.unpack(self.ours.recv(LENGTH.size, socket.MSG_WAITALL))
        return Report.decode(self.ours.recv(size, socket.MSG_WAITALL))

    def settled(self, count: int) -> list[Report]:
        """Read reports until they account for ``count`` exchanges."""
        reports: list[Report] = []
        while sum(r.written + r.failed for r in reports) < count:
            reports.append(self.report())
        return reports

    def end(self) -> None:
        self.ours.close()
        self.thread.join(10)


@pytest.fixture
def gateway(writer: Writer) -> Iterator[Gateway]:
    opened = Gateway(lambda: writer, batch=4)
    assert opened.report() == Report(ready=True)
    yield opened
    opened.end()


def test_exchanges_become_stored_calls(gateway: Gateway, store: NotingStore) -> None:
    sent = [exchange(str(n)) for n in range(3)]
    gateway.send(*sent)
    assert sum(r.written for r in gateway.settled(3)) == 3
    assert {c.id for c in store.calls()} == {one.id for one in sent}


def test_batches_are_small(gateway: Gateway, store: NotingStore) -> None:
    gateway.send(*(exchange() for _ in range(21)))
    gateway.settled(21)
    assert max(store.batches) <= 4
    assert sum(store.batches) == 21


def test_an_exchange_that_cannot_be_parsed_is_counted_and_costs_no_other(gateway: Gateway) -> None:
    gateway.send(exchange("a"), exchange("poison"), exchange("b"))
    reports = gateway.settled(3)
    assert (sum(r.written for r in reports), sum(r.failed for r in reports)) == (2, 1)


def test_no_report_quotes_an_exchange(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    gateway.send(exchange("poison"))
    (report,) = gateway.settled(1)
    assert report.error == "An exchange could not be parsed (RuntimeError)."
    assert "poison" not in caplog.text


def test_a_frame_that_is_none_is_counted(gateway: Gateway) -> None:
    gateway.ours.sendall(LENGTH.pack(7) + b"rubbish")
    assert gateway.settled(1)[0].failed == 1


def test_a_full_disk_is_counted_and_recording_goes_on(gateway: Gateway, store: NotingStore) -> None:
    store.failures = 1
    gateway.send(exchange())
    assert gateway.settled(1) == [Report(failed=1, error="No space left.")]
    gateway.send(exchange())
    assert gateway.settled(1) == [Report(written=1)]


def test_all_that_was_sent_is_written_before_the_end(gateway: Gateway, store: NotingStore) -> None:
    gateway.send(*(exchange() for _ in range(30)))
    gateway.ours.shutdown(socket.SHUT_WR)
    gateway.thread.join(10)
    assert store.count() == 30
    assert store.closed
    assert gateway.codes == [0]


def test_a_gateway_that_vanishes_takes_nothing_along(gateway: Gateway, store: NotingStore) -> None:
    gateway.send(*(exchange() for _ in range(30)))
    gateway.end()
    assert store.count() == 30


def test_a_cut_frame_at_the_end_is_left(gateway: Gateway, store: NotingStore) -> None:
    gateway.send(exchange())
    gateway.ours.sendall(b"".join(encode(exchange()))[:-1])
    gateway.end()
    assert store.count() == 1


def test_a_store_that_does_not_open_is_reported_with_its_kind() -> None:
    def refuse() -> Writer:
        raise WrongKey("The key does not open this store.")

    gateway = Gateway(refuse)
    assert gateway.report() == Report(error="The key does not open this store.", kind="WrongKey")
    gateway.end()
    assert gateway.codes == [3]


def test_writing_in_this_process_reports_the_same(writer: Writer) -> None:
    assert writer.write([exchange(), exchange("poison")]) == Report(
        written=1, failed=1, error="An exchange could not be parsed (RuntimeError)."
    )


def test_the_same_exchange_written_twice_is_stored_once(writer: Writer, store: NotingStore) -> None:
    one = exchange()
    writer.write([one])
    writer.write([one])
    assert store.count() == 1
