"""Tasks with their chosen specialists, grouped by base into what engines serve."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from offramp.core.errors import NotFound
from offramp.core.placement import Role, slot_rank
from offramp.plan.load import Group, Member

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offramp.plan.demand import Choice, Demand, TaskDemand
    from offramp.plan.fleet import Fleet, OwnLlm
    from offramp.plan.shape import ModelShape

    Chosen = Mapping[str, Choice | None]
    """The specialist of each task by its id, None where it stays with the LLM."""

LLM = "llm"
"""What the names of engines of the LLM begin with."""


def groups_of(
    demand: Demand,
    chosen: Chosen,
    fleet: Fleet,
    shapes: Mapping[str, ModelShape],
    *,
    families: Mapping[str, str] | None = None,
) -> tuple[Group, ...]:
    """Group the chosen specialists by base, and the calls that are left for an LLM of one's own.

    Adapters of one padded rank share an engine: its slots are as large as the largest of them.

    Args:
        demand: The calls.
        chosen: Who answers each task.
        fleet: Says how many adapters an engine has, and whether the LLM is here.
        shapes: Shape of each base by its name.
        families: Names of the groups that tasks belong to already; the others are grouped anew.

    Raises:
        NotFound: A base has no shape.
    """
    by_base: dict[tuple[str, int, str], list[Member]] = defaultdict(list)
    for task in demand.tasks:
        choice = chosen.get(task.task)
        if choice is not None:
            padded = (slot_rank(choice.rank) or choice.rank) if choice.rank else 0
            family = (families or {}).get(task.task, "")
            by_base[choice.base, padded, family].append(_member(task, choice))
    groups: list[Group] = []
    for (base, _, family), members in sorted(by_base.items()):
        groups += [
            Group(
                "" if first else family,
                _shape(base, shapes),
                base,
                tuple(members[first : first + fleet.most_adapters]),
            )
            for first in range(0, len(members), fleet.most_adapters)
        ]
    named = _named(groups)
    llm = _llm(demand, chosen, fleet.llm, shapes) if fleet.llm is not None else None
    return named if llm is None else (llm, *named)


def _member(task: TaskDemand, choice: Choice) -> Member:
    return Member(
        task=task.task,
        specialist=choice.specialist,
        rank=choice.rank,
        rates=task.rates,
        lengths=task.lengths_of(choice),
        objective_s=task.objective_s,
        burst=task.burst,
    )


def _llm(demand: Demand, chosen: Chosen, llm: OwnLlm, shapes: Mapping[str, ModelShape]) -> Group | None:
    members = []
    for task in demand.tasks:
        choice = chosen.get(task.task)
        left = 1.0 if choice is None else 1.0 - choice.taken_off
        if left > 0.0 and task.mean_rate > 0.0:
            # What is left after random thinning is less bursty by as much.
            burst = 1.0 + (task.burst - 1.0) * left
            rates = tuple(rate * left for rate in task.rates)
            members.append(Member(task.task, llm.base, 0, rates, task.lengths, llm.objective_s, burst))
    if not members:
        return None
    return Group(
        name=f"{LLM}-{_short(llm.base)}",
        base=_shape(llm.base, shapes),
        base_name=llm.base,
        members=tuple(members),
        role=Role.LLM,
        parallel=llm.parallel,
        wait_s=llm.wait_s,
        probability=llm.probability,
    )


def _named(groups: list[Group]) -> tuple[Group, ...]:
    """Name groups by their bases, with a number where several have the same."""
    taken = {group.name for group in groups}
    found = []
    for group in groups:
        name = group.name
        if not name:
            short = _short(group.base_name)
            numbered = (short if not number else f"{short}-{number + 1}" for number in count())
            name = next(one for one in numbered if one not in taken)
            taken.add(name)
        found.append(replace(group, name=name))
    return tuple(found)


def _short(base: str) -> str:
    return base.rstrip("/").rsplit("/", 1)[-1].lower()


def _shape(base: str, shapes: Mapping[str, ModelShape]) -> ModelShape:
    if base not in shapes:
        raise NotFound(f"The base {base!r} is not described; described are {', '.join(sorted(shapes))}.")
    return shapes[base]
