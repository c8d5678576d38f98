"""Memory after many calls: is it flat?"""

from __future__ import annotations

import http.client
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.gateway.running import Gateway, GatewayFailed, load

if TYPE_CHECKING:
    from bench.gateway.counts import Count
    from bench.gateway.measure import Bench
    from bench.gateway.peers.catalog import Peer
    from bench.gateway.processes import Memory, Tree

_SAMPLE_S = 0.5
_DRAIN_S = 600.0
_LONGEST_S = 900.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Resident memory at one time.

    Attributes:
        gateway: Of the first process.
        recorder: Of all its other processes.
    """

    gateway: Memory
    recorder: Memory


@dataclass(frozen=True, slots=True)
class Soaked:
    """What many calls did.

    Attributes:
        calls: Calls answered.
        bad: Answers that were not what the upstream said.
        start: Memory when warm.
        end: Memory after the calls, once idle.
        peak: Largest memory of each while they ran.
        rps: Calls a second.
        settled: Whether the tree was idle at the end.
        count: What became of the calls.
    """

    calls: int
    bad: int
    start: Sizes
    end: Sizes
    peak: Sizes
    rps: float
    settled: bool
    count: Count | None


def soak(bench: Bench, peer: Peer) -> Soaked | str:
    """Send many calls in a closed loop and watch the memory; a string says why it could not be done."""
    try:
        with Gateway(peer, bench.upstream) as gateway:
            return _soak(bench, gateway)
    except (GatewayFailed, OSError, http.client.HTTPException) as error:
        return str(error)


def _soak(bench: Bench, gateway: Gateway) -> Soaked:
    tree = gateway.tree
    assert tree is not None
    bench.warm(gateway)
    start = sizes(tree)
    plan = replace(bench.plan(gateway, seconds=_LONGEST_S), calls=bench.effort.soak_calls)
    with Watch(tree) as watch:
        result = load(plan)
        settled = tree.settle(_DRAIN_S)
    end = sizes(tree)
    peak = larger(watch.peak, end)
    return Soaked(
        calls=result["done"],
        bad=result["bad"],
        start=start,
        end=end,
        peak=peak,
        rps=result["rps"],
        settled=settled,
        count=gateway.stop_and_count(),
    )


def sizes(tree: Tree) -> Sizes:
    """Return the memory now."""
    others = [pid for pid in tree.pids() if pid != tree.root]
    return Sizes(tree.memory([tree.root]), tree.memory(others))


def larger(one: Sizes, other: Sizes) -> Sizes:
    """Return the larger of each."""
    pairs = ((one.gateway, other.gateway), (one.recorder, other.recorder))
    return Sizes(*(max(pair, key=lambda memory: memory.total) for pair in pairs))


class Watch:
    """Samples the memory of a tree while the block runs."""

    def __init__(self, tree: Tree) -> None:
        self.peak = sizes(tree)
        self._tree = tree
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            self.peak = larger(self.peak, sizes(self._tree))
