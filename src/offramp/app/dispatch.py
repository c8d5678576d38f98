"""The scheduler under asyncio: callers wait for their turn at an engine, and give it back."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from typing import TYPE_CHECKING

from offramp.core.errors import Busy
from offramp.schedule.request import CallClass, Reason, Refused, Request
from offramp.schedule.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from offramp.core.json import JsonObject
    from offramp.schedule.request import Event
    from offramp.schedule.rules import EngineSpec, Rules
    from offramp.upstream.port import Upstream

WAIT_BOUNDS_S = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the buckets of waiting times, in seconds."""

PAUSE_S = 5.0
"""Seconds that an engine which could not be reached gets no calls."""

_LATER_S = 0.001
_WHY = {
    Reason.FULL: "no more may wait",
    Reason.LATE: "it could not be answered before its deadline",
    Reason.GONE: "its model is served no more",
}


class Turn:
    """A slot of an engine, from `Dispatcher.enter` until it is left.

    Args:
        dispatcher: Whose it is.
        request: Who holds it.
        engine: Name of the engine.
    """

    __slots__ = ("_dispatcher", "_request", "engine")

    def __init__(self, dispatcher: Dispatcher, request: Request, engine: str) -> None:
        self.engine = engine
        self._dispatcher = dispatcher
        self._request = request

    def leave(self, *, answered: bool) -> None:
        """Give the slot back.

        Args:
            answered: Whether the call came to its end; only then predictions learn from it.
        """
        self._dispatcher.left(self._request, answered=answered)


class Dispatcher:
    """Callers in front of engines, in the scheduler's order. It belongs to one event loop.

    Args:
        engines: The engines.
        rules: What classes are promised.
        clock: Monotonic seconds.
    """

    def __init__(
        self, engines: Sequence[EngineSpec], rules: Rules, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self._scheduler = Scheduler(engines, rules)
        self._losses: dict[str, int] = {}
        self._name(engines)
        self._waiting: dict[int | str, asyncio.Future[Event]] = {}
        self._at: dict[int | str, float] = {}
        self._ids = 0
        self._expiry: asyncio.TimerHandle | None = None
        self._expires = float("inf")
        self._waits = {kind: [0] * (len(WAIT_BOUNDS_S) + 1) for kind in CallClass}
        self._waited = dict.fromkeys(CallClass, 0.0)

    async def enter(
        self,
        kind: CallClass,
        model: str,
        *,
        tenant: str,
        arrived: float,
        deadline: float,
        service_s: float,
        tokens: float,
    ) -> Turn:
        """Wait for a slot; cancelling the wait takes the request back.

        Args:
            kind: The call's class.
            model: What the engine is asked for.
            tenant: Who asks.
            arrived: When the client asked, on this dispatcher's clock.
            deadline: When it is to be answered.
            service_s: Predicted seconds in the slot.
            tokens: What the tenant is charged.

        Raises:
            Busy: Too many of the class wait, or the call cannot be answered in time.
        """
        self._ids += 1
        request = Request(
            self._ids,
            kind,
            model,
            tenant=tenant,
            arrived=arrived,
            deadline=deadline,
            device_s=service_s / self._slots,
            service_s=service_s,
            tokens=tokens,
        )
        now = self.clock()
        self._at[request.id] = now
        mine: Event | None = None
        for event in self._scheduler.offer(request, now):
            if event.request is request:
                mine = event
            else:
                self._tell(event, now)
        if mine is None:
            mine = await self._turn_of(request)
        else:
            self._note(mine, now)
        if isinstance(mine, Refused):
            raise self._busy(mine)
        return Turn(self, request, mine.engine)

    def left(self, request: Request, *, answered: bool) -> None:
        """Take the slot of a request back, and pass it on."""
        now = self.clock()
        if answered:
            self._follow(self._scheduler.complete(request.id, now), now)
        else:
            self._follow(self._scheduler.cancel(request.id, now), now)

    def change(self, engines: Sequence[EngineSpec]) -> None:
        """Have other engines from now on; calls under way end where they are.

        Raises:
            BadInput: Two engines have one name.
        """
        now = self.clock()
        self._name(engines)
        self._follow(self._scheduler.change(engines, now), now)

    def _name(self, engines: Sequence[EngineSpec]) -> None:
        for engine in engines:
            self._losses.setdefault(engine.name, 0)
        self._slots = max((engine.slots for engine in engines), default=1)
        self._names = " and ".join(engine.name for engine in engines)

    def lose(self, engine: str, pause_s: float) -> None:
        """Give an engine no calls for a while: it cannot be reached.

        Args:
            engine: Its name.
            pause_s: Seconds until it is tried again.
        """
        self._losses[engine] += 1
        self._scheduler.shut(engine)
        asyncio.get_running_loop().call_later(pause_s, self._reopen, engine)

    def status(self) -> JsonObject:
        """Say who waits, who is in, and what happened so far, by engine and by class."""
        return {
            "engines": {
                slots.spec.name: {
                    "slots": slots.spec.slots,
                    "in_use": slots.spec.slots - slots.free,
                    "lent": slots.lent,
                    "shut": slots.shut,
                    "losses": self._losses[slots.spec.name],
                    "adapters": list(slots.adapters),
                }
                for slots in self._scheduler.engines
            },
            "classes": {kind.name.lower(): self._of_class(kind) for kind in CallClass},
        }

    def _reopen(self, engine: str) -> None:
        now = self.clock()
        self._follow(self._scheduler.reopen(engine, now), now)

    def _of_class(self, kind: CallClass) -> JsonObject:
        counts = self._scheduler.counts[kind]
        return {
            "waiting": self._scheduler.queued(kind),
            "kept": sum(slots.reserved(kind) for slots in self._scheduler.engines),
            "offered": counts.offered,
            "dispatched": counts.dispatched,
            "completed": counts.completed,
            "cancelled": counts.cancelled,
            "refused": {"full": counts.full, "late": counts.late, "gone": counts.gone},
            "lent_s": counts.lent_s,
            "waits": list(self._waits[kind]),
            "waited_s": self._waited[kind],
        }

    async def _turn_of(self, request: Request) -> Event:
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = future
        self._arm()
        try:
            return await future
        except asyncio.CancelledError:
            # Its turn may have come, or it may have been refused, in the moment before.
            self._waiting.pop(request.id, None)
            self._at.pop(request.id, None)
            if request.id in self._scheduler:
                now = self.clock()
                self._follow(self._scheduler.cancel(request.id, now), now)
            raise

    def _follow(self, events: Iterable[Event], now: float) -> None:
        for event in events:
            self._tell(event, now)

    def _tell(self, event: Event, now: float) -> None:
        self._note(event, now)
        future = self._waiting.pop(event.request.id, None)
        if future is not None and not future.done():
            future.set_result(event)

    def _note(self, event: Event, now: float) -> None:
        waited = now - self._at.pop(event.request.id, now)
        if not isinstance(event, Refused):
            kind = event.request.kind
            self._waits[kind][bisect_left(WAIT_BOUNDS_S, waited)] += 1
            self._waited[kind] += waited

    def _arm(self) -> None:
        """One timer, for the first request that will be too late."""
        expires = self._scheduler.next_expiry()
        if expires >= self._expires:
            return
        if self._expiry is not None:
            self._expiry.cancel()
        self._expires = expires
        pause = max(expires - self.clock(), 0.0) + _LATER_S
        self._expiry = asyncio.get_running_loop().call_later(pause, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        self._expires = float("inf")
        now = self.clock()
        self._follow(self._scheduler.expire(now), now)
        self._arm()

    def _busy(self, refused: Refused) -> Busy:
        kind = refused.request.kind
        name, waiting = kind.name.lower(), self._scheduler.queued(kind)
        why = _WHY[refused.reason]
        return Busy(
            f"A call of class {name} was refused by {self._names}: {why} ({waiting} of them wait).",
            reason=str(refused.reason),
            retry_after_s=refused.retry_after_s,
        )


class Place:
    """Where a call is answered: the way there, and its slot where slots are counted.

    Args:
        upstream: The way.
        turn: The slot; None where none is counted.
        model: What the engine calls the model; None where it is called as it was asked for.
        small: Whether the model is a small one: what it says is no teacher's answer.
        dispatcher: Told when the engine is lost; None where it is no local engine.
    """

    __slots__ = ("_dispatcher", "_turn", "model", "small", "upstream")

    def __init__(
        self,
        upstream: Upstream,
        turn: Turn | None = None,
        *,
        model: str | None = None,
        small: bool = False,
        dispatcher: Dispatcher | None = None,
    ) -> None:
        self.upstream = upstream
        self.model = model
        self.small = small
        self._turn = turn
        self._dispatcher = dispatcher

    @property
    def engine(self) -> str:
        """Name of the local engine, "" where it is none."""
        return "" if self._dispatcher is None or self._turn is None else self._turn.engine

    def leave(self, *, answered: bool) -> None:
        """Give the slot back; predictions learn from calls that were answered."""
        if self._turn is not None:
            self._turn.leave(answered=answered)

    def lose(self) -> None:
        """Let others go elsewhere for a while: the engine could not be reached."""
        if self._dispatcher is not None:
            self._dispatcher.lose(self.engine, PAUSE_S)
