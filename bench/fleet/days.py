"""Fourteen days of ServeGen by two levels: how far off that is, and how many GPUs the days take."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from bench.fleet.gpus import SLACK
from bench.fleet.worlds import DEVICES, KIND, OBJECTIVE_SHARE, SHAPE, own_gpus, served, shared

from offramp.plan.compute import request_time
from offramp.simulate.arrivals import Lengths, poisson
from offramp.simulate.rates import read_rates
from offramp.simulate.run import Stream
from offramp.simulate.windows import choose, estimate, fluid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from offramp.core.placement import Placement
    from offramp.simulate.rates import Rates
    from offramp.simulate.windows import Estimate

T = TypeVar("T")

LENGTHS = Lengths(prompt=512, completion=64, cv=1.0, largest=4096)
"""The traces have rates only: what an agent's routine calls look like, stated, not measured."""

WARM_S = 120.0
"""Run before a window, and not counted: what is on its way when the window begins."""

LONGEST_WARM_S = 600.0
"""Where the fluid backs up, the run begins where it last did not, at most so long before."""

WORST, STRATA, EACH = 8, 8, 2
MOST = 64


@dataclass
class Fleet:
    """Some clients' rates on a placement, run window by window.

    Attributes:
        rates: Who asks, and how often.
        placement: What answers.
        part_s: Seconds that are run of each window.
        requests: Requests run so far.
    """

    rates: Rates
    placement: Placement
    part_s: float
    requests: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Let the fluid model look at all windows."""
        per_s = self.rates.per_s.sum(axis=0)
        self.asked = per_s * self.rates.width_s
        fleet = capacity() * len(self.placement.devices)
        varied = self.rates.variance.sum(axis=0)
        self.flow = fluid(per_s, fleet, self.rates.width_s, variance=varied, burst_s=OBJECTIVE_S)

    def run(self, window: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Run one window; requests within their objective and all requests, by client and of all of them."""
        width = self.rates.width_s
        start = window * width
        first = window
        while first > 0 and self.flow.backlog[first - 1] > 0 and start - first * width < LONGEST_WARM_S:
            first -= 1
        begin = max(0.0, min(first * width, start - WARM_S))
        return self.between(begin, start, start + min(width, self.part_s))

    def between(
        self, begin: float, start: float, end: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Run from ``begin``, and count what arrives from ``start`` until before ``end``."""
        clients = self.rates.clients
        streams = [
            Stream(name, self.rates.draw(place, begin, end, LENGTHS), OBJECTIVE_S)
            for place, name in enumerate(clients)
        ]
        self.requests += sum(len(stream.arrivals) for stream in streams)
        good, total = np.zeros(len(clients)), np.zeros(len(clients))
        if any(len(stream.arrivals) for stream in streams):
            outcome = served(self.placement, streams)
            counted = outcome.at >= start - begin
            within = counted & (outcome.finished - outcome.at <= OBJECTIVE_S)
            np.add.at(good, outcome.stream[within], 1.0)
            np.add.at(total, outcome.stream[counted], 1.0)
        return np.append(good, good.sum()), np.append(total, total.sum())

    def two_level(self) -> Estimate:
        """Estimate the share within the objective over all windows, by client and of all requests."""
        return estimate(choose(self.flow, self.asked, worst=WORST, strata=STRATA, each=EACH), self.run)


def _alone_s() -> float:
    generator = np.random.default_rng(0)
    drawn = LENGTHS.draw(np.zeros(10_000), generator)
    prompt, completion = (int(np.percentile(column, 99)) for column in (drawn.prompt, drawn.completion))
    return request_time(SHAPE, DEVICES[KIND], prompt=prompt, completion=completion).latency_s


OBJECTIVE_S = SLACK * _alone_s()

_capacity: list[float] = []


def capacity() -> float:
    """Return the requests a second that one GPU answers when more wait, from an exact run."""
    if not _capacity:
        flood = [Stream("one", poisson(400.0, 20.0, LENGTHS, seed=1), OBJECTIVE_S)]
        outcome = served(shared(["one"], 1), flood)
        _capacity.append(len(outcome.at) / outcome.seconds)
    return _capacity[0]


def validation(path: Path, *, gpus: tuple[int, ...]) -> bool:
    """Print the two-level share beside a whole day's; whether they are within a point, or three errors."""
    rates = read_rates(path)
    asked = rates.per_s.sum() * rates.width_s
    print(f"\nOne day of {_name(path)}, {asked:,.0f} requests of {len(rates.clients)} clients, within")
    print(f"{OBJECTIVE_S:.1f} s: all of it, and by two levels\n")
    print("| GPUs | whole day | two levels | standard error | requests run | CPU s, whole | two levels |")
    print("|---|---|---|---|---|---|---|")
    met = True
    for count in gpus:
        fleet = Fleet(rates, shared(list(rates.clients), count), rates.width_s)
        whole, spent = _timed(lambda fleet=fleet: fleet.between(0.0, 0.0, rates.windows * rates.width_s))
        truth = whole[0][-1] / whole[1][-1]
        fleet.requests = 0
        found, quick = _timed(fleet.two_level)
        share, error = found.share[-1], found.error[-1]
        met &= abs(share - truth) <= max(0.01, 3 * error)
        print(
            f"| {count} | {truth:.4f} | {share:.4f} | {error:.4f} | {fleet.requests / whole[1][-1]:.0%} | "
            f"{spent:.0f} | {quick:.0f} |",
            flush=True,
        )
    print(f"\n{'PASS' if met else 'FAIL'}: within a percentage point, or three standard errors")
    return met


def least(make: Callable[[int], Placement], rates: Rates, part_s: float) -> tuple[int, float]:
    """Return the fewest GPUs with which the worst client has its share, by bisection, and that share."""
    peak = float(rates.per_s.sum(axis=0).max())
    low, high = 0, max(1, int(np.ceil(peak / capacity())))
    shares: dict[int, float] = {}
    while True:
        fleet = Fleet(rates, make(high), part_s)
        shares[high] = float(np.nanmin(fleet.two_level().share))
        if shares[high] >= OBJECTIVE_SHARE or high >= MOST:
            break
        low, high = high, high + max(1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        shares[middle] = float(np.nanmin(Fleet(rates, make(middle), part_s).two_level().share))
        low, high = (low, middle) if shares[middle] >= OBJECTIVE_SHARE else (middle, high)
    return high, shares[high]


def report(path: Path, *, scale: float, part_s: float) -> bool:
    """Print GPUs for fourteen days; whether sharing needs at most half of one model per GPU."""
    rates = read_rates(path).scaled(scale)
    total = rates.per_s.sum(axis=0)
    print(f"\nGPUs ({KIND}, {SHAPE.name}) for 99 % of every client's calls within {OBJECTIVE_S:.1f} s,")
    print(f"{rates.windows} windows of {_name(path)} times {scale:g}: {total.mean():.0f} requests/s, at most")
    print(f"{total.max():.0f}; one GPU answers {capacity():.1f}\n")
    print("| sharing | GPUs | worst client | CPU s |\n|---|---|---|---|")
    (together, share), spent = _timed(lambda: least(lambda n: shared(list(rates.clients), n), rates, part_s))
    print(f"| one base, all adapters | {together} | {share:.4f} | {spent:.0f} |", flush=True)

    def alone() -> list[tuple[int, float]]:
        return [
            least(lambda n, name=name: own_gpus({name: n}), rates.of(name), part_s) for name in rates.clients
        ]

    found, spent = _timed(alone)
    own = sum(count for count, _ in found)
    print(f"| one model per GPU | {own} | {min(share for _, share in found):.4f} | {spent:.0f} |")
    met = own >= 2 * together
    word = "PASS" if met else "FAIL"
    print(f"\n{word}: at most half the GPUs of one model per GPU ({own / together:.1f} times)")
    return met


def _name(path: Path) -> str:
    return path.name.removesuffix(".csv.gz")


def _timed(make: Callable[[], T]) -> tuple[T, float]:
    begun = time.process_time()
    made = make()
    return made, time.process_time() - begun
