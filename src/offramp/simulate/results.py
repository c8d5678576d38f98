"""What a run came to, by class and for the whole placement."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from offramp.core.json import JsonObject
    from offramp.core.placement import Placement
    from offramp.simulate.run import Outcome

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class ClassResult:
    """One class of requests.

    Attributes:
        name: Of the class.
        requests: Arrived.
        refused: Answered by no engine: none could hold them.
        p50_s: Median seconds from arrival to the last token, NaN where none was answered.
        p95_s: 95th percentile.
        p99_s: 99th percentile.
        first_p95_s: 95th percentile of the seconds to the first token.
        wait_p99_s: 99th percentile of the seconds before an engine got it.
        objective_s: What is allowed.
        within: Share of those that arrived that were answered within it.
    """

    name: str
    requests: int
    refused: int
    p50_s: float
    p95_s: float
    p99_s: float
    first_p95_s: float
    wait_p99_s: float
    objective_s: float
    within: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole run.

    Attributes:
        classes: By class, in the order of the streams.
        seconds: Simulated.
        busiest: Share of the time that the busiest engine was in an iteration.
        preempted: Requests that were read again because KV ran out.
        overflow: Share of all iterations that needed a KV block and found none.
        overflow_bound: What the placement promises.
        price_per_hour: USD.
        price_per_1000: USD per 1,000 answered calls, NaN where none was.
        digest: Hash of all times.
    """

    classes: tuple[ClassResult, ...]
    seconds: float
    busiest: float
    preempted: int
    overflow: float
    overflow_bound: float
    price_per_hour: float
    price_per_1000: float
    digest: str

    @property
    def within(self) -> float:
        """The smallest share within objectives of any class."""
        return min((one.within for one in self.classes), default=1.0)

    def to_dict(self) -> JsonObject:
        """As JSON."""
        return asdict(self)


def summarise(outcome: Outcome, placement: Placement) -> Summary:
    """Sum up a run on its placement."""
    groups: dict[str, list[int]] = {}
    for number, stream in enumerate(outcome.streams):
        groups.setdefault(stream.name or stream.model, []).append(number)
    counts = [engine.counts for engine in outcome.engines]
    iterations = sum(one.iterations for one in counts)
    answered = int(np.isfinite(outcome.finished).sum())
    price = placement.price_per_hour * outcome.seconds / SECONDS_PER_HOUR
    return Summary(
        classes=tuple(_class(outcome, name, numbers) for name, numbers in groups.items()),
        seconds=outcome.seconds,
        busiest=max((one.busy_s for one in counts), default=0.0) / max(outcome.seconds, 1e-9),
        preempted=sum(one.preempted for one in counts),
        overflow=sum(one.overflowed for one in counts) / max(iterations, 1),
        overflow_bound=placement.overflow,
        price_per_hour=placement.price_per_hour,
        price_per_1000=1000 * price / answered if answered else float("nan"),
        digest=outcome.digest(),
    )


def _class(outcome: Outcome, name: str, numbers: list[int]) -> ClassResult:
    mine = np.isin(outcome.stream, numbers)
    answered = mine & np.isfinite(outcome.finished)
    took = (outcome.finished - outcome.at)[answered]
    objectives = np.array([stream.objective_s for stream in outcome.streams])
    within = int((took <= objectives[outcome.stream[answered]]).sum())
    p50, p95, p99 = _percentiles(took, 50, 95, 99)
    (first,) = _percentiles((outcome.first - outcome.at)[answered], 95)
    (wait,) = _percentiles((outcome.dispatched - outcome.at)[answered], 99)
    return ClassResult(
        name=name,
        requests=int(mine.sum()),
        refused=int(mine.sum() - answered.sum()),
        p50_s=p50,
        p95_s=p95,
        p99_s=p99,
        first_p95_s=first,
        wait_p99_s=wait,
        objective_s=float(max(objectives[numbers])),
        within=within / max(int(mine.sum()), 1),
    )


def _percentiles(values: np.ndarray, *which: int) -> list[float]:
    if not len(values):
        return [float("nan")] * len(which)
    return [float(value) for value in np.percentile(values, which)]
