"""A plan for a fleet: who answers each task, which engines run where, what is promised, and what binds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from offramp.core.placement import Role
from offramp.plan.choose import Chooser
from offramp.plan.exact import solve
from offramp.plan.explain import binding_of, reasons_of
from offramp.plan.pack import cost_of
from offramp.plan.placing import ordered, placement_of
from offramp.plan.sizing import MOST_ENGINES, Part, modelled, size
from offramp.plan.ways import Finder
from offramp.plan.worth import break_even

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from offramp.core.json import JsonObject
    from offramp.core.placement import Placement
    from offramp.plan.choose import Packed
    from offramp.plan.demand import Demand
    from offramp.plan.fleet import Fleet
    from offramp.plan.pack import Room
    from offramp.plan.shape import ModelShape
    from offramp.plan.sizing import Sized, Speeds
    from offramp.plan.ways import Way
    from offramp.plan.worth import FleetBreakEven


@dataclass(frozen=True, slots=True)
class Answered:
    """Who answers a task.

    Attributes:
        task: The task.
        specialist: Who; "" for the LLM.
        coverage: Share of the calls that it answers.
        latency_s: Predicted seconds within which the promised share of the calls is answered; 0 for the LLM.
        objective_s: Seconds that are allowed.
        why: In words, where a better specialist was passed over.
    """

    task: str
    specialist: str
    coverage: float
    latency_s: float
    objective_s: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is predicted for an engine.

    Attributes:
        engine: Its name.
        duty: Share of the busiest window in which it works.
        window: That window.
        tightest: The task nearest to its objective.
        tightness: Its predicted seconds over those allowed.
    """

    engine: str
    duty: float
    window: int
    tightest: str
    tightness: float


@dataclass(frozen=True, slots=True)
class Filling:
    """How full one device is; what is left of 1 is head-room.

    Attributes:
        memory: Share of its memory that engines hold.
        share: Share of its compute that they were given.
        duty: Shares of the time that they work, summed.
        overflow: Bound on the probability that any of them has more KV demand than budget.
    """

    memory: float
    share: float
    duty: float
    overflow: float


@dataclass(frozen=True, slots=True)
class Move:
    """One engine that a new plan changes.

    Attributes:
        engine: Its name.
        what: ``start``, ``restart`` or ``stop``.
    """

    engine: str
    what: str

    @property
    def starts(self) -> bool:
        """Whether an engine has to start for it."""
        return self.what != "stop"


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """The answer.

    Attributes:
        placement: What `offramp enforce` and `offramp simulate` take.
        tasks: Who answers each.
        engines: In the order of the placement.
        devices: In the order of the placement.
        binding: What decides how many devices it takes, in words.
        notes: What else there is to know, in words.
        devices_usd: USD an hour for devices.
        llm_usd: USD an hour for calls that the provider's LLM still gets.
        llm_only_usd: USD an hour if it got all of them.
        oversubscription: KV that the tasks would need in engines of their own, over what is there.
        windows: How many windows of time it was planned for.
        solver: What packed it.
        gap: How far it may be from the cheapest packing, as a share of the price; None where nobody knows.
        moves: What has to be started and ended, where there was a present placement.
        break_even: What it saves at shares of what it carries.
    """

    placement: Placement
    tasks: tuple[Answered, ...]
    engines: tuple[Outlook, ...]
    devices: tuple[Filling, ...]
    binding: str
    notes: tuple[str, ...]
    devices_usd: float
    llm_usd: float
    llm_only_usd: float
    oversubscription: float
    windows: int
    solver: str = "greedy"
    gap: float | None = None
    moves: tuple[Move, ...] = ()
    break_even: tuple[FleetBreakEven, ...] = ()

    def to_dict(self) -> JsonObject:
        """As JSON; ``placement`` is a file that `read_placement` reads."""
        rows = [{**asdict(row), "verdict": row.verdict} for row in self.break_even]
        return {**asdict(self), "placement": self.placement.to_dict(), "break_even": rows}


def plan_fleet(
    demand: Demand,
    fleet: Fleet,
    shapes: Mapping[str, ModelShape],
    speeds: Speeds = modelled,
    *,
    effort: float = 0.0,
) -> FleetPlan:
    """Plan a fleet from nothing.

    Args:
        demand: The calls, and who could answer them.
        fleet: What there is, and what has to be promised.
        shapes: Shape of each base by its name.
        speeds: How fast bases are.
        effort: Deterministic seconds that an exact solver gets to pack better; 0 leaves it at greedy.

    Raises:
        MissingExtra: An exact solver is asked for and not installed.
        BadInput: The fleet cannot hold the LLM that is to run on it.
        NotFound: A base has no shape.
    """
    chooser = Chooser(demand, fleet, shapes, speeds)
    packed = chooser.needed(chooser.best())
    loads = chooser.loads(packed.groups, packed.crowd) if effort else None
    if not loads:
        return described(chooser, packed)
    solved = solve(fleet.stocks, loads, packed.rooms, crowd=packed.crowd, effort=effort)
    better = replace(packed, rooms=solved.rooms, devices_usd=cost_of(solved.rooms)[0])
    return replace(described(chooser, better), solver="CP-SAT", gap=solved.gap)


def described(
    chooser: Chooser, packed: Packed, *, present: Placement | None = None, eased: bool = True
) -> FleetPlan:
    """Turn a packing into a plan, with what is predicted and why.

    Args:
        chooser: What it was planned from.
        packed: The packing.
        present: The placement whose devices it names.
        eased: Whether an engine that ended up without neighbours gets the whole device.
    """
    fleet, demand = chooser.fleet, chooser.demand
    rooms = [_eased(chooser, packed, room) if eased else room for room in ordered(packed)]
    priced = fleet.llm is None
    whole = replace(packed, rooms=tuple(rooms))
    placement = placement_of(whole, fleet, present)
    binding, notes = binding_of(chooser, whole)
    return FleetPlan(
        placement=placement,
        tasks=_answered(chooser, whole),
        engines=tuple(_outlook(name, way.sized) for name, way in _engines(whole)),
        devices=tuple(_filling(fleet, room) for room in rooms),
        binding=binding,
        notes=notes,
        devices_usd=packed.devices_usd,
        llm_usd=sum(one.llm_usd_per_hour(packed.picked.get(one.task)) for one in demand.tasks) * priced,
        llm_only_usd=sum(one.llm_usd_per_hour(None) for one in demand.tasks),
        oversubscription=_oversubscription(chooser, whole),
        windows=demand.windows,
        break_even=break_even(demand, packed.picked, packed.devices_usd, own_llm=not priced),
    )


def _eased(chooser: Chooser, packed: Packed, room: Room) -> Room:
    """Give an engine that ended up without neighbours the whole of its devices."""
    if len(room.items) > 1 or room.items[0].way.alone:
        return room
    item = room.items[0]
    beside = (
        len(other.items) > 1
        for other in packed.rooms
        if any((one.group, one.replica) == (item.group, item.replica) for one in other.items)
    )
    if any(beside):
        return room
    finder = Finder(room.stock, chooser.terms, packed.crowd, chooser.speeds)
    way = finder.alone(packed.groups[item.group], item.way.replicas)
    return room if way is None else replace(room, items=[replace(item, way=way)])


def _engines(packed: Packed) -> Iterator[tuple[str, Way]]:
    ways = {(item.group, item.replica): item.way for room in packed.rooms for item in room.items}
    for group, replica in sorted(ways):
        yield f"{packed.groups[group].name}.{replica}", ways[group, replica]


def _answered(chooser: Chooser, packed: Packed) -> tuple[Answered, ...]:
    latency: dict[str, float] = {}
    for room in packed.rooms:
        for item in room.items:
            if packed.groups[item.group].role is Role.SMALL:
                for task, seconds in item.way.sized.latency_s:
                    latency[task] = max(latency.get(task, 0.0), seconds)
    why = reasons_of(chooser, packed)
    return tuple(
        Answered(
            task=task.task,
            specialist=choice.specialist if choice else "",
            coverage=choice.coverage if choice else 0.0,
            latency_s=latency.get(task.task, 0.0),
            objective_s=task.objective_s,
            why=why.get(task.task, ""),
        )
        for task in chooser.demand.tasks
        for choice in (packed.picked.get(task.task),)
    )


def _outlook(name: str, sized: Sized) -> Outlook:
    return Outlook(name, sized.duty, sized.window, sized.tightest, sized.tightness)


def _filling(fleet: Fleet, room: Room) -> Filling:
    return Filling(
        memory=room.memory / room.stock.device.memory,
        share=min(room.share, 1.0),
        duty=room.duty,
        overflow=len(room.items) * fleet.overflow / MOST_ENGINES,
    )


def _oversubscription(chooser: Chooser, packed: Packed) -> float:
    """Return the KV of every task in an engine of its own, bounded alike, over what all engines have."""
    apart = there = 0.0
    for room in packed.rooms:
        for item in room.items:
            group, sized = packed.groups[item.group], item.way.sized
            there += sized.memory.kv
            for member in group.members:
                part = Part(sized.part.share, sized.part.crowd, sized.part.replicas)
                alone = size(
                    replace(group, members=(member,)), room.stock, part, chooser.terms, chooser.speeds
                )
                apart += alone.kv_bytes / group.parallel if alone is not None else 0.0
    return apart / there if there else 1.0
