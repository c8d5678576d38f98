"""What waits: by class and model, inside by tenant, inside by deadline.

All heaps are lazy: a place in line only moves back (tenants are charged, requests leave), so that an entry
whose place is stale is found at the top and put where it belongs.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offramp.schedule.request import CallClass, Request

_DEAD_KEPT = 32

Place = tuple[int, float, int]
"""Place in line: how far ahead of fair the tenant is, in steps; deadline; order of arrival."""


class Tenant:
    """A tenant of one class, with a virtual token counter.

    Args:
        name: Of the tenant.
    """

    __slots__ = ("counter", "name", "refund", "step", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.counter = 0.0
        self.refund = 0.0
        self.step = 0
        self.waiting = 0


class Tenants:
    """The tenants of one class.

    One that comes back starts where the last one that was served stood: what it did not use is not saved up.

    Args:
        step: Tokens within which tenants count as even.
    """

    __slots__ = ("_by_name", "_served", "_step")

    _KEPT = 4096

    def __init__(self, step: float) -> None:
        self._step = step
        self._served = 0.0
        self._by_name: dict[str, Tenant] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def join(self, name: str) -> Tenant:
        """Return the tenant, one of whose requests begins to wait."""
        tenant = self._by_name.get(name)
        if tenant is None:
            if len(self._by_name) >= self._KEPT:
                self._forget()
            tenant = self._by_name[name] = Tenant(name)
        if not tenant.waiting and tenant.counter < self._served:
            self._move(tenant, self._served)
        tenant.waiting += 1
        return tenant

    def serve(self, tenant: Tenant, tokens: float) -> None:
        """Charge a tenant for a request that goes to an engine."""
        self._served = max(self._served, tenant.counter)
        paid = min(tokens, tenant.refund)
        tenant.refund -= paid
        self._move(tenant, tenant.counter + tokens - paid)

    def correct(self, tenant: Tenant, tokens: float) -> None:
        """Charge what a request came to beyond what was charged, or give it back.

        Counters only grow, which keeps the lazy heaps right: what is given back pays for the next requests.
        """
        if tokens > 0.0:
            self._move(tenant, tenant.counter + tokens)
        else:
            tenant.refund -= tokens

    def _move(self, tenant: Tenant, counter: float) -> None:
        tenant.counter = counter
        tenant.step = int(counter / self._step)

    def _forget(self) -> None:
        """Drop tenants that would be lifted to where everybody is."""
        self._by_name = {
            name: one for name, one in self._by_name.items() if one.waiting or one.counter > self._served
        }


class Entry:
    """A request from its arrival to its end.

    Attributes:
        request: It.
        order: Of arrival.
        tenant: Its tenant.
        line: Where it waits.
        device_s: Device seconds, as predictions of its kind turned out.
        service_s: Seconds in its slot, likewise.
        likely_s: What about 95 of 100 stay below: two mean deviations more.
        longest_s: What hardly any exceeds: four of them more.
        waits: Whether it has not been given to an engine, nor has ended.
        account: Who paid for it.
        held: Whether it holds an adapter.
        lent: Whether its slot is lent.
        at: When it was given to an engine.
    """

    __slots__ = (
        "account",
        "at",
        "device_s",
        "held",
        "lent",
        "likely_s",
        "line",
        "longest_s",
        "order",
        "request",
        "service_s",
        "tenant",
        "waits",
    )

    def __init__(self, request: Request, order: int, line: Line, tenant: Tenant) -> None:
        ratio = line.ratio
        self.request = request
        self.order = order
        self.line = line
        self.tenant = tenant
        self.device_s = request.device_s * ratio
        self.service_s = request.service_s * ratio
        self.likely_s = request.service_s * (ratio + 2.0 * line.deviation)
        self.longest_s = request.service_s * (ratio + 4.0 * line.deviation)
        self.waits = True
        self.account = 0
        self.held = False
        self.lent = False
        self.at = 0.0


class _Queue:
    """Requests of one tenant in one line, earliest deadline first."""

    __slots__ = ("dead", "heap", "stamp", "tenant")

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.heap: list[tuple[float, int, Entry]] = []
        self.stamp = 0
        self.dead = 0


class Line:
    """Requests of one class for one model.

    It knows how long its calls take against what was predicted: mean and deviation by the estimator of
    RFC 6298, whose margin is four deviations, and whose first sample is its first mean.

    Args:
        kind: The class.
        model: The model.

    Attributes:
        waiting: How many requests wait.
        ratio: Mean of real over predicted seconds.
        deviation: Mean deviation from it.
        learned: Whether any of its calls has ended.
        engines: Numbers of the engines that serve the model.
    """

    __slots__ = ("_heads", "_queues", "deviation", "engines", "kind", "learned", "model", "ratio", "waiting")

    def __init__(self, kind: CallClass, model: str, engines: tuple[int, ...]) -> None:
        self.kind = kind
        self.model = model
        self.engines = engines
        self.waiting = 0
        self.ratio = 1.0
        self.deviation = 0.0
        self.learned = False
        self._queues: dict[str, _Queue] = {}
        self._heads: list[tuple[int, float, int, int, _Queue]] = []

    def learn(self, ratio: float) -> None:
        """Take in how long a call took, as a multiple of what was predicted."""
        self.deviation += 0.25 * (abs(ratio - self.ratio) - self.deviation)
        self.ratio += (0.125 if self.learned else 1.0) * (ratio - self.ratio)
        self.learned = True

    def push(self, entry: Entry) -> bool:
        """Take a request in; returns whether engines have to be told: it is the first, or goes before it."""
        tenant = entry.tenant
        queue = self._queues.get(tenant.name)
        if queue is None or queue.tenant is not tenant:
            queue = self._queues[tenant.name] = _Queue(tenant)
        deadline = entry.request.deadline
        heappush(queue.heap, (deadline, entry.order, entry))
        alone = not self.waiting
        self.waiting += 1
        if queue.heap[0][2] is not entry:
            return alone
        queue.stamp += 1
        heappush(self._heads, (tenant.step, deadline, entry.order, queue.stamp, queue))
        return alone or self._heads[0][4] is queue

    def head(self) -> tuple[int, float, int, Entry] | None:
        """Return the first request with its place, None where none waits."""
        heads = self._heads
        while heads:
            step, deadline, order, stamp, queue = heads[0]
            if stamp != queue.stamp:
                heappop(heads)
                continue
            heap = queue.heap
            while heap and not heap[0][2].waits:
                heappop(heap)
                queue.dead -= 1
            if not heap:
                heappop(heads)
                if self._queues.get(queue.tenant.name) is queue:
                    del self._queues[queue.tenant.name]
                continue
            first, now = heap[0], queue.tenant.step
            if first[1] == order and now == step:
                return step, deadline, order, first[2]
            heapreplace(heads, (now, first[0], first[1], stamp, queue))
        return None

    def leave(self, entry: Entry) -> None:
        """Take a request out, wherever it stands."""
        entry.waits = False
        entry.tenant.waiting -= 1
        self.waiting -= 1
        queue = self._queues[entry.tenant.name]
        queue.dead += 1
        if queue.dead > _DEAD_KEPT and queue.dead * 2 > len(queue.heap):
            queue.heap = [one for one in queue.heap if one[2].waits]
            heapify(queue.heap)
            queue.dead = 0
