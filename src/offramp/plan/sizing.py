"""What one engine needs so that its calls are in time and its KV cache seldom overflows.

Specialists of one base share an engine. Its load is mixed from their calls; from the load follow the requests
at once (`queueing.presence`), from those the slots, the KV budget (`kv.overflow_budget`) and how long a call
takes. A size that does not keep an objective is none: the load that may be planned follows from the
objectives, not from a fixed share of the device's time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from offramp.core.placement import EngineMemory, Role
from offramp.plan.kv import Holdings, overflow_budget
from offramp.plan.memory import EngineFootprint, fixed_bytes, kv_bytes, slots_bytes, weight_bytes
from offramp.plan.queueing import Presence, erlang_servers, presence
from offramp.plan.speed import roofline

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from offramp.plan.demand import Length
    from offramp.plan.fleet import Stock
    from offramp.plan.shape import ModelShape
    from offramp.plan.speed import Speed

    Speeds = Callable[["Group", Stock], Speed]
    """Gives the speed of a group's engine on whole devices of a kind."""

BATCHED_TOKENS = 2048
"""Tokens of one iteration (`--max-num-batched-tokens`)."""
MOST_ENGINES = 8
"""Engines of one device: each gets this part of the probability that the device may overflow with."""
LEAST_SLOTS = 2
CONTEXT_STEP = 1024
CONTEXT_MARGIN = 1.25
"""Longest request that an engine takes, over the longest that was seen."""
_MOST_READING = 0.95
_LEVELS = (0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999)


@dataclass(frozen=True, slots=True)
class Member:
    """The calls of one task that go to an engine.

    Attributes:
        task: The task.
        specialist: Who answers; the model name that is asked.
        rank: Rank of the adapter; 0 for the base itself.
        rates: Calls per second in each window, all replicas together.
        lengths: Of its calls.
        objective_s: Seconds that are allowed.
        burst: Variance over mean of its arrivals.
    """

    task: str
    specialist: str
    rank: int
    rates: tuple[float, ...]
    lengths: tuple[Length, ...]
    objective_s: float
    burst: float = 1.0


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks that are answered by engines of one kind.

    Attributes:
        name: Of its engines, without the number of the replica.
        base: The weights.
        base_name: Name or directory of the base, as engines load it.
        members: The tasks.
        role: Whom the engines stand in for.
        parallel: Devices of one engine.
        wait_s: For the LLM: the wait for a slot that may be exceeded
        probability: with at most this probability.
    """

    name: str
    base: ModelShape
    base_name: str
    members: tuple[Member, ...]
    role: Role = Role.SMALL
    parallel: int = 1
    wait_s: float = 1.0
    probability: float = 0.01

    @property
    def ranks(self) -> tuple[int, ...]:
        """Ranks of its adapters, one per specialist."""
        found = {member.specialist: member.rank for member in self.members if member.rank}
        return tuple(found[name] for name in sorted(found))


def modelled(group: Group, stock: Stock) -> Speed:
    """Return the roofline's speed, for bases that nobody measured."""
    return roofline(group.base, stock.device, degree=group.parallel, adapters=bool(group.ranks))


@dataclass(frozen=True, slots=True)
class Terms:
    """What every engine has to keep.

    Attributes:
        within: Share of each task's calls that meet its objective.
        overflow: Probability that its KV demand exceeds its budget.
    """

    within: float = 0.99
    overflow: float = 0.001 / MOST_ENGINES


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a device that an engine gets.

    Attributes:
        share: Share of the compute.
        shared: Whether other engines run on the device too.
        replicas: Engines that divide the calls.
    """

    share: float = 1.0
    shared: bool = False
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class Sized:
    """An engine that keeps its terms.

    Attributes:
        part: The part of a device it was sized for.
        memory: Bytes on each of its devices.
        slots: Requests at once.
        context: Longest request, tokens.
        duty: Largest share of the time that it works, of any window.
        latency_s: Predicted seconds that the share `Terms.within` of each task's calls takes at most, in its
            worst window, by task.
        tightest: Task whose prediction is nearest to its objective.
        tightness: That prediction over the objective, at most 1.
        window: The window with the largest duty.
    """

    part: Part
    memory: EngineMemory
    slots: int
    context: int
    duty: float
    latency_s: tuple[tuple[str, float], ...]
    tightest: str
    tightness: float
    window: int


@dataclass(frozen=True, slots=True)
class _Kinds:
    """All lengths of a group as columns, shape ``(kinds,)`` each."""

    prompt: NDArray[np.float64]
    completion: NDArray[np.float64]
    owner: NDArray[np.int64]
    weight: NDArray[np.float64]

    @property
    def iterations(self) -> NDArray[np.float64]:
        """Iterations of a request: those that read its prompt, and one per token after the first."""
        return np.maximum(np.ceil(self.prompt / BATCHED_TOKENS), 1.0) + self.completion - 1.0


@dataclass(frozen=True, slots=True)
class _Engine:
    """An engine before its size is known.

    Attributes:
        kinds: Lengths of its calls.
        speed: Of its iterations.
        crowd: Neighbours in an iteration at the same time, on average.
        most: Requests at once that the device allows.
        replicas: Engines that divide the calls.
        bursts: Of the members, shape ``(members,)``.
    """

    kinds: _Kinds
    speed: Speed
    crowd: float
    most: int
    replicas: int
    bursts: NDArray[np.float64]

    def state(self, rates: NDArray[np.float64]) -> _State | None:
        """Return the engine under these rates of its members, None where it cannot keep up."""
        kinds, total = self.kinds, float(rates.sum())
        arithmetic = self.speed.prompts_s(kinds.prompt)
        if total <= 0.0:
            steps = self.speed.steps_s(np.ones(1), context=0.0, neighbours=self.crowd)
            return _State(Presence(np.ones(1), 1.0), steps, arithmetic, 0.0, 0.0, 0.0, kinds.weight)
        weights = rates[kinds.owner] * kinds.weight / total
        reading = total * float(weights @ arithmetic)
        if reading < 1.0:
            # An iteration that reads a prompt reads the weights all the same, so the two overlap, once for
            # all the prompts of the iteration.
            covered = np.minimum(arithmetic, self.speed.weights_s * self.speed.slowdown) * (1.0 - reading)
            arithmetic = arithmetic - covered
            reading = total * float(weights @ arithmetic)
        if reading >= _MOST_READING:
            return None
        iterations = float(weights @ kinds.iterations)
        presence_weights = weights * kinds.iterations
        held = float(presence_weights @ (kinds.prompt + kinds.completion / 2)) / iterations
        steps = self.speed.steps_s(np.arange(1.0, self.most + 1), context=held, neighbours=self.crowd) / (
            1.0 - reading
        )
        burst = float(rates @ self.bursts) / total
        # Random thinning of a stream with index of dispersion z leaves 1 + (z - 1) / replicas.
        group = 1.0 + (burst - 1.0) / self.replicas
        present = presence(total, iterations, steps, group=group)
        if present is None:
            return None
        # Mean wait for prompts that are being read (Pollaczek and Khinchine), given that there are any.
        stall = total * float(weights @ arithmetic**2) / (2 * (1 - reading)) / max(reading, 1e-12)
        return _State(present, steps, arithmetic, reading, stall * group, total, presence_weights)


@dataclass(frozen=True, slots=True)
class _State:
    """The engine in one window.

    Attributes:
        present: Requests at once.
        steps: Seconds of an iteration with 1, 2, ... of them, prompts of others included.
        arithmetic: Seconds of arithmetic of each kind's prompt.
        reading: Share of the time that prompts take.
        stall_s: Mean wait behind prompts, where there is one.
        rate: Requests per second.
        weight: Of each kind among the requests present.
    """

    present: Presence
    steps: NDArray[np.float64]
    arithmetic: NDArray[np.float64]
    reading: float
    stall_s: float
    rate: float
    weight: NDArray[np.float64]


def size(group: Group, stock: Stock, part: Part, terms: Terms, speeds: Speeds = modelled) -> Sized | None:
    """Size one engine of a group for its part of a device.

    Args:
        group: Whose calls; each of the replicas gets an equal part of them.
        stock: The device.
        part: The part of it.
        terms: What has to be kept.
        speeds: How fast bases are.

    Returns:
        The size; None where no size keeps the terms.
    """
    engine = _engine(group, stock, part, speeds)
    rates = np.array([member.rates for member in group.members]) / part.replicas
    states = []
    for window in _undominated(rates):
        state = engine.state(rates[:, window])
        if state is None:
            return None
        states.append(state)
    slots = max(_slots(group, state, engine, terms) for state in states)
    latency = np.max([_latencies(group, engine.kinds, state, terms, slots) for state in states], axis=0)
    ratios = latency / np.array([member.objective_s for member in group.members])
    worst = int(np.argmax(ratios))
    if ratios[worst] > 1.0:
        return None
    memory, context = _memory(group, engine.kinds, states, terms, slots)
    return Sized(
        part=part,
        memory=memory,
        slots=slots,
        context=context,
        duty=max(state.present.busy for state in states),
        latency_s=tuple((one.task, float(s)) for one, s in zip(group.members, latency, strict=True)),
        tightest=group.members[worst].task,
        tightness=float(ratios[worst]),
        window=int(np.argmax(rates.sum(axis=0))),
    )


def _engine(group: Group, stock: Stock, part: Part, speeds: Speeds) -> _Engine:
    kinds = [
        (one.prompt, one.completion, number, one.weight / sum(each.weight for each in member.lengths))
        for number, member in enumerate(group.members)
        for one in member.lengths
    ]
    prompt, completion, owner, weight = np.array(kinds, dtype=np.float64).T
    divided = part.shared and stock.sharing.shares and not stock.sharing.bandwidth
    return _Engine(
        kinds=_Kinds(prompt, completion, owner.astype(np.int64), weight),
        speed=_speed(group, stock, part, speeds),
        crowd=1.0 if divided else 0.0,
        most=stock.device.max_batch,
        replicas=part.replicas,
        bursts=np.array([member.burst for member in group.members]),
    )


def _speed(group: Group, stock: Stock, part: Part, speeds: Speeds) -> Speed:
    speed = speeds(group, stock)
    sharing = stock.sharing
    if not part.shared:
        return replace(speed, share=part.share)
    if not sharing.shares:
        # Engines take turns: beside as much work as its own, each takes twice as long.
        return replace(speed, slowdown=2.0 * sharing.compute * speed.slowdown)
    slowdown = sharing.compute * speed.slowdown
    return replace(speed, share=part.share, isolated=sharing.bandwidth, slowdown=slowdown)


def _undominated(rates: NDArray[np.float64]) -> list[int]:
    """Return the windows that no other window has at least all the calls of, the busiest first."""
    kept: list[int] = []
    for window in sorted(range(rates.shape[1]), key=lambda one: (-float(rates[:, one].sum()), one)):
        if not any(bool(np.all(rates[:, window] <= rates[:, other])) for other in kept):
            kept.append(window)
    return kept


def _slots(group: Group, state: _State, engine: _Engine, terms: Terms) -> int:
    """Return the requests that the engine takes at once: as many as come, and for the LLM by Erlang C."""
    if group.role is Role.LLM:
        rate = state.rate
        if not rate:
            return 1
        wanted = erlang_servers(
            rate, state.present.mean / rate, wait_s=group.wait_s, probability=group.probability
        )
    else:
        wanted = state.present.quantile(1.0 - terms.overflow)
    return min(max(wanted, LEAST_SLOTS), engine.most)


def _latencies(group: Group, kinds: _Kinds, state: _State, terms: Terms, slots: int) -> NDArray[np.float64]:
    """Return the seconds that `Terms.within` of each member's calls take at most, shape ``(members,)``.

    A call finds as many others as there are at a random moment, whatever its length, and they stay as many.
    """
    late = 1.0 - terms.within
    crowds, likely = _crowds(state.present)
    running = np.minimum(crowds, min(slots, len(state.steps)))
    # Those without a slot wait until the ones before them are through.
    pace = state.steps[running - 1] * (1.0 + np.maximum(crowds - slots, 0) / slots)
    reading = state.arithmetic / (1.0 - state.reading)
    seconds = np.outer(kinds.iterations, pace) + reading[:, None]
    weights = np.outer(kinds.weight, likely)
    behind = state.stall_s * max(0.0, math.log(state.reading / late)) if state.reading > late else 0.0
    mine = [kinds.owner == number for number in range(len(group.members))]
    return np.array([_upper(seconds[one].ravel(), weights[one].ravel(), late) + behind for one in mine])


def _crowds(present: Presence) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the requests at once, the new one among them, by levels of probability, and how likely."""
    crowds = np.array([present.quantile(level) + 1 for level in _LEVELS])
    return crowds, np.diff(_LEVELS, prepend=0.0)


def _upper(values: NDArray[np.float64], weights: NDArray[np.float64], above: float) -> float:
    """Return the smallest value that values of at most the weight ``above`` exceed."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, (1.0 - above) * cumulative[-1] - 1e-9)])


def _memory(
    group: Group, kinds: _Kinds, states: list[_State], terms: Terms, slots: int
) -> tuple[EngineMemory, int]:
    """Return the bytes on each device and the longest request."""
    tokens = max(
        overflow_budget(
            Holdings(kinds.prompt, kinds.completion, state.weight),
            state.present,
            slots=slots,
            overflow=terms.overflow,
        )
        for state in states
    )
    longest = float((kinds.prompt + kinds.completion).max()) * CONTEXT_MARGIN
    context = math.ceil(longest / CONTEXT_STEP) * CONTEXT_STEP
    base, parallel = group.base, group.parallel
    # An engine that cannot hold one request of its longest length does not start.
    kv = kv_bytes(base, 1) * max(math.ceil(tokens), context)
    footprint = EngineFootprint(sequences=slots, batched_tokens=BATCHED_TOKENS)
    memory = EngineMemory(
        weights=math.ceil(weight_bytes(base) / parallel),
        adapters=slots_bytes(base, group.ranks),
        fixed=fixed_bytes(base, footprint),
        kv=math.ceil(kv / parallel),
    )
    return memory, context
