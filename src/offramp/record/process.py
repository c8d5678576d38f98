"""The recorder process: reads exchanges from the gateway, redacts, encrypts and stores them."""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import orjson

from offramp.core.errors import OfframpError, StorageError
from offramp.record.exchange import LENGTH, decode

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from offramp.core.call import Call
    from offramp.record.exchange import Exchange
    from offramp.record.parse import Parser
    from offramp.storage.port import Store

_log = logging.getLogger("offramp.record")

BATCH = 32
WAIT_S = 0.05
_READ_AHEAD = 128
_LARGEST_FRAME = 1 << 30
_NICENESS = 5


@dataclass(frozen=True, slots=True)
class Report:
    """What the recorder tells the gateway.

    Attributes:
        ready: The store is open; the first report says so.
        written: Exchanges stored since the last report.
        failed: Exchanges lost since the last report.
        error: Why, without a word of their content; "" where nothing failed.
        kind: Class of the error that stops the recorder from starting, "" where it starts.
    """

    ready: bool = False
    written: int = 0
    failed: int = 0
    error: str = ""
    kind: str = ""

    def encode(self) -> bytes:
        """Return the report's frame, its length first."""
        body = orjson.dumps(asdict(self))
        return LENGTH.pack(len(body)) + body

    @classmethod
    def decode(cls, body: bytes) -> Report:
        """Read a frame without its length."""
        return cls(**orjson.loads(body))


class Writer:
    """Parses exchanges and stores them; what cannot be stored is counted, never kept in plaintext.

    Args:
        store: Where calls go.
        parser: Makes calls of exchanges.
    """

    def __init__(self, store: Store, parser: Parser) -> None:
        self._store = store
        self._parser = parser

    def write(self, exchanges: Sequence[Exchange]) -> Report:
        """Store exchanges in one transaction and report; raises nothing but what ends a process."""
        calls: list[Call] = []
        error = ""
        for exchange in exchanges:
            try:
                calls.append(self._parser.parse(exchange))
            except Exception as failure:  # noqa: BLE001 - one strange exchange must not cost the others
                # The message could quote the exchange; its class cannot.
                error = f"An exchange could not be parsed ({type(failure).__name__})."
                _log.error(error)
        try:
            self._store.append(calls)
        except StorageError as failure:
            _log.error("%d calls could not be stored: %s", len(calls), failure)
            return Report(failed=len(exchanges), error=str(failure))
        return Report(written=len(calls), failed=len(exchanges) - len(calls), error=error)

    def close(self) -> None:
        """Close the store."""
        self._store.close()


def serve(
    channel: socket.socket, open_writer: Callable[[], Writer], *, batch: int = BATCH, wait_s: float = WAIT_S
) -> int:
    """Record what comes over the channel until it ends; the whole of the recorder process.

    It ends at the end of the stream, not at a signal: Ctrl-C reaches every process of a terminal, and what
    the gateway handed over is still to be written then.

    Args:
        channel: Frames come in, reports go out.
        open_writer: Opens the store; an OfframpError is reported, and ends the recorder.
        batch: Most calls per transaction.
        wait_s: Longest wait in seconds for a batch to fill.

    Returns:
        Exit code.
    """
    _settle()
    try:
        writer = open_writer()
    except OfframpError as error:
        _send(channel, Report(error=str(error), kind=type(error).__name__))
        return error.exit_code
    frames: queue.Queue[bytes | None] = queue.Queue(_READ_AHEAD)
    threading.Thread(target=_read, args=(channel, frames), name="frames", daemon=True).start()
    try:
        _send(channel, Report(ready=True))
        ended = False
        while not ended:
            taken, ended = _collect(frames, batch, wait_s)
            if taken:
                _send(channel, _write(writer, taken))
    finally:
        writer.close()
    return 0


def _settle() -> None:
    """Leave signals to the gateway, and the processor to the traffic."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.nice(_NICENESS)


def _read(channel: socket.socket, frames: queue.Queue[bytes | None]) -> None:
    """Read frames until the channel ends; the bounded queue holds the gateway's sender back."""
    try:
        while (head := _exactly(channel, LENGTH.size)) is not None:
            (size,) = LENGTH.unpack(head)
            frame = _exactly(channel, size) if size <= _LARGEST_FRAME else None
            if frame is None:
                break
            frames.put(frame)
    except OSError as error:
        _log.warning("The gateway's channel broke: %s", error)
    frames.put(None)


def _exactly(channel: socket.socket, size: int) -> bytes | None:
    """Read ``size`` bytes, None where the stream ends before."""
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        got = channel.recv_into(view)
        if not got:
            return None
        view = view[got:]
    return bytes(buffer)


def _collect(frames: queue.Queue[bytes | None], batch: int, wait_s: float) -> tuple[list[bytes], bool]:
    """Wait for a frame, then for a full batch or ``wait_s``; tell whether the stream has ended."""
    taken: list[bytes] = []
    first = frames.get()
    deadline = time.monotonic() + wait_s
    frame: bytes | None = first
    while frame is not None:
        taken.append(frame)
        left = deadline - time.monotonic()
        if len(taken) >= batch or left <= 0:
            return taken, False
        try:
            frame = frames.get(timeout=left)
        except queue.Empty:
            return taken, False
    return taken, True


def _write(writer: Writer, frames: Sequence[bytes]) -> Report:
    exchanges: list[Exchange] = []
    error = ""
    for frame in frames:
        try:
            exchanges.append(decode(frame))
        except ValueError as failure:
            error = str(failure)
    report = writer.write(exchanges)
    lost = len(frames) - len(exchanges)
    return Report(written=report.written, failed=report.failed + lost, error=report.error or error)


def _send(channel: socket.socket, report: Report) -> None:
    """Report; where the gateway is gone, there is nobody to tell, and still something to write."""
    try:
        channel.sendall(report.encode())
    except OSError:
        _log.warning("The gateway is gone; what it handed over is written all the same")
