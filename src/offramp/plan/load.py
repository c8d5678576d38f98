"""The load of one engine: the calls of its tasks mixed, window by window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from offramp.core.placement import Role
from offramp.plan.kv import Holdings
from offramp.plan.queueing import Presence, presence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offramp.plan.demand import Length
    from offramp.plan.shape import ModelShape
    from offramp.plan.speed import Speed

BATCHED_TOKENS = 2048
"""Tokens of one iteration (`--max-num-batched-tokens`)."""
_MOST_READING = 0.95


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


class Mix:
    """The calls of a group as columns, one row per length of a task.

    Attributes:
        group: Whose.
        prompt: Prompt tokens, shape ``(kinds,)``.
        completion: Tokens generated, shape ``(kinds,)``.
        owner: Position of the task, shape ``(kinds,)``.
        weight: Share of the task's calls, shape ``(kinds,)``.
        iterations: That a call takes: those that read its prompt, and one per token after the first.
        rates: Calls per second, shape ``(windows, members)``: windows that no other has at least all the
            calls of, the busiest first.
        bursts: Of the members.
        objectives: Of the members, seconds.
        window: The window with most calls.
    """

    def __init__(self, group: Group) -> None:
        """Mix the calls of a group."""
        rows = [
            (one.prompt, one.completion, number, one.weight / total)
            for number, member in enumerate(group.members)
            for total in (sum(one.weight for one in member.lengths),)
            for one in member.lengths
        ]
        self.group = group
        self.prompt, self.completion, owner, self.weight = np.array(rows, dtype=np.float64).T.copy()
        self.owner = owner.astype(np.int64)
        reading = np.maximum(np.ceil(self.prompt / BATCHED_TOKENS), 1.0)
        self.iterations = reading + self.completion - 1.0
        rates = np.array([member.rates for member in group.members], dtype=np.float64).T
        self.window = int(np.argmax(rates.sum(axis=1)))
        self.rates = rates[_undominated(rates)]
        self.bursts = np.array([member.burst for member in group.members])
        self.objectives = np.array([member.objective_s for member in group.members])

    @cached_property
    def holdings(self) -> Holdings:
        """What its calls hold of the KV cache."""
        return Holdings(self.prompt, self.completion)

    @property
    def longest(self) -> float:
        """Tokens of the longest call."""
        return float((self.prompt + self.completion).max())


@dataclass(frozen=True, slots=True)
class Window:
    """The engine in one window of time.

    Attributes:
        present: Requests at once.
        steps: Seconds of an iteration with 1, 2, ... of them, prompts of others included.
        prompts_s: Seconds that each kind's own prompt takes.
        reading: Share of the time that prompts take.
        stall_s: Mean wait behind prompts, where there is one.
        rate: Requests per second.
        weight: Of each kind among the requests present.
    """

    present: Presence
    steps: NDArray[np.float64]
    prompts_s: NDArray[np.float64]
    reading: float
    stall_s: float
    rate: float
    weight: NDArray[np.float64]


def window_of(
    mix: Mix, rates: NDArray[np.float64], speed: Speed, *, crowd: float, replicas: int, most: int
) -> Window | None:
    """Work out an engine's state under rates.

    Args:
        mix: The calls.
        rates: Calls per second of each member, on this engine alone, shape ``(members,)``.
        speed: Of its iterations.
        crowd: Neighbours in an iteration at the same time, on average.
        replicas: Engines that divide the calls.
        most: Requests at once that the device allows.

    Returns:
        The state, None where the engine cannot keep up.
    """
    total = float(rates.sum())
    arithmetic = speed.prompts_s(mix.prompt)
    if total <= 0.0:
        steps = speed.steps_s(np.ones(1), context=0.0, neighbours=crowd)
        return Window(Presence(np.ones(1), 1.0), steps, arithmetic, 0.0, 0.0, 0.0, mix.weight)
    weights = rates[mix.owner] * mix.weight / total
    reading = total * float(weights @ arithmetic)
    if reading < 1.0:
        # An iteration that reads a prompt reads the weights all the same, so the two overlap, once for all
        # the prompts of the iteration.
        covered = np.minimum(arithmetic, speed.weights_s * speed.slowdown) * (1.0 - reading)
        arithmetic = arithmetic - covered
        reading = total * float(weights @ arithmetic)
    if reading >= _MOST_READING:
        return None
    held_by = weights * mix.iterations
    iterations = float(held_by.sum())
    held = float(held_by @ (mix.prompt + mix.completion / 2)) / iterations
    batches = np.arange(1.0, most + 1)
    steps = speed.steps_s(batches, context=held, neighbours=crowd) / (1.0 - reading)
    burst = float(rates @ mix.bursts) / total
    # Random thinning of a stream with variance over mean z leaves 1 + (z - 1) / replicas.
    group = 1.0 + (burst - 1.0) / replicas
    present = presence(total, iterations, steps, group=group)
    if present is None:
        return None
    # Mean wait for prompts that are being read (Pollaczek and Khinchine), given that there are any.
    stall = total * float(weights @ arithmetic**2) / (2 * (1 - reading)) / max(reading, 1e-12)
    own = arithmetic / (1.0 - reading)
    return Window(present, steps, own, reading, stall * group, total, held_by)


def _undominated(rates: NDArray[np.float64]) -> list[int]:
    """Return the windows that no other window has at least all the calls of, the busiest first."""
    kept: list[int] = []
    for window in sorted(range(len(rates)), key=lambda one: (-float(rates[one].sum()), one)):
        if not any(bool(np.all(rates[window] <= rates[other])) for other in kept):
            kept.append(window)
    return kept
