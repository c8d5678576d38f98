"""The front and clients that send or take more, or less, than is good for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.unit.gateway.client import BIG, Core, eventually, get, post, served

from offramp.gateway.front import Front, Patience
from offramp.gateway.wire import UNKNOWN

if TYPE_CHECKING:
    from offramp.gateway.problem import Problem
    from offramp.gateway.wire import Asked, Reply
    from offramp.upstream.port import Headers

_NOW = Patience(idle=0.05, head=0.05, body=0.05, stalled=0.05, lingering=0.05)


@pytest.fixture
def core() -> Core:
    return Core()


async def test_a_go_ahead_is_asked_for_in_any_case_of_letters(core: Core) -> None:
    async with served(core) as line:
        await line.send(b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
        assert (await line.head())[0] == 100


async def test_http_1_0_knows_no_go_ahead(core: Core) -> None:
    async with served(core) as line:
        await line.send(b"POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert (await line.ask(b"ok"))[0] == 200


async def test_no_go_ahead_comes_before_the_answers_that_are_due(core: Core) -> None:
    async with served(core) as line:
        await line.send(
            get(b"/a") + b"POST /b HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert (await line.answer())[0] == 200
        assert (await line.ask(b"ok"))[0] == 200


async def test_a_body_in_thousands_of_chunks_is_put_together(core: Core) -> None:
    numbers = b"".join(b"%04x" % number for number in range(5000))
    chunks = b"".join(b"2\r\n" + numbers[at : at + 2] + b"\r\n" for at in range(0, len(numbers), 2))
    async with served(core) as line:
        await line.ask(
            b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        )
    assert core.heard[0].body == numbers


@pytest.mark.parametrize("begin", [b"5\r\nabcde\r\n0\r\nX-A: ", b"5;a="], ids=["trailer", "extension"])
async def test_what_stands_beside_a_body_may_not_go_on_for_ever(core: Core, begin: bytes) -> None:
    async with served(core) as line:
        await line.send(b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + begin)
        for _ in range(8):
            line.writer.write(b"a" * (64 << 10))
        assert (await line.answer())[0] == 400
    assert core.heard == []


async def test_a_client_that_does_not_take_its_last_answer_is_cut() -> None:
    core = Core(patience=_NOW)
    async with served(core) as line:
        await line.send(get(b"/big", b"Connection: close"))
        await line.head()
        await eventually(lambda: not core.fronts[0].connections)


async def test_a_client_that_asks_and_does_not_read_is_not_answered_without_end(core: Core) -> None:
    async with served(core) as line:
        await line.send(get(b"/big") * 12)
        await eventually(lambda: len(core.heard) > 0)
        await asyncio.sleep(0.2)
        assert len(core.heard) < 6
        for _ in range(12):
            assert len((await line.answer())[2]) == BIG


async def test_large_bodies_ahead_of_their_answers_are_not_read(core: Core) -> None:
    async with served(core) as line:
        line.writer.write(get(b"/wait0.5") + post(b"x" * (1 << 20)) * 15)
        await asyncio.sleep(0.2)
        assert len(core.heard) == 1
        assert line.writer.transport.get_write_buffer_size() > 1 << 20
        assert [(await line.answer())[0] for _ in range(16)] == [200] * 16


class _Unsure:
    """Says a length in its fields, and that it is not known."""

    def __init__(self) -> None:
        self.core = Core()

    def front(self) -> Front:
        return Front(self, 1 << 20, Patience())

    async def answer(self, asked: Asked, reply: Reply) -> None:
        reply.start(200, [(b"content-length", b"9"), (b"x-a", b"b")], UNKNOWN)
        await reply.write(b"ok", last=True)

    def tell(self, target: str, problem: Problem) -> tuple[Headers, bytes]:
        return self.core.tell(target, problem)

    def gone(self) -> None:
        self.core.gone()


async def test_an_answer_never_has_both_a_length_and_chunks() -> None:
    async with served(_Unsure()) as line:
        _, fields, body = await line.ask(get(b"/a"))
    assert (fields, body) == ({"x-a": "b", "transfer-encoding": "chunked"}, b"ok")
