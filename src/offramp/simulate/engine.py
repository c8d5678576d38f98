"""One engine by its iterations: continuous batching, prompts in chunks, KV blocks, adapter slots, sleep.

Simulating an iteration costs the same however many sequences decode in it: what all of them share (the number
of the step, the tokens they hold) is counted once, and blocks are counted by the phase of their sequences.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from offramp.core.standing import CallClass
from offramp.plan.speed import HOST_BANDWIDTH

if TYPE_CHECKING:
    from offramp.core.placement import PlacedEngine
    from offramp.plan.speed import Speed

BLOCK = 16
"""Tokens of one KV block (vLLM's default)."""

BATCHED_TOKENS = 2048
"""Tokens of one iteration (`--max-num-batched-tokens`): decoding sequences first, prompts with the rest."""


@dataclass(slots=True)
class Job:
    """One request on its way.

    Attributes:
        index: Its position among all requests of the run.
        model: What it asks for: a specialist, or the base's own name.
        at: When it arrived, seconds.
        prompt: Prompt tokens.
        completion: Tokens to generate.
        rank: Order of its class: lower is more urgent where a policy looks at it.
        deadline: When it is to be finished, seconds.
        kind: Its class in the scheduler.
        expected: Tokens that its kind generates on average: what could be known before.
        done: Tokens generated so far.
        dispatched: When an engine got it.
        first: When its first token came.
        finished: When its last token came.
        unread: Tokens that its engine has still to read.
        ends: Iteration of its engine that generates its last token.
        phase: Iterations, modulo the block, in which it needs a further block.
    """

    index: int
    model: str
    at: float
    prompt: int
    completion: int
    rank: int = 0
    deadline: float = float("inf")
    kind: CallClass = CallClass.INTERACTIVE
    expected: int = 1
    done: int = 0
    dispatched: float = float("nan")
    first: float = float("nan")
    finished: float = float("nan")
    unread: int = field(default=0, repr=False)
    ends: int = field(default=-1, repr=False)
    phase: int = field(default=0, repr=False)

    @property
    def tokens(self) -> int:
        """Tokens whose KV it needs before it can go on."""
        return self.prompt + self.done


@dataclass(slots=True)
class EngineCounts:
    """What an engine counted.

    Attributes:
        busy_s: Seconds in iterations.
        iterations: How many.
        preempted: Requests that lost their KV blocks and were read again.
        overflowed: Iterations that needed a block and found none free.
        loads: Adapters loaded.
        wakes: Times it was woken.
    """

    busy_s: float = 0.0
    iterations: int = 0
    preempted: int = 0
    overflowed: int = 0
    loads: int = 0
    wakes: int = 0


class SimulatedEngine:
    """The state of one engine.

    `begin` and `end` bracket an iteration; in between, time passes.
    """

    def __init__(
        self, placed: PlacedEngine, speed: Speed, *, token_bytes: int, sleep_after_s: float | None = None
    ) -> None:
        """Start empty.

        Args:
            placed: Its slots, KV budget and adapters.
            speed: Its seconds per work.
            token_bytes: KV bytes of one token on each of its devices.
            sleep_after_s: Idle seconds after which it gives its memory back and must be woken.
        """
        self.placed = placed
        self.speed = speed
        self.blocks = placed.memory.kv // (token_bytes * BLOCK)
        self.counts = EngineCounts()
        self.in_flight = 0
        self.running = False
        self._free = self.blocks
        self._sleep_after = sleep_after_s
        self._idle_since = 0.0
        self._waiting: deque[Job] = deque()
        self._reading: deque[Job] = deque()
        self._decoding: dict[int, Job] = {}
        self._ends: list[tuple[int, int]] = []
        self._phases = [0] * BLOCK
        self._step = 0
        self._cached = 0
        self._adapters: OrderedDict[str, int] = OrderedDict()
        self._names = frozenset(adapter.specialist for adapter in placed.adapters)
        self._load_s = placed.memory.adapters / max(placed.loaded, 1) / HOST_BANDWIDTH

    @property
    def models(self) -> frozenset[str]:
        """Return what it may be asked for: its base, by the adapters' names too where it has any."""
        return self._names | {self.placed.base}

    @property
    def load_s(self) -> float:
        """Return the seconds that loading an adapter takes."""
        return self._load_s

    @property
    def free_blocks(self) -> int:
        """Return the KV blocks that nobody holds."""
        return self._free

    def fits(self, job: Job) -> bool:
        """Whether the request could run here alone."""
        total = job.prompt + job.completion
        return total <= self.placed.context and total // BLOCK + 1 <= self.blocks

    def accept(self, job: Job, now: float) -> None:
        """Take a request in; the caller keeps within the slots and sees that it `fits`."""
        job.dispatched = now
        self.in_flight += 1
        self._waiting.append(job)

    def begin(self, now: float, *, neighbours: int = 0) -> float | None:
        """Begin an iteration and return its seconds, or None where there is nothing to do."""
        if not self.in_flight:
            return None
        extra = self._wake(now)
        self._grow()
        extra += self._admit()
        prefill, attended = self._read(BATCHED_TOKENS - len(self._decoding))
        seconds = extra + self.speed.iteration_s(
            prefill=prefill,
            attended=attended,
            decoding=len(self._decoding),
            cached=self._cached,
            neighbours=neighbours,
        )
        self.counts.busy_s += seconds
        self.counts.iterations += 1
        self.running = True
        return seconds

    def end(self, now: float) -> list[Job]:
        """End the iteration and return the requests that are complete."""
        self.running = False
        self._step += 1
        self._cached += len(self._decoding)
        finished = self._complete()
        while self._reading and not self._reading[0].unread:
            job = self._reading.popleft()
            job.done += 1
            if job.done == 1:
                job.first = now
            if job.done == job.completion:
                self._release(job, job.tokens - 1)
                finished.append(job)
            else:
                self._start_decoding(job)
        for job in finished:
            job.finished = now
        if not self.in_flight:
            self._idle_since = now
        return finished

    def _wake(self, now: float) -> float:
        idle = not self._decoding and not self._reading
        if self._sleep_after is None or not idle or now - self._idle_since < self._sleep_after:
            return 0.0
        self._idle_since = now
        self.counts.wakes += 1
        return self.placed.memory.weights / HOST_BANDWIDTH

    def _grow(self) -> None:
        """Give blocks to sequences whose next token begins one; without room the youngest is pre-empted."""
        phase = (self._step + 1) % BLOCK
        if self._free < self._phases[phase]:
            self.counts.overflowed += 1
        while self._free < self._phases[phase]:
            self._preempt()
        self._free -= self._phases[phase]

    def _preempt(self) -> None:
        _, job = self._decoding.popitem()
        self._phases[job.phase] -= 1
        job.done = job.completion - (job.ends - self._step)
        self._cached -= job.tokens
        self._release(job, job.tokens - 1)
        self.in_flight += 1
        self.counts.preempted += 1
        self._waiting.appendleft(job)

    def _admit(self) -> float:
        """Move waiting requests in while slots, blocks and adapter slots last; returns seconds of loading."""
        seconds = 0.0
        skipped: list[Job] = []
        while self._waiting and len(self._decoding) + len(self._reading) < self.placed.slots:
            job = self._waiting[0]
            blocks = job.tokens // BLOCK + 1
            if blocks > self._free:
                break
            self._waiting.popleft()
            loaded = self._adapter(job.model)
            if loaded is None:
                skipped.append(job)
                continue
            seconds += loaded
            self._free -= blocks
            job.unread = max(job.tokens, 1)
            self._reading.append(job)
        self._waiting.extendleft(reversed(skipped))
        return seconds

    def _adapter(self, name: str) -> float | None:
        """Occupy the slot of an adapter; returns the seconds to load it, None where every slot is in use."""
        if name not in self._names:
            return 0.0
        held = self._adapters
        seconds = 0.0
        if name not in held:
            if len(held) >= max(self.placed.loaded, 1):
                idle = next((other for other, users in held.items() if not users), None)
                if idle is None:
                    return None
                del held[idle]
            held[name] = 0
            seconds = self._load_s
            self.counts.loads += 1
        held[name] += 1
        held.move_to_end(name)
        return seconds

    def _read(self, budget: int) -> tuple[int, int]:
        """Read prompts in the order of their admission; returns tokens read and the tokens they attend to."""
        total = attended = 0
        for job in self._reading:
            chunk = min(budget - total, job.unread)
            if chunk <= 0:
                continue
            before = job.tokens - job.unread
            attended += chunk * before + chunk * chunk // 2
            job.unread -= chunk
            total += chunk
        return total, attended

    def _start_decoding(self, job: Job) -> None:
        job.ends = self._step + job.completion - job.done
        job.phase = (self._step - job.tokens + 1) % BLOCK
        self._phases[job.phase] += 1
        self._cached += job.tokens
        self._decoding[job.index] = job
        heapq.heappush(self._ends, (job.ends, job.index))

    def _complete(self) -> list[Job]:
        """Take out the sequences that got their last token; entries of pre-empted ones no longer match."""
        finished = []
        while self._ends and self._ends[0][0] <= self._step:
            ends, index = heapq.heappop(self._ends)
            job = self._decoding.get(index)
            if job is None or job.ends != ends:
                continue
            del self._decoding[index]
            job.done = job.completion
            self._phases[job.phase] -= 1
            self._cached -= job.tokens
            self._release(job, job.tokens - 1)
            finished.append(job)
        return finished

    def _release(self, job: Job, held: int) -> None:
        """Free the blocks of ``held`` tokens, and the adapter."""
        self._free += held // BLOCK + 1
        self.in_flight -= 1
        if job.model in self._adapters:
            self._adapters[job.model] -= 1
