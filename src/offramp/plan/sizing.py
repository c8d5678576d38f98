"""What one engine needs so that its calls are in time and its KV cache seldom overflows.

Specialists of one base share an engine. From its load (`offramp.plan.load`) follow the requests at once, from
those the slots, the KV budget (`kv.overflow_budget`) and how long a call takes. A size that does not keep an
objective is none: the load that may be planned follows from the objectives, not from a fixed share of the
device's time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from offramp.core.placement import EngineMemory, Role
from offramp.plan.kv import overflow_budget
from offramp.plan.load import BATCHED_TOKENS, Mix, window_of
from offramp.plan.memory import EngineFootprint, fixed_bytes, kv_bytes, slots_bytes, weight_bytes
from offramp.plan.queueing import erlang_servers
from offramp.plan.speed import roofline

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from offramp.plan.fleet import Stock
    from offramp.plan.load import Group, Window
    from offramp.plan.speed import Speed

    Speeds = Callable[[Group, Stock], Speed]
    """Gives the speed of a group's engine on whole devices of a kind."""

MOST_ENGINES = 8
"""Engines of one device: each gets this part of the probability that the device may overflow with."""
LEAST_SLOTS = 2
CONTEXT_STEP = 1024
CONTEXT_MARGIN = 1.25
"""Longest request that an engine takes, over the longest that was seen."""
_LEVELS = np.array((0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999))
_BISECTIONS = 30


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
        crowd: Other engines that are in an iteration on the device at the same time, on average; 0 where it
            has the device for itself.
        replicas: Engines that divide the calls.
    """

    share: float = 1.0
    crowd: float = 0.0
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class Sized:
    """An engine that keeps its terms.

    Attributes:
        part: The part of a device it was sized for.
        memory: Bytes on each of its devices.
        kv_bytes: KV budget of all its devices by the bound alone; the memory holds at least one longest
            request.
        slots: Requests at once.
        context: Longest request, tokens.
        duty: Largest share of the time that it works, of any window.
        latency_s: Predicted seconds that the share `Terms.within` of each task's calls takes at most, in its
            worst window, by task.
        tightest: Task whose prediction is nearest to its objective.
        tightness: That prediction over the objective, at most 1.
        window: The window with most calls.
    """

    part: Part
    memory: EngineMemory
    kv_bytes: int
    slots: int
    context: int
    duty: float
    latency_s: tuple[tuple[str, float], ...]
    tightest: str
    tightness: float
    window: int


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
    sizing = sizing_of(Mix(group), stock, part, terms, speeds)
    return None if sizing is None else sizing.sized()


def sizing_of(mix: Mix, stock: Stock, part: Part, terms: Terms, speeds: Speeds = modelled) -> Sizing | None:
    """Find the slots with which an engine keeps its objectives; None where none do. See `size`."""
    divided = stock.sharing.shares and not stock.sharing.bandwidth
    speed = _speed(mix.group, stock, part, speeds)
    windows = []
    for rates in mix.rates / part.replicas:
        window = window_of(
            mix,
            rates,
            speed,
            crowd=part.crowd if divided else 0.0,
            replicas=part.replicas,
            most=stock.device.max_batch,
        )
        if window is None:
            return None
        slots = _slots(mix.group, window, terms, stock.device.max_batch)
        if not _in_time(mix, window, slots, terms.within):
            return None
        windows.append((window, slots))
    return Sizing(mix, part, terms, tuple(one for one, _ in windows), max(slots for _, slots in windows))


@dataclass(frozen=True, slots=True)
class Sizing:
    """An engine that keeps its objectives, before its KV budget is known.

    Attributes:
        mix: Its calls.
        part: The part of a device.
        terms: What has to be kept.
        windows: By window.
        slots: Requests at once.
    """

    mix: Mix
    part: Part
    terms: Terms
    windows: tuple[Window, ...]
    slots: int

    @property
    def context(self) -> int:
        """Longest request, tokens."""
        return math.ceil(self.mix.longest * CONTEXT_MARGIN / CONTEXT_STEP) * CONTEXT_STEP

    def fits(self, memory: float) -> bool:
        """Whether it holds within so many bytes on each device."""
        most = self._memory(max(math.ceil(self.slots * self.mix.holdings.largest), self.context))
        return most.total <= memory or self._memory(max(self._tokens(), self.context)).total <= memory

    def sized(self) -> Sized:
        """Work out the rest."""
        members = self.mix.group.members
        tokens = self._tokens()
        latency = np.max(
            [_latencies(self.mix, window, self.slots, self.terms.within) for window in self.windows], axis=0
        )
        ratios = latency / self.mix.objectives
        worst = int(np.argmax(ratios))
        return Sized(
            part=self.part,
            # An engine that cannot hold one request of its longest length does not start.
            memory=self._memory(max(tokens, self.context)),
            kv_bytes=tokens * kv_bytes(self.mix.group.base, 1),
            slots=self.slots,
            context=self.context,
            duty=max(window.present.busy for window in self.windows),
            latency_s=tuple((one.task, float(s)) for one, s in zip(members, latency, strict=True)),
            tightest=members[worst].task,
            tightness=float(ratios[worst]),
            window=self.mix.window,
        )

    def _tokens(self) -> int:
        """Return the tokens of KV cache that the bound asks for, in the worst window."""
        budgets = (
            overflow_budget(
                self.mix.holdings,
                window.weight,
                window.present,
                slots=self.slots,
                overflow=self.terms.overflow,
            )
            for window in self.windows
        )
        return math.ceil(max(budgets))

    def _memory(self, tokens: int) -> EngineMemory:
        """Return the bytes on each device with so many tokens of KV cache in all."""
        base, parallel = self.mix.group.base, self.mix.group.parallel
        footprint = EngineFootprint(sequences=self.slots, batched_tokens=BATCHED_TOKENS)
        return EngineMemory(
            weights=math.ceil(weight_bytes(base) / parallel),
            adapters=slots_bytes(base, self.mix.group.ranks),
            fixed=fixed_bytes(base, footprint),
            kv=math.ceil(kv_bytes(base, 1) * tokens / parallel),
        )


def _speed(group: Group, stock: Stock, part: Part, speeds: Speeds) -> Speed:
    speed = speeds(group, stock)
    sharing = stock.sharing
    if not part.crowd:
        return replace(speed, share=part.share)
    if not sharing.shares:
        # Engines take turns: beside one other that works as much, each takes twice as long.
        return replace(speed, slowdown=(1.0 + part.crowd) * sharing.compute * speed.slowdown)
    slowdown = sharing.compute * speed.slowdown
    return replace(speed, share=part.share, isolated=sharing.bandwidth, slowdown=slowdown)


def _slots(group: Group, window: Window, terms: Terms, most: int) -> int:
    """Return the requests that the engine takes at once: as many as come, and for the LLM by Erlang C."""
    if group.role is Role.LLM and window.rate:
        wanted = erlang_servers(
            window.rate,
            window.present.mean / window.rate,
            wait_s=group.wait_s,
            probability=group.probability,
        )
    else:
        wanted = window.present.quantile(1.0 - terms.overflow)
    return min(max(wanted, LEAST_SLOTS), most)


def _in_time(mix: Mix, window: Window, slots: int, within: float) -> bool:
    """Whether enough calls of every member meet its objective; see `_latencies`."""
    return bool(np.all(_shares(mix, window, slots, mix.objectives, within) >= within))


def _shares(
    mix: Mix, window: Window, slots: int, seconds: NDArray[np.float64], within: float
) -> NDArray[np.float64]:
    """Return the share of each member's calls that takes no longer than this, shape ``(members,)``.

    A call finds as many others as there are at a random moment, whatever its length, and they stay as many.
    """
    paces, likely = _paces(window, slots)
    allowed = seconds[mix.owner] - window.prompts_s - _behind(window, within)
    found = np.searchsorted(paces, allowed / mix.iterations * (1.0 + 1e-12), side="right")
    reached = np.concatenate(([0.0], likely))[found]
    shares = np.bincount(mix.owner, mix.weight * reached, minlength=len(mix.objectives))
    return shares.astype(np.float64)


def _paces(window: Window, slots: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return seconds of an iteration, ascending, and how likely it takes no longer."""
    crowds = window.present.quantiles(_LEVELS) + 1
    running = np.minimum(crowds, min(slots, len(window.steps)))
    # Those without a slot wait until the ones before them are through.
    paces = window.steps[running - 1] * (1.0 + np.maximum(crowds - slots, 0) / slots)
    return paces, _LEVELS


def _behind(window: Window, within: float) -> float:
    """Return the wait behind prompts of others that is exceeded no more often than allowed."""
    late = 1.0 - within
    return window.stall_s * math.log(window.reading / late) if window.reading > late else 0.0


def _latencies(mix: Mix, window: Window, slots: int, within: float) -> NDArray[np.float64]:
    """Return the seconds that the share ``within`` of each member's calls takes at most."""
    paces, _ = _paces(window, slots)
    longest = mix.iterations * paces[-1] + window.prompts_s + _behind(window, within)
    low, high = np.zeros(len(mix.objectives)), np.zeros(len(mix.objectives))
    np.maximum.at(high, mix.owner, longest)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        enough = _shares(mix, window, slots, middle, within) >= within
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high
