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
from offramp.simulate.policy import first_come
from offramp.simulate.rates import read_rates
from offramp.simulate.run import Stream
from offramp.simulate.scheduled import Scheduled
from offramp.simulate.windows import choose, estimate, fluid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from offramp.core.placement import Placement
    from offramp.simulate.policy import Policy
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
        policy: Who goes next.
        requests: Requests run so far.
    """

    rates: Rates
    placement: Placement
    part_s: float
    policy: Callable[[], Policy] = first_come
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
            outcome = served(self.placement, streams, self.policy)
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


@dataclass(frozen=True, slots=True)
class Needed:
    """What a way to share takes.

    Attributes:
        gpus: The fewest that were found to be enough.
        share: Of all calls within the objective, with so many.
        worst: Of the worst client's calls.
    """

    gpus: int
    share: float
    worst: float


def least(make: Callable[[int], Placement], rates: Rates, part_s: float, *, each: bool) -> Needed:
    """Return the fewest GPUs, by bisection, with which all calls, or each client's, have their share."""
    peak = float(rates.per_s.sum(axis=0).max())
    low, high = 0, max(1, int(np.ceil(peak / capacity())))
    tried: dict[int, Needed] = {}

    def enough(gpus: int) -> bool:
        share = Fleet(rates, make(gpus), part_s).two_level().share
        tried[gpus] = found = Needed(gpus, float(share[-1]), float(np.nanmin(share)))
        return (found.worst if each else found.share) >= OBJECTIVE_SHARE

    while not enough(high) and high < MOST:
        low, high = high, high + max(1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return tried[high]


def report(path: Path, *, scale: float, part_s: float) -> bool:
    """Print GPUs for fourteen days; whether sharing needs at most half of one model per GPU."""
    rates = read_rates(path).scaled(scale)
    total = rates.per_s.sum(axis=0)
    print(f"\nGPUs ({KIND}, {SHAPE.name}) for 99 % of calls within {OBJECTIVE_S:.1f} s;")
    print(f"{rates.windows} windows of {_name(path)} times {scale:g}: {total.mean():.0f} requests/s, at most")
    print(
        f"{total.max():.0f}; one GPU answers {capacity():.1f}; {len(rates.clients)} clients, a model each\n"
    )
    print("| sharing | 99 % of | GPUs | all calls | worst client | CPU s |\n|---|---|---|---|---|---|")
    clients = list(rates.clients)
    together = {}
    for words, each in (("all calls", False), ("each client's calls", True)):
        found, spent = _timed(lambda each=each: least(lambda n: shared(clients, n), rates, part_s, each=each))
        together[each] = found.gpus
        shares = f"{found.share:.4f} | {found.worst:.4f}"
        print(f"| one base, all adapters | {words} | {found.gpus} | {shares} | {spent:.0f} |", flush=True)

    few = together[False]
    fair, spent = _timed(Fleet(rates, shared(clients, few), part_s, Scheduled).two_level)
    shares = f"{fair.share[-1]:.4f} | {np.nanmin(fair.share):.4f}"
    print(f"| the same, scheduled | (as many) | {few} | {shares} | {spent:.0f} |", flush=True)

    def alone() -> list[Needed]:
        return [
            least(lambda n, name=name: own_gpus({name: n}), rates.of(name), part_s, each=True)
            for name in clients
        ]

    each_own, spent = _timed(alone)
    own = sum(one.gpus for one in each_own)
    worst = min(one.worst for one in each_own)
    print(f"| one model per GPU | each client's calls | {own} | | {worst:.4f} | {spent:.0f} |")
    met = own >= 2 * together[True]
    word, ratio = "PASS" if met else "FAIL", own / together[True]
    print(
        f"\n{word}: at most half the GPUs of one model per GPU, for 99 % of each client's calls ({ratio:.1f}"
    )
    print(f"times); for 99 % of all calls {len(clients) / together[False]:.1f} times fewer than one for each")
    return met


def _name(path: Path) -> str:
    return path.name.removesuffix(".csv.gz")


def _timed(make: Callable[[], T]) -> tuple[T, float]:
    begun = time.process_time()
    made = make()
    return made, time.process_time() - begun
