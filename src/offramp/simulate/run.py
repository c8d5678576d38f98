"""A run: arrivals meet a policy and the engines of a placement, event by event."""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offramp.core.errors import BadInput
from offramp.core.standing import CallClass
from offramp.plan.memory import kv_bytes
from offramp.plan.speed import speed_of
from offramp.simulate.engine import Job, SimulatedEngine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from offramp.core.placement import Placement
    from offramp.plan.devices import Device
    from offramp.plan.shape import ModelShape
    from offramp.simulate.arrivals import Arrivals
    from offramp.simulate.policy import Policy


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests of one model.

    Attributes:
        model: The specialist or the base that is asked.
        arrivals: When, with how many tokens.
        objective_s: Seconds from arrival to the last token that are allowed.
        rank: Order of its class, lower is more urgent; for policies that know nothing else.
        kind: Its class in the scheduler.
        name: Of its class in tables.
    """

    model: str
    arrivals: Arrivals
    objective_s: float
    rank: int = 0
    name: str = ""
    kind: CallClass = CallClass.INTERACTIVE


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to every request, in the order of arrival.

    Attributes:
        streams: The streams that ran.
        stream: Which of them a request belongs to, shape ``(n,)``.
        at: Arrival, seconds, shape ``(n,)``.
        first: First token, NaN where refused.
        finished: Last token, NaN where refused.
        dispatched: Given to an engine, NaN where refused.
        engines: The engines with their counts.
        seconds: From 0 to the last event.
    """

    streams: tuple[Stream, ...]
    stream: NDArray[np.int64]
    at: NDArray[np.float64]
    first: NDArray[np.float64]
    finished: NDArray[np.float64]
    dispatched: NDArray[np.float64]
    engines: tuple[SimulatedEngine, ...]
    seconds: float

    def digest(self) -> str:
        """Return a hash of all times: equal inputs give an equal one."""
        times = np.concatenate((self.dispatched, self.first, self.finished))
        return hashlib.sha256(times.tobytes()).hexdigest()[:16]


def simulate(
    placement: Placement,
    streams: Sequence[Stream],
    policy: Policy,
    *,
    shapes: Mapping[str, ModelShape],
    devices: Mapping[str, Device],
    sleep_after_s: float | None = None,
) -> Outcome:
    """Run streams through a placement until everything has been answered or refused.

    Args:
        placement: The engines and where they are.
        streams: What arrives.
        policy: Who goes next; it starts empty.
        shapes: Shape of each base of the placement.
        devices: Type of each device of the placement, by its kind.
        sleep_after_s: See `SimulatedEngine`.

    Raises:
        BadInput: A base or a kind of device is not described, or no engine serves a stream's model.
    """
    engines = _engines(placement, shapes, devices, sleep_after_s)
    served: dict[str, list[int]] = {}
    for number, engine in enumerate(engines):
        for model in engine.models:
            served.setdefault(model, []).append(number)
    missing = sorted({stream.model for stream in streams} - set(served))
    if missing:
        raise BadInput(
            f"No engine serves {', '.join(missing)}; the placement serves {', '.join(sorted(served))}."
        )
    jobs, stream = _jobs(streams)
    end = _Loop(placement, engines, served, policy).run(jobs)
    return Outcome(
        streams=tuple(streams),
        stream=stream,
        at=np.array([job.at for job in jobs]),
        first=np.array([job.first for job in jobs]),
        finished=np.array([job.finished for job in jobs]),
        dispatched=np.array([job.dispatched for job in jobs]),
        engines=tuple(engines),
        seconds=end,
    )


class _Loop:
    """The event loop: iterations that end, between arrivals."""

    def __init__(
        self,
        placement: Placement,
        engines: list[SimulatedEngine],
        served: dict[str, list[int]],
        policy: Policy,
    ) -> None:
        self._engines = engines
        self._served = served
        self._policy = policy
        self._ending: list[tuple[float, int]] = []
        self._models = [sorted(engine.models) for engine in engines]
        policy.start(engines)
        where = [{part.device for part in engine.slices} for engine in placement.engines]
        self._beside = [
            [other for other in range(len(where)) if other != one and where[one] & where[other]]
            for one in range(len(where))
        ]

    def run(self, jobs: list[Job]) -> float:
        """Run to the end and return its time."""
        now = 0.0
        for job in jobs:
            while self._ending and self._ending[0][0] <= job.at:
                now = self._end_first()
            now = job.at
            able = [number for number in self._served[job.model] if self._engines[number].fits(job)]
            if not able:
                continue
            able.sort(key=lambda number: self._engines[number].in_flight)
            for number in self._policy.push(job, able, now):
                self._feed(number, now)
        while self._ending:
            now = self._end_first()
        return now

    def _end_first(self) -> float:
        now, number = heapq.heappop(self._ending)
        fed = {number: None}
        for job in self._engines[number].end(now):
            fed |= dict.fromkeys(self._policy.ended(job, number, now))
        for one in fed:
            self._feed(one, now)
        return now

    def _feed(self, number: int, now: float) -> None:
        """Fill the engine's free slots, no more, and start an iteration if it stands."""
        engine = self._engines[number]
        while engine.in_flight < engine.placed.slots:
            job = self._policy.pop(number, self._models[number], now)
            if job is None:
                break
            engine.accept(job, now)
        if not engine.running:
            neighbours = sum(self._engines[other].running for other in self._beside[number])
            seconds = engine.begin(now, neighbours=neighbours)
            if seconds is not None:
                heapq.heappush(self._ending, (now + seconds, number))


def _engines(
    placement: Placement,
    shapes: Mapping[str, ModelShape],
    devices: Mapping[str, Device],
    sleep_after_s: float | None,
) -> list[SimulatedEngine]:
    engines = []
    for placed in placement.engines:
        kind = placement.devices[placed.slices[0].device].kind
        if placed.base not in shapes or kind not in devices:
            raise BadInput(
                f"Engine {placed.name!r} has base {placed.base!r} on {kind!r}; described are "
                f"{', '.join(sorted(shapes))} and {', '.join(sorted(devices))}."
            )
        shape = shapes[placed.base]
        isolated = all(part.profile is not None for part in placed.slices)
        engines.append(
            SimulatedEngine(
                placed,
                speed_of(placed, shape, devices[kind], isolated=isolated),
                token_bytes=max(1, kv_bytes(shape, 1) // len(placed.slices)),
                sleep_after_s=sleep_after_s,
            )
        )
    return engines


def _jobs(streams: Sequence[Stream]) -> tuple[list[Job], NDArray[np.int64]]:
    """Merge the streams by time; equal times keep the order of the streams."""
    at = np.concatenate([stream.arrivals.at for stream in streams])
    expected = [
        max(1, round(float(one.arrivals.completion.mean()))) if len(one.arrivals) else 1 for one in streams
    ]
    owner = np.concatenate([np.full(len(one.arrivals), number) for number, one in enumerate(streams)])
    prompt = np.concatenate([stream.arrivals.prompt for stream in streams])
    completion = np.concatenate([stream.arrivals.completion for stream in streams])
    order = np.argsort(at, kind="stable")
    jobs = []
    for index, row in enumerate(order.tolist()):
        stream = streams[owner[row]]
        job = Job(index, stream.model, float(at[row]), int(prompt[row]), int(completion[row]), stream.rank)
        job.deadline = job.at + stream.objective_s
        job.kind, job.expected = stream.kind, expected[owner[row]]
        jobs.append(job)
    return jobs, owner[order]
