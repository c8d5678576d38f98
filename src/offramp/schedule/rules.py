"""What classes are promised, and what engines there are."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.schedule.request import CallClass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offramp.core.placement import PlacedEngine

_ROUNDING = 1e-9
ANYTHING = "*"
"""The model of an engine that answers whatever it is asked for."""

LOADS_SAVED = 4.0
"""Calls for a loaded adapter go first as long as the others wait for less than so many loads."""


@dataclass(frozen=True, slots=True)
class ClassRule:
    """One class.

    Attributes:
        weight: Guaranteed share of an engine's device seconds while its calls wait, above 0.
        reserve: Share of an engine's slots that are kept for it while it is idle; others only borrow them.
        queue: Most calls that wait.
        strict: Whether a call that cannot meet its deadline any more is refused; else it is answered late.
    """

    weight: float
    reserve: float = 0.0
    queue: int = 1000
    strict: bool = False


DEFAULT_CLASSES: Mapping[CallClass, ClassRule] = MappingProxyType(
    {
        CallClass.INTERACTIVE: ClassRule(weight=0.4, strict=True),
        CallClass.TOOL: ClassRule(weight=0.2),
        CallClass.LLM: ClassRule(weight=0.2, reserve=0.2),
        CallClass.BATCH: ClassRule(weight=0.05),
    }
)


@dataclass(frozen=True, slots=True)
class Rules:
    """Every class, and how finely shares are kept.

    Attributes:
        classes: A rule for each class.
        quantum_s: Device seconds that a round of deficit round-robin deals out.
        lend_s: Longest predicted time that a call may hold a slot which is kept for another class: after it
            the slot is back.
        debt_s: Most device seconds that a class pays back for calls which took longer than predicted.
        fair_tokens: Tenants that are less than this apart in tokens count as even; between them deadlines
            decide.
    """

    classes: Mapping[CallClass, ClassRule] = field(default_factory=lambda: DEFAULT_CLASSES)
    quantum_s: float = 0.05
    lend_s: float = 0.5
    debt_s: float = 10.0
    fair_tokens: float = 4096.0

    def __post_init__(self) -> None:
        """Refuse promises that cannot be kept.

        Raises:
            BadInput: A class has no rule or no weight, weights or reserves sum up to more than 1, or a
                quantity is not above 0.
        """
        missing = [kind.name.lower() for kind in CallClass if kind not in self.classes]
        if missing:
            raise BadInput(f"Classes without a rule: {', '.join(missing)}; each needs one.")
        for kind, rule in self.classes.items():
            if not 0.0 < rule.weight <= 1.0 or not 0.0 <= rule.reserve <= 1.0 or rule.queue < 0:
                raise BadInput(
                    f"Class {kind.name.lower()} has weight {rule.weight:g}, reserve {rule.reserve:g}, queue "
                    f"{rule.queue}; weights are above 0 and at most 1, reserves 0 to 1, queues 0 and more."
                )
        for word in ("weight", "reserve"):
            total = sum(getattr(rule, word) for rule in self.classes.values())
            if total > 1.0 + _ROUNDING:
                raise BadInput(f"The classes' {word}s sum up to {total:g}; 1 is all there is.")
        if min(self.quantum_s, self.fair_tokens) <= 0.0 or min(self.lend_s, self.debt_s) < 0.0:
            raise BadInput(
                f"quantum_s is {self.quantum_s:g}, fair_tokens {self.fair_tokens:g}, lend_s {self.lend_s:g}, "
                f"debt_s {self.debt_s:g}; the first two are above 0, the others not below."
            )

    def starvation_bound(self, kind: CallClass, largest_s: float) -> float:
        """Return the most device seconds that one engine gives to others while a call of a class waits first.

        With K accounts (classes and the surplus), a debt of at most C = max(largest call, `debt_s`), a
        quantum Q and a weight w, the class is behind by at most C, so it has credit again after
        ``floor(C / wQ) + 1`` rounds; in each of them others get at most Q, they had at most 2 Q before, and
        each overdraws by C at most.

        Args:
            kind: The class.
            largest_s: Device seconds of the largest call of any class.
        """
        debt = max(largest_s, self.debt_s)
        rounds = debt // (self.classes[kind].weight * self.quantum_s) + 3
        return rounds * self.quantum_s + (len(self.classes) + 1) * debt


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One engine.

    Attributes:
        name: Unique.
        slots: Requests at once: its credits.
        models: What it answers without loading anything; `ANYTHING` among them stands for all others.
        adapters: What it answers after loading an adapter.
        loaded: Adapters that it holds at once.
        load_s: Seconds that loading one takes.
    """

    name: str
    slots: int
    models: frozenset[str] = frozenset()
    adapters: frozenset[str] = frozenset()
    loaded: int = 0
    load_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse an engine that could answer nothing.

        Raises:
            BadInput: It has no slot, serves nothing, or has adapters and holds none.
        """
        if self.slots < 1 or not (self.models or self.adapters) or (self.adapters and self.loaded < 1):
            raise BadInput(
                f"Engine {self.name!r} has {self.slots} slots, {len(self.models)} models and "
                f"{len(self.adapters)} adapters, {self.loaded} at once; each engine needs a slot, a model, "
                "and room for an adapter where it has any."
            )


def spec_of(engine: PlacedEngine, *, load_s: float = 0.0) -> EngineSpec:
    """Return an engine of a placement: it is asked for its base, and by the names of its adapters.

    Args:
        engine: The engine.
        load_s: Seconds that loading an adapter takes.
    """
    return EngineSpec(
        engine.name,
        engine.slots,
        models=frozenset((engine.base,)),
        adapters=frozenset(adapter.specialist for adapter in engine.adapters),
        loaded=max(engine.loaded, 1) if engine.adapters else 0,
        load_s=load_s,
    )
