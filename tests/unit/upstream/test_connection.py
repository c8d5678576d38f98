"""What sockets do too rarely to wait for: a transport that is closed before anybody was told."""

from __future__ import annotations

import asyncio

import pytest

from offramp.core.errors import UpstreamError
from offramp.upstream.connection import Connection

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n"


class _Owner:
    def __init__(self) -> None:
        self.kept: list[Connection] = []

    def opened(self, connection: Connection) -> None:
        self.kept.append(connection)

    def free(self, connection: Connection) -> None:
        raise AssertionError("it cannot be used again")

    def gone(self, connection: Connection) -> None:
        self.kept.remove(connection)


class _Transport(asyncio.Transport):
    """Takes everything, until it fails; then it raises, as uvloop's does."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.taken = 0
        self.reading = True
        self.fails_after = 1 << 40

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: object) -> None:
        self._check()
        self.taken += memoryview(data).nbytes  # type: ignore[arg-type] # bytes or a view of them
        self.closed = self.taken > self.fails_after

    def writelines(self, list_of_data: object) -> None:
        for data in list_of_data:  # type: ignore[attr-defined] # a sequence
            self.write(data)

    def pause_reading(self) -> None:
        self._check()
        self.reading = False

    def resume_reading(self) -> None:
        self._check()
        self.reading = True

    def _check(self) -> None:
        if self.closed:
            raise RuntimeError("the handler is closed")


def _made(transport: _Transport) -> Connection:
    connection = Connection(_Owner(), "http://teacher/v1", 30)
    connection.connection_made(transport)
    return connection


async def test_a_transport_that_fails_under_a_huge_request_is_written_to_no_more() -> None:
    transport = _Transport()
    transport.fails_after = 1 << 20
    connection = _made(transport)
    response = connection.begin(b"head", bytes(32 << 20), bodiless=False)
    assert transport.taken < 2 << 20
    connection.connection_lost(ConnectionResetError("reset by peer"))
    with pytest.raises(UpstreamError, match="reset by peer"):
        await anext(response)


async def test_a_slow_client_can_read_on_after_the_transport_failed() -> None:
    transport = _Transport()
    connection = _made(transport)
    response = connection.begin(b"head", b"", bodiless=False)
    connection.data_received(_HEAD + bytes(1 << 20))
    assert not transport.reading
    transport.closed = True
    assert len(await anext(response)) == 1 << 20
    connection.connection_lost(BrokenPipeError("broken pipe"))
    with pytest.raises(UpstreamError, match="broken pipe"):
        await anext(response)


async def test_data_that_comes_after_the_transport_failed_is_still_handed_on() -> None:
    transport = _Transport()
    connection = _made(transport)
    response = connection.begin(b"head", b"", bodiless=False)
    transport.closed = True
    connection.data_received(_HEAD + bytes(1 << 20))
    assert len(await anext(response)) == 1 << 20


async def test_a_whole_request_is_one_write() -> None:
    writes: list[bytes] = []
    transport = _Transport()
    transport.write = writes.append  # type: ignore[method-assign, assignment] # all that is looked at
    _made(transport).begin(b"head", b"body", bodiless=False)
    assert writes == [b"headbody"]


_STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_what_is_poured_wakes_nobody_and_comes_in_order() -> None:
    connection = _made(_Transport())
    response = connection.begin(b"head", b"", bodiless=False)
    connection.data_received(_STREAM + b"1\r\na\r\n")
    assert await anext(response) == b"a"
    poured: list[bytes] = []
    room = [True, True, False]

    def take(piece: bytes) -> bool:
        if fits := room.pop(0):
            poured.append(piece)
        return fits

    response.pour(take)
    for letter in (b"b", b"c", b"d", b"e"):
        connection.data_received(b"1\r\n" + letter + b"\r\n")
    assert poured == [b"b", b"c"]
    assert [await anext(response), await anext(response)] == [b"d", b"e"]
    connection.close()


async def test_nothing_is_poured_past_what_waits() -> None:
    connection = _made(_Transport())
    response = connection.begin(b"head", b"", bodiless=False)
    connection.data_received(_STREAM + b"1\r\na\r\n")
    poured: list[bytes] = []
    response.pour(lambda piece: poured.append(piece) or True)  # type: ignore[func-returns-value]
    connection.data_received(b"1\r\nb\r\n")
    assert poured == []
    assert [await anext(response), await anext(response)] == [b"a", b"b"]
    connection.close()
