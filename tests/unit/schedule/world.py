"""A world of its own for the scheduler: a clock, engines that take as long as they say, and a second book."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from offramp.schedule.request import CallClass, Dispatch, Refused, Request
from offramp.schedule.rules import ClassRule, Rules
from offramp.schedule.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from offramp.schedule.request import Event
    from offramp.schedule.rules import EngineSpec


def rules(reserve: float = 0.0, *, strict: bool = False, lend_s: float = 0.5, queue: int = 10**6) -> Rules:
    """Weights 0.4, 0.2, 0.2 and 0.05, a reserve for the LLM, and a queue that takes everything."""
    weights = {CallClass.INTERACTIVE: 0.4, CallClass.TOOL: 0.2, CallClass.LLM: 0.2, CallClass.BATCH: 0.05}
    return Rules(
        {
            kind: ClassRule(
                weight,
                reserve=reserve if kind is CallClass.LLM else 0.0,
                queue=queue,
                strict=strict and kind is CallClass.INTERACTIVE,
            )
            for kind, weight in weights.items()
        },
        lend_s=lend_s,
        debt_s=0.0,
        fair_tokens=1000.0,
    )


class World:
    """Runs a scheduler and writes everything down for a second time.

    Attributes:
        now: The time.
        waiting: Requests that wait, by id.
        flying: What engines have, by id, with the dispatch and its time.
        ended: How each request ended, by id: ``completed``, ``cancelled`` or the refusal's reason.
        check: Called after every event.
        stretch: How many times longer than predicted a request takes.
        log: Every dispatch with its time and the ids that waited before it.
    """

    def __init__(self, engines: Iterable[EngineSpec], use: Rules) -> None:
        self.scheduler = Scheduler(engines, use)
        self.specs = {slots.spec.name: slots.spec for slots in self.scheduler.engines}
        self.now = 0.0
        self.waiting: dict[int | str, Request] = {}
        self.flying: dict[int | str, tuple[Dispatch, float]] = {}
        self.ended: dict[int | str, str] = {}
        self.log: list[tuple[float, Dispatch, tuple[Request, ...]]] = []
        self.stretch: Callable[[Request], float] = lambda _: 1.0
        self.check: Callable[[], None] = lambda: None
        self._ending: list[tuple[float, int, int | str]] = []
        self._count = 0

    def offer(self, request: Request) -> None:
        """A request arrives."""
        self.waiting[request.id] = request
        self.follow(self.scheduler.offer(request, self.now))
        self.check()

    def cancel(self, id_: int | str) -> None:
        """A client is gone."""
        events = self.scheduler.cancel(id_, self.now)
        self.waiting.pop(id_, None)
        self.flying.pop(id_, None)
        self._end(id_, "cancelled")
        self.follow(events)
        self.check()

    def change(self, engines: Iterable[EngineSpec]) -> None:
        """Other engines from now on."""
        given = list(engines)
        self.specs |= {spec.name: spec for spec in given}
        self.follow(self.scheduler.change(given, self.now))
        self.check()

    def run(self, until: float = float("inf")) -> None:
        """Let time pass until then, or until nothing is under way."""
        while self._ending and self._ending[0][0] <= until:
            self.now, _, id_ = heapq.heappop(self._ending)
            if id_ in self.flying:
                del self.flying[id_]
                self._end(id_, "completed")
                self.follow(self.scheduler.complete(id_, self.now))
                self.check()
        if until < float("inf"):
            self.now = until
            self.follow(self.scheduler.expire(until))
            self.check()

    def follow(self, events: Iterable[Event]) -> None:
        """Do what the scheduler says, and check that it could."""
        for event in events:
            request = event.request
            before = tuple(self.waiting.values())
            del self.waiting[request.id]
            if isinstance(event, Refused):
                self._end(request.id, str(event.reason))
                continue
            self.log.append((self.now, event, before))
            self.flying[request.id] = (event, self.now)
            self._count += 1
            takes = request.service_s * self.stretch(request)
            heapq.heappush(self._ending, (self.now + takes, self._count, request.id))
            assert self.used(event.engine) <= self.specs[event.engine].slots
            spec = self.specs[event.engine]
            assert request.model in spec.models | spec.adapters
            assert not event.loads or len(self.adapters(event.engine)) <= spec.loaded

    def used(self, engine: str) -> int:
        """Slots of an engine that are held."""
        return sum(one.engine == engine for one, _ in self.flying.values())

    def adapters(self, engine: str) -> set[str]:
        """Adapters of an engine that are in use."""
        models = {one.request.model for one, _ in self.flying.values() if one.engine == engine}
        return models & self.specs[engine].adapters

    def _end(self, id_: int | str, how: str) -> None:
        assert id_ not in self.ended
        self.ended[id_] = how


def request(
    id_: int,
    kind: CallClass = CallClass.INTERACTIVE,
    model: str = "base",
    *,
    at: float = 0.0,
    service_s: float = 0.1,
    deadline: float = float("inf"),
    tenant: str = "",
    tokens: float = 100.0,
    device_s: float | None = None,
) -> Request:
    """Make a request that costs as many device seconds as it holds its slot, where not said otherwise."""
    return Request(
        id_,
        kind,
        model,
        tenant=tenant,
        arrived=at,
        deadline=deadline,
        device_s=service_s if device_s is None else device_s,
        service_s=service_s,
        tokens=tokens,
    )
