"""The dispatcher: takes requests, tells which goes where, and follows each to its one end.

Every method takes the time and returns what follows from the event: requests that go to an engine now, and
requests that are refused. A slot stays empty only where the first call of every class has to wait for its
adapter, or is too long for a slot that is kept for another class.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.schedule.request import CallClass, Dispatch, Reason, Refused
from offramp.schedule.rules import ANYTHING, Rules
from offramp.schedule.slots import Slots
from offramp.schedule.waiting import Entry, Line, Tenants

if TYPE_CHECKING:
    from collections.abc import Iterable

    from offramp.schedule.request import Event, Request
    from offramp.schedule.rules import EngineSpec

_KINDS = tuple(CallClass)
_NEVER = float("inf")


@dataclass(slots=True)
class ClassCounts:
    """What happened to the requests of one class.

    Attributes:
        offered: Arrived.
        dispatched: Given to an engine.
        completed: Answered.
        cancelled: Taken back, waiting or not.
        full: Refused because too many waited.
        late: Refused because of their deadline.
        gone: Refused because no engine served their model any more.
        wait_s: Seconds that the dispatched ones waited, summed.
        lent_s: Seconds that they held lent slots.
    """

    offered: int = 0
    dispatched: int = 0
    completed: int = 0
    cancelled: int = 0
    full: int = 0
    late: int = 0
    gone: int = 0
    wait_s: float = 0.0
    lent_s: float = 0.0


class Scheduler:
    """Requests in front of engines.

    Args:
        engines: The engines; their order decides between equal ones.
        rules: What classes are promised.

    Raises:
        BadInput: Two engines have one name.

    Attributes:
        rules: What classes are promised.
        counts: What happened, by class.
    """

    def __init__(self, engines: Iterable[EngineSpec], rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self._slots: list[Slots] = []
        self._number: dict[str, int] = {}
        self._present: dict[str, None] = {}
        self._serving: dict[str, tuple[int, ...]] = {}
        self._lines: dict[tuple[CallClass, str], Line] = {}
        self._of_model: dict[str, list[Line]] = {}
        self._tenants = [Tenants(self.rules.fair_tokens) for _ in _KINDS]
        self._strict = [self.rules.classes[kind].strict for kind in _KINDS]
        self._limits = [self.rules.classes[kind].queue for kind in _KINDS]
        self._entries: dict[int | str, tuple[Entry, int]] = {}
        self._latest: list[tuple[float, int, Entry]] = []
        self._dry: dict[str, Slots] = {}
        self._order = 0
        self._queued = [0] * len(_KINDS)
        self._queued_s = [0.0] * len(_KINDS)
        self.counts = {kind: ClassCounts() for kind in _KINDS}
        self.change(engines, 0.0)

    def __contains__(self, id: object) -> bool:  # noqa: A002
        """Whether a request of that id has not ended."""
        return id in self._entries

    @property
    def models(self) -> frozenset[str]:
        """What may be asked for."""
        return frozenset(self._serving)

    @property
    def engines(self) -> tuple[Slots, ...]:
        """The engines as they stand, without those that are gone."""
        return tuple(self._slots[self._number[name]] for name in self._present)

    def queued(self, kind: CallClass) -> int:
        """Return how many requests of a class wait."""
        return self._queued[kind]

    def in_flight(self, engine: str) -> int:
        """Return how many slots of an engine are held."""
        slots = self._slots[self._number[engine]]
        return slots.spec.slots - slots.free

    def next_expiry(self) -> float:
        """Return when the next waiting request becomes too late; infinity where none can."""
        latest = self._latest
        while latest and not latest[0][2].waits:
            heappop(latest)
        return latest[0][0] if latest else _NEVER

    def wait_s(self, kind: CallClass) -> float:
        """Return roughly how long a request that comes now would wait: its class's queue at its share."""
        queued = self._queued_s[kind]
        if not queued:
            return 0.0
        others = sum(
            rule.weight for one, rule in self.rules.classes.items() if one != kind and self._queued[one]
        )
        first = not any(self._queued[one] for one in _KINDS[:kind])
        share = 1.0 - others if first else self.rules.classes[kind].weight
        return queued / (share * max(len(self._present), 1))

    def offer(self, request: Request, now: float) -> list[Event]:
        """Take a request.

        Raises:
            BadInput: No engine serves its model, or one of its id has not ended.
        """
        kind = request.kind
        line = self._lines.get((kind, request.model))
        if line is None or not line.engines:
            line = self._line(kind, request.model)
        if request.id in self._entries:
            raise BadInput(f"A request {request.id!r} is under way; ids are unique until they end.")
        events: list[Event] = []
        if self._latest and self._latest[0][0] < now:
            self._expire(now, events)
        counts = self.counts[kind]
        counts.offered += 1
        if self._queued[kind] >= self._limits[kind] and (line.waiting or not self._has_free(line)):
            counts.full += 1
            events.append(Refused(request, Reason.FULL, self._retry_after(kind)))
            return events
        order = self._order = self._order + 1
        entry = Entry(request, order, line, self._tenants[kind].join(request.tenant))
        self._entries[request.id] = (entry, -1)
        self._queued[kind] += 1
        self._queued_s[kind] += entry.device_s
        if line.push(entry):
            for number in line.engines:
                self._slots[number].note(line)
        self._feed_line(line, now, events)
        if self._dry:
            self._settle(now, events)
        if entry.waits and self._strict[kind] and request.deadline != _NEVER:
            # One that need not wait goes in however late: else too long predictions would never mend.
            heappush(self._latest, (request.deadline - entry.likely_s, order, entry))
            if self._latest[0][0] < now:
                self._expire(now, events)
        return events

    def complete(
        self,
        id: int | str,  # noqa: A002
        now: float,
        *,
        device_s: float | None = None,
        tokens: float | None = None,
    ) -> list[Event]:
        """Take note that an engine answered a request.

        Args:
            id: The request's.
            now: The time.
            device_s: What it cost; as much more or less as it took longer or shorter where not given.
            tokens: What its tenant is to be charged; as predicted where not given, and as much more or less
                as it took longer or shorter than calls of its class and model do.

        Raises:
            BadInput: No engine has a request of that id.
        """
        entry, number = self._entries.get(id) or (None, -1)
        if entry is None or number < 0:
            raise BadInput(f"No engine has a request {id!r}: it ended, waits, or was never offered.")
        took = now - entry.at
        ratio = took / entry.request.service_s if entry.request.service_s > 0.0 else 1.0
        if tokens is None and entry.service_s > 0.0:
            tokens = entry.request.tokens * took / entry.service_s
        entry.line.learn(ratio)
        cost = entry.request.device_s * ratio if device_s is None else device_s
        if tokens is not None:
            self._tenants[entry.line.kind].correct(entry.tenant, tokens - entry.request.tokens)
        self.counts[entry.line.kind].completed += 1
        return self._end(entry, number, now, cost)

    def cancel(self, id: int | str, now: float) -> list[Event]:  # noqa: A002
        """Take a request back, waiting or not: its client is gone, or its engine failed.

        Raises:
            BadInput: There is no request of that id.
        """
        entry, number = self._entries.get(id) or (None, -1)
        if entry is None:
            raise BadInput(f"There is no request {id!r}: it ended, or was never offered.")
        self.counts[entry.line.kind].cancelled += 1
        if number >= 0:
            return self._end(entry, number, now, entry.device_s)
        events: list[Event] = []
        self._leave(entry)
        del self._entries[id]
        self._gap(entry.line, now, events)
        return events

    def change(self, engines: Iterable[EngineSpec], now: float) -> list[Event]:
        """Have other engines from now on.

        One whose name stays keeps its calls and its classes' credit, whatever else changes. Calls under way
        at one that is gone end as before; waiting ones that no engine serves any more are refused.

        Raises:
            BadInput: Two engines have one name.
        """
        given = list(engines)
        specs = {spec.name: spec for spec in given}
        if len(specs) != len(given):
            raise BadInput(f"Two engines have one name: {', '.join(sorted(spec.name for spec in given))}.")
        serving: dict[str, list[int]] = {}
        for name, spec in specs.items():
            number = self._number.setdefault(name, len(self._slots))
            if number == len(self._slots):
                self._slots.append(Slots(spec, self.rules))
            else:
                self._slots[number].change(spec)
            for model in sorted(spec.models | spec.adapters):
                serving.setdefault(model, []).append(number)
        for name in self._present.keys() - specs.keys():
            # Its calls end there; no line leads to it any more.
            self._slots[self._number[name]].change(self._slots[self._number[name]].spec)
        self._present = dict.fromkeys(specs)
        self._serving = {model: tuple(numbers) for model, numbers in serving.items()}
        self._dry.clear()
        return self._lead_anew(now)

    def _lead_anew(self, now: float) -> list[Event]:
        """Lead every line to the engines that serve it now."""
        events: list[Event] = []
        for line in self._lines.values():
            line.engines = self._serving.get(line.model) or self._serving.get(ANYTHING) or ()
            if line.waiting:
                for number in line.engines:
                    self._slots[number].note(line)
        for entry, number in list(self._entries.values()):
            if number < 0 and not entry.line.engines:
                self._refuse(entry, Reason.GONE, events)
        for slots in self.engines:
            self._feed(slots, now, events)
        if self._dry:
            self._settle(now, events)
        return events

    def shut(self, engine: str) -> None:
        """Give an engine no further calls: it cannot be reached. Those that only it serves wait."""
        self._slots[self._number[engine]].shut = True

    def reopen(self, engine: str, now: float) -> list[Event]:
        """Give an engine calls again."""
        slots = self._slots[self._number[engine]]
        slots.shut = False
        events: list[Event] = []
        self._feed(slots, now, events)
        if self._dry:
            self._settle(now, events)
        return events

    def expire(self, now: float) -> list[Event]:
        """Refuse waiting requests that cannot be answered before their deadline any more."""
        events: list[Event] = []
        self._expire(now, events)
        return events

    def _line(self, kind: CallClass, model: str) -> Line:
        engines = self._serving.get(model) or self._serving.get(ANYTHING)
        if engines is None:
            raise BadInput(f"No engine serves {model!r}; served are {', '.join(sorted(self._serving))}.")
        line = self._lines.get((kind, model))
        if line is None:
            line = self._lines[kind, model] = Line(kind, model, engines)
            self._of_model.setdefault(model, []).append(line)
        line.engines = engines
        return line

    def _has_free(self, line: Line) -> bool:
        return any(self._slots[number].free > 0 and not self._slots[number].shut for number in line.engines)

    def _feed_line(self, line: Line, now: float, events: list[Event]) -> None:
        """Feed the engines that serve a line: those that have its model first, then the emptiest."""
        if len(line.engines) == 1:
            slots = self._slots[line.engines[0]]
            if slots.free > 0:
                self._feed(slots, now, events)
            return
        free = [self._slots[number] for number in line.engines if self._slots[number].free > 0]
        if len(free) > 1:
            model = line.model
            free.sort(key=lambda slots: (not slots.has(model), -slots.free))
        for slots in free:
            self._feed(slots, now, events)

    def _feed(self, slots: Slots, now: float, events: list[Event]) -> None:
        """Fill an engine's free slots as far as anything may go there."""
        while slots.free > 0 and (choice := slots.choose()) is not None:
            entry = choice.entry
            request, kind = entry.request, entry.line.kind
            self._leave(entry)
            self._tenants[kind].serve(entry.tenant, request.tokens)
            entry.at = now
            loads, evicts = slots.take(choice)
            self._entries[request.id] = (entry, self._number[slots.spec.name])
            if loads:
                self._note(slots, request.model)
                self._note(slots, evicts)
            counts = self.counts[kind]
            counts.dispatched += 1
            counts.wait_s += now - request.arrived
            surplus = choice.account == slots.accounts.surplus
            events.append(Dispatch(request, slots.spec.name, surplus, choice.lent, loads, evicts))
        if slots.draining is not None:
            self._dry[slots.spec.name] = slots

    def _settle(self, now: float, events: list[Event]) -> None:
        """Use an adapter that runs dry again where the one it makes room for is there, or not asked for."""
        for name, slots in list(self._dry.items()):
            if slots.draining is not None:
                if not slots.has(slots.wanted) and any(one.waiting for one in self._of_model[slots.wanted]):
                    continue
                self._note(slots, slots.keep())
            del self._dry[name]
            self._feed(slots, now, events)

    def _note(self, slots: Slots, model: str | None) -> None:
        """Tell an engine that a model came, went, or may be asked for again."""
        for line in self._of_model.get(model or "", ()):
            if line.waiting and self._number[slots.spec.name] in line.engines:
                slots.note(line)

    def _end(self, entry: Entry, number: int, now: float, cost: float) -> list[Event]:
        events: list[Event] = []
        if self._latest and self._latest[0][0] < now:
            self._expire(now, events)
        slots = self._slots[number]
        del self._entries[entry.request.id]
        slots.accounts.correct(entry.account, cost - entry.device_s)
        if entry.lent:
            self.counts[entry.line.kind].lent_s += now - entry.at
        self._note(slots, slots.give_back(entry))
        self._feed(slots, now, events)
        if self._dry:
            self._settle(now, events)
        return events

    def _leave(self, entry: Entry) -> None:
        kind = entry.line.kind
        entry.line.leave(entry)
        self._queued[kind] -= 1
        # Sums of floats drift: an empty queue is none.
        self._queued_s[kind] = self._queued_s[kind] - entry.device_s if self._queued[kind] else 0.0

    def _expire(self, now: float, events: list[Event]) -> None:
        latest = self._latest
        touched: dict[Line, None] = {}
        while latest and latest[0][0] < now:
            entry = heappop(latest)[2]
            if entry.waits:
                self._refuse(entry, Reason.LATE, events)
                touched[entry.line] = None
        for line in touched:
            self._gap(line, now, events)

    def _refuse(self, entry: Entry, reason: Reason, events: list[Event]) -> None:
        """Refuse a request that waits."""
        kind = entry.line.kind
        self._leave(entry)
        del self._entries[entry.request.id]
        if reason is Reason.LATE:
            self.counts[kind].late += 1
        else:
            self.counts[kind].gone += 1
        events.append(Refused(entry.request, reason, self._retry_after(kind)))

    def _gap(self, line: Line, now: float, events: list[Event]) -> None:
        """A request that left may have stood before others, or claimed a slot that can be lent now."""
        self._feed_line(line, now, events)
        if self._dry:
            self._settle(now, events)

    def _retry_after(self, kind: CallClass) -> float:
        return max(self.wait_s(kind), self.rules.lend_s)
