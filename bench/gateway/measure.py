"""What is measured of one gateway in one round, and the rounds."""

from __future__ import annotations

import http.client
import itertools
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench.gateway import answers
from bench.gateway.load import Plan
from bench.gateway.processes import spent_ns
from bench.gateway.running import Gateway, GatewayFailed, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.gateway.counts import Count
    from bench.gateway.peers.catalog import Peer
    from bench.gateway.running import Upstream

SATURATED = ("2k", "32k")
STREAMED = ("burst", "paced")
LIGHT = ("light-2k", "light-32k", "light-stream")

_CONNECTIONS = {"paced": 64}
_STREAM_SHARE = 0.25
"""Streams a second of the light load, as a share of its requests a second."""

_NUMBERS = itertools.count(1)
_RUN = 10_000_000


@dataclass(frozen=True, slots=True)
class Effort:
    """How long each part takes.

    Attributes:
        rounds: Rounds; in each one every gateway has its turn.
        saturated_s: Seconds of each closed loop.
        streamed_s: Seconds of each closed loop of streams.
        light_s: Seconds of each open loop; twice that for a gateway whose rate is lower.
        soak_calls: Calls of the memory test.
    """

    rounds: int
    saturated_s: float
    streamed_s: float
    light_s: float
    soak_calls: int


FULL = Effort(rounds=5, saturated_s=2.0, streamed_s=1.2, light_s=3.5, soak_calls=200_000)
QUICK = Effort(rounds=1, saturated_s=0.8, streamed_s=0.7, light_s=1.5, soak_calls=20_000)


@dataclass(frozen=True, slots=True)
class Measured:
    """One part of one round.

    Attributes:
        calls: Calls answered.
        bad: Answers that were not what the upstream said.
        examples: What was wrong with the first of them.
        gateway_us: CPU of the first process, microseconds a call.
        others_us: CPU of the other processes of the tree (a recorder, workers), microseconds a call that was
            not dropped.
        rps: Calls a second, as seen.
        latency_us: Percentiles from the time a call was due.
        first_byte_us: The same to the first byte of the body.
        settled: Whether the tree was idle before its CPU was read.
        dropped: Calls that the gateway says it did not record; None where it says nothing.
    """

    calls: int
    bad: int
    examples: list[str]
    gateway_us: float
    others_us: float
    rps: float
    latency_us: dict[str, float]
    first_byte_us: dict[str, float]
    settled: bool
    dropped: int | None

    @property
    def total_us(self) -> float:
        """CPU of the whole tree, microseconds a call."""
        return self.gateway_us + self.others_us


@dataclass(slots=True)
class Standing:
    """All that is known of one gateway.

    Attributes:
        name: Name in the tables.
        version: Version, "" where there is none.
        problem: Why it was not measured, or stopped being measured; "" where nothing went wrong.
        rounds: One entry a round: the parts by name.
        boot_s: Seconds from start to first answer, a round each.
        rss: Bytes resident once warm, a round each.
        counts: What became of the calls of each round; None where nothing is recorded.
        fidelity: Verdicts by the name of the probe.
    """

    name: str
    version: str = ""
    problem: str = ""
    rounds: list[dict[str, Measured]] = field(default_factory=list)
    boot_s: list[float] = field(default_factory=list)
    rss: list[int] = field(default_factory=list)
    counts: list[Count | None] = field(default_factory=list)
    fidelity: dict[str, str] = field(default_factory=dict)

    def each(self, part: str) -> list[Measured | None]:
        """Return a part, round by round."""
        return [one.get(part) for one in self.rounds]


@dataclass(frozen=True, slots=True)
class Bench:
    """The measuring of all gateways against one upstream.

    Attributes:
        upstream: The upstream, running.
        effort: How long each part takes.
        realtime: Light load under a real-time priority.
        sections: Parts to measure.
        same_body: One and the same request each time.
        unique: Requests that repeat no history.
    """

    upstream: Upstream
    effort: Effort
    realtime: bool = False
    sections: tuple[str, ...] = (*SATURATED, *STREAMED, *LIGHT)
    same_body: bool = False
    unique: bool = False

    def rounds(self, peers: Sequence[Peer], standings: dict[str, Standing]) -> None:
        """Give every gateway its turn in every round; each round starts with another one."""
        for number in range(self.effort.rounds):
            at = number % len(peers)
            for peer in (*peers[at:], *peers[:at]):
                standing = standings[peer.name]
                if standing.problem:
                    continue
                print(
                    f"round {number + 1} of {self.effort.rounds}: {peer.name} ...",
                    file=sys.stderr,
                    flush=True,
                )
                self.turn(peer, standing)

    def turn(self, peer: Peer, standing: Standing) -> None:
        """Start, warm up, measure and stop one gateway."""
        parts: dict[str, Measured] = {}
        standing.rounds.append(parts)
        try:
            with Gateway(peer, self.upstream) as gateway:
                self.warm(gateway)
                if gateway.tree is not None:
                    standing.boot_s.append(gateway.boot_s)
                    standing.rss.append(gateway.tree.memory().total)
                for part in self.sections:
                    parts[part] = self.part(gateway, part)
                standing.counts.append(gateway.stop_and_count())
        except (GatewayFailed, OSError, http.client.HTTPException) as error:
            standing.problem = str(error)
        finally:
            self.upstream.become("plain")

    def warm(self, gateway: Gateway) -> None:
        """Let it compile, connect and fill its pools."""
        self.upstream.become("plain")
        each = gateway.peer.warm_s / 3
        plan = self.plan(gateway, seconds=each)
        for one in (plan, replace(plan, size="32k"), replace(plan, stream=True)):
            load(replace(one, first=next(_NUMBERS) * _RUN))
        if gateway.tree is not None:
            gateway.tree.settle()

    def part(self, gateway: Gateway, part: str) -> Measured:
        """Measure one part."""
        self.upstream.become("paced" if part == "paced" else "plain")
        tree = gateway.tree
        before, dropped = (tree.cpu_ns() if tree else {}), gateway.dropped()
        result = self._light(gateway, part) if part in LIGHT else load(self._plan_of(gateway, part))
        settled = tree.settle() if tree else True
        used = spent_ns(before, tree.cpu_ns()) if tree else {}
        after = gateway.dropped()
        root = used.get(tree.root, 0) if tree else 0
        lost = None if after is None or dropped is None else after - dropped
        return _measured(result, root, sum(used.values()) - root, settled=settled, dropped=lost)

    def _light(self, gateway: Gateway, part: str) -> dict[str, Any]:
        """Load lightly; under a real-time priority where asked for."""
        self._prioritise(gateway, realtime=self.realtime)
        try:
            return load(self._plan_of(gateway, part), realtime=self.realtime)
        finally:
            self._prioritise(gateway, realtime=False)

    def _prioritise(self, gateway: Gateway, *, realtime: bool) -> None:
        self.upstream.tree.prioritise(realtime=realtime)
        if gateway.tree is not None:
            gateway.tree.prioritise(realtime=realtime, first_only=gateway.peer.background)

    def plan(self, gateway: Gateway, *, seconds: float) -> Plan:
        """Return the simplest load for a gateway: 2 KB, 32 connections, closed loop."""
        peer = gateway.peer
        first = next(_NUMBERS) * _RUN
        return Plan(
            port=gateway.port,
            path=peer.path,
            model=peer.model,
            seconds=seconds,
            first=first,
            same_body=self.same_body,
            unique=self.unique,
        )

    def _plan_of(self, gateway: Gateway, part: str) -> Plan:
        effort, peer = self.effort, gateway.peer
        plan = self.plan(gateway, seconds=effort.saturated_s)
        if part in SATURATED:
            return replace(plan, size=part)
        if part in STREAMED:
            connections = _CONNECTIONS.get(part, plan.connections)
            return replace(plan, stream=True, seconds=effort.streamed_s, connections=connections)
        stream = part == "light-stream"
        return replace(
            plan,
            size="32k" if part == "light-32k" else "2k",
            stream=stream,
            connections=8,
            rate=peer.rate * (_STREAM_SHARE if stream else 1.0),
            seconds=effort.light_s * (2.0 if peer.rate < 100 else 1.0),
        )


def _measured(
    result: dict[str, Any], root_ns: int, others_ns: int, *, settled: bool, dropped: int | None
) -> Measured:
    calls = max(1, result["done"])
    return Measured(
        calls=result["done"],
        bad=result["bad"],
        examples=result["examples"],
        gateway_us=root_ns / 1e3 / calls,
        others_us=others_ns / 1e3 / max(1, calls - (dropped or 0)),
        rps=result["rps"],
        latency_us=result["latency_us"],
        first_byte_us=result["first_byte_us"],
        settled=settled,
        dropped=dropped,
    )


def per_event(measured: Measured | None) -> float | None:
    """Return the CPU of the whole tree for one streamed event, microseconds."""
    return None if measured is None else measured.total_us / answers.EVENTS
