"""The load generator of the bench, as its own process: closed loop, or open loop at a fixed rate.

``python -m bench.gateway.load`` reads one JSON :class:`Plan` from standard input and prints one JSON result.
Raw ``asyncio.Protocol`` on httptools and uvloop. Every response is verified: status, and the whole text of
the answer or every token of the stream. Latencies are counted from the time a request was *due*, so that a
gateway that stalls is not forgiven the requests that had to wait (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import cast

import httptools
import uvloop
from bench.gateway import answers
from bench.gateway.payloads import templates
from bench.gateway.stats import summary
from bench.gateway.timer import Timer

_DRAIN_S = 30.0
"""Longest wait for the answers still out at the end."""

_EXAMPLES = 3

_CLIENT = (
    "accept: application/json",
    "accept-encoding: identity",
    "content-type: application/json",
    "user-agent: OpenAI/Python 3.54.0",
    "x-stainless-lang: python",
    "x-stainless-os: Linux",
    "x-stainless-arch: x64",
    "x-stainless-runtime: CPython",
    "x-stainless-retry-count: 0",
    "x-stainless-read-timeout: 600",
    "authorization: Bearer sk-bench-0123456789abcdef0123456789abcdef",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send.

    Attributes:
        port: Port of the gateway on the loopback address.
        path: Path of chat completions there.
        model: Model name that this gateway knows.
        size: Size of requests: "2k" or "32k".
        stream: Ask for streams.
        connections: Keep-alive connections; in open loop, as many as are opened beforehand.
        rate: Requests a second; 0 is closed loop, where each connection asks again at once.
        seconds: How long new requests are sent.
        calls: Most requests; 0 is no limit.
        first: Number of the first request: no two requests of a run are alike.
        unique: Send requests that share nothing but system prompts and tools.
        same_body: Send one and the same request each time instead, to see whether anything is cached.
    """

    port: int
    path: str = "/v1/chat/completions"
    model: str = "gpt-4o-mini"
    size: str = "2k"
    stream: bool = False
    connections: int = 32
    rate: float = 0.0
    seconds: float = 3.0
    calls: int = 0
    first: int = 0
    unique: bool = False
    same_body: bool = False


@dataclass(slots=True)
class Tally:
    """What came back."""

    latencies_us: list[float] = field(default_factory=list)
    first_bytes_us: list[float] = field(default_factory=list)
    sent: int = 0
    done: int = 0
    bad: int = 0
    examples: list[str] = field(default_factory=list)

    def reject(self, why: str) -> None:
        """Count a response that is not what the upstream said."""
        self.bad += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(why[:300])


class Source:
    """The requests, one after the other, as bytes on the wire."""

    def __init__(self, plan: Plan) -> None:
        self._templates = templates(plan.size, plan.model, stream=plan.stream, unique=plan.unique)
        self._number = plan.first
        self._same = plan.same_body
        self._heads = [_head(plan, len(one.body(0))) for one in self._templates]

    def take(self) -> bytes:
        """Return the next request."""
        number = 0 if self._same else self._number
        self._number += 1
        at = number % len(self._templates)
        return self._heads[at] + self._templates[at].body(number)


def _head(plan: Plan, length: int) -> bytes:
    lines = (
        f"POST {plan.path} HTTP/1.1",
        f"host: 127.0.0.1:{plan.port}",
        *_CLIENT,
        f"content-length: {length}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def fault(status: int, body: bytes, *, stream: bool) -> str:
    """Say what is wrong with a response, "" where nothing is."""
    if status != 200:
        return f"status {status}: {body[:200]!r}"
    if not stream:
        return "" if answers.TEXT.encode() in body else f"the text is not the upstream's: {body[:200]!r}"
    tokens = body.count(answers.TOKEN_MARK)
    if tokens != answers.TOKENS:
        return f"{tokens} of {answers.TOKENS} tokens: {body[-200:]!r}"
    return "" if b"data: [DONE]" in body[-64:] else f"the stream does not end with [DONE]: {body[-100:]!r}"


class Client(asyncio.Protocol):
    """One keep-alive connection with one request at a time."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._due = 0.0
        self._waits = False
        self._transport: asyncio.Transport | None = None

    def ask(self, request: bytes, due: float) -> None:
        """Send a request that is due at a time of ``time.perf_counter``."""
        assert self._transport is not None
        self._due, self._waits = due, True
        self._body = []
        self._transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        if self._waits:
            self._waits = False
            self._run.lost(f"connection lost before the answer was whole: {exc}")
        self._run.gone(self)

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._waits = False
            self._run.lost(f"not HTTP: {error}: {data[:100]!r}")
            if self._transport is not None:
                self._transport.abort()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if not self._body:
            self._run.tally.first_bytes_us.append((time.perf_counter() - self._due) * 1e6)
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Hand the response over."""
        self._waits = False
        self._run.answered(self, self._parser.get_status_code(), b"".join(self._body), self._due)
        if not self._parser.should_keep_alive() and self._transport is not None:
            self._transport.close()


class Run:
    """Carries out a plan."""

    def __init__(self, plan: Plan) -> None:
        self.tally = Tally()
        self._plan = plan
        self._source = Source(plan)
        self._loop = asyncio.get_running_loop()
        self._idle: deque[Client] = deque()
        self._due: deque[float] = deque()
        self._opening = 0
        self._until = 0.0
        self._out = 0
        self._over = asyncio.Event()

    async def carry_out(self) -> dict[str, object]:
        """Send, wait for the last answers, and return the result."""
        opened = [self._open() for _ in range(self._plan.connections)]
        self._idle.extend(await asyncio.gather(*opened))
        started = time.perf_counter()
        self._until = started + self._plan.seconds
        if self._plan.rate:
            self._start_timer()
        else:
            for client in list(self._idle):
                self._idle.remove(client)
                self._next(client)
        timeout = max(0.0, self._until - time.perf_counter()) + _DRAIN_S
        try:
            await asyncio.wait_for(self._over.wait(), timeout)
        except TimeoutError:
            self.tally.reject(f"{self._out + len(self._due)} answers did not come within {_DRAIN_S:.0f} s")
        return self._result(time.perf_counter() - started)

    def answered(self, client: Client, status: int, body: bytes, due: float) -> None:
        """Take a complete response."""
        self.tally.latencies_us.append((time.perf_counter() - due) * 1e6)
        why = fault(status, body, stream=self._plan.stream)
        if why:
            self.tally.reject(why)
        self.tally.done += 1
        self._out -= 1
        self._next(client)

    def lost(self, why: str) -> None:
        """Take a response that will not come."""
        self.tally.reject(why)
        self._out -= 1
        self._check_over()

    def gone(self, client: Client) -> None:
        """Replace a closed connection while there is something to send."""
        if client in self._idle:
            self._idle.remove(client)
        if self._more():
            self._replace()

    def _replace(self) -> None:
        async def replaced() -> None:
            try:
                client = await self._open()
            except OSError as error:
                self.tally.reject(f"cannot connect: {error}")
                self._opening -= 1
                self._check_over()
                return
            self._opening -= 1
            self._next(client)

        self._opening += 1
        self._loop.create_task(replaced())

    async def _open(self) -> Client:
        _, client = await self._loop.create_connection(lambda: Client(self), "127.0.0.1", self._plan.port)
        return client

    def _more(self) -> bool:
        limit = self._plan.calls
        return (not limit or self.tally.sent < limit) and time.perf_counter() < self._until

    def _next(self, client: Client) -> None:
        if self._plan.rate:
            if self._due:
                self._send(client, self._due.popleft())
            else:
                self._idle.append(client)
        elif self._more():
            self._send(client, time.perf_counter())
        self._check_over()

    def _send(self, client: Client, due: float) -> None:
        self.tally.sent += 1
        self._out += 1
        client.ask(self._source.take(), due)

    def _check_over(self) -> None:
        if self._out == 0 and not self._due and not self._opening and not self._more():
            self._over.set()

    def _start_timer(self) -> None:
        """Send on a timer of the kernel: the event loop's own timers are a millisecond coarse."""
        period = 1.0 / self._plan.rate
        timer = Timer(period)
        total = int(self._plan.seconds * self._plan.rate)
        sent = 0

        def tick() -> None:
            nonlocal sent
            for _ in range(min(timer.expired(), total - sent)):
                due = timer.started + (sent + 1) * period
                sent += 1
                self._offer(due)
            if sent >= total:
                self._loop.remove_reader(timer.descriptor)
                self._until = 0.0
                self._check_over()

        self._loop.add_reader(timer.descriptor, tick)

    def _offer(self, due: float) -> None:
        if self._idle:
            self._send(self._idle.popleft(), due)
        else:
            self._due.append(due)
            self._replace()

    def _result(self, elapsed: float) -> dict[str, object]:
        tally = self.tally
        return {
            "plan": asdict(self._plan),
            "sent": tally.sent,
            "done": tally.done,
            "bad": tally.bad,
            "examples": tally.examples,
            "elapsed_s": elapsed,
            "rps": tally.done / elapsed,
            "latency_us": summary(tally.latencies_us),
            "first_byte_us": summary(tally.first_bytes_us),
        }


async def _carry_out(plan: Plan) -> dict[str, object]:
    return await Run(plan).carry_out()


def main() -> None:
    """Read a plan, print the result."""
    plan = Plan(**json.load(sys.stdin))
    json.dump(uvloop.run(_carry_out(plan)), sys.stdout)


if __name__ == "__main__":
    main()
