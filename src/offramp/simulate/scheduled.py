"""The scheduler that serves, as a policy of a simulated run."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from offramp.schedule.request import Dispatch, Request
from offramp.schedule.rules import Rules, spec_of
from offramp.schedule.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from offramp.schedule.request import Event
    from offramp.simulate.engine import Job, SimulatedEngine


class Scheduled:
    """`offramp.schedule` in front of simulated engines.

    It is told what could be known in service: the length of the prompt, what calls of a stream generate on
    average, and how fast an engine is when it is half full. Requests that it refuses are never answered.

    Args:
        rules: What classes are promised; the defaults where not given.

    Attributes:
        refused: Requests that were refused.
    """

    def __init__(self, rules: Rules | None = None) -> None:
        self.refused = 0
        self._rules = rules or Rules()
        self._engines: Sequence[SimulatedEngine] = ()
        self._numbers: dict[str, int] = {}
        self._going: list[deque[Job]] = []
        self._jobs: dict[int | str, Job] = {}

    def start(self, engines: Sequence[SimulatedEngine]) -> None:
        """Schedule for these engines from now on."""
        self._engines = engines
        self._numbers = {engine.placed.name: number for number, engine in enumerate(engines)}
        self._going = [deque() for _ in engines]
        specs = [spec_of(engine.placed, load_s=engine.load_s) for engine in engines]
        self._scheduler = Scheduler(specs, self._rules)

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler of the present run."""
        return self._scheduler

    def push(self, job: Job, able: Sequence[int], now: float) -> Iterable[int]:
        """Offer a request; where it goes is the scheduler's to say."""
        device_s, service_s = _predicted(job, self._engines[able[0]])
        request = Request(
            job.index,
            job.kind,
            job.model,
            tenant=job.model,
            arrived=now,
            deadline=job.deadline,
            device_s=device_s,
            service_s=service_s,
            tokens=job.prompt + 2.0 * job.expected,
        )
        self._jobs[job.index] = job
        return self._follow(self._scheduler.offer(request, now))

    def pop(self, engine: int, models: Iterable[str], now: float) -> Job | None:
        """Return what was dispatched to the engine."""
        del models, now
        going = self._going[engine]
        return going.popleft() if going else None

    def ended(self, job: Job, engine: int, now: float) -> Iterable[int]:
        """Complete a request."""
        del engine
        return self._follow(
            self._scheduler.complete(job.index, now, tokens=job.prompt + 2.0 * job.completion)
        )

    def _follow(self, events: Iterable[Event]) -> Iterable[int]:
        fed: dict[int, None] = {}
        for event in events:
            job = self._jobs.pop(event.request.id)
            if isinstance(event, Dispatch):
                number = self._numbers[event.engine]
                self._going[number].append(job)
                fed[number] = None
            else:
                self.refused += 1
        return fed


def _predicted(job: Job, engine: SimulatedEngine) -> tuple[float, float]:
    """Return device seconds and seconds in a slot of a request on an engine that is half full."""
    beside = max(1, engine.placed.slots // 2)
    speed = engine.speed
    step = speed.iteration_s(
        prefill=0, attended=0, decoding=beside, cached=beside * (job.prompt + job.expected // 2)
    )
    reading = speed.iteration_s(prefill=job.prompt, attended=job.prompt**2 // 2, decoding=0, cached=0)
    return reading + job.expected * step / beside, reading + job.expected * step
