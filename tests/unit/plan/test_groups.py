from __future__ import annotations

import pytest
from tests.unit.plan.fleets import A100, SHAPES, task

from offramp.core.errors import NotFound
from offramp.core.placement import Role
from offramp.plan.demand import Choice, Demand
from offramp.plan.fleet import Fleet, OwnLlm
from offramp.plan.groups import groups_of

FLEET = Fleet((A100,), most_adapters=2)


def picked(demand: Demand, base: str = "4b") -> dict[str, Choice | None]:
    return {
        one.task: next((choice for choice in one.choices if choice.base == base), None)
        for one in demand.tasks
    }


def test_adapters_of_one_base_share_engines_up_to_the_limit() -> None:
    demand = Demand(tuple(task(f"t{number}") for number in range(5)))
    found = groups_of(demand, picked(demand), FLEET, SHAPES)
    assert [len(group.members) for group in found] == [2, 2, 1]
    assert [group.name for group in found] == ["4b", "4b-2", "4b-3"]


def test_ranks_of_one_padding_share_and_others_do_not() -> None:
    mixed = [Choice(f"s{rank}", "4b", rank, 0.5) for rank in (9, 16, 64, 0)]
    demand = Demand(tuple(task(f"t{one.rank}", bases=()) for one in mixed))
    chosen: dict[str, Choice | None] = {f"t{one.rank}": one for one in mixed}
    found = groups_of(demand, chosen, FLEET, SHAPES)
    assert sorted(sorted(member.rank for member in group.members) for group in found) == [[0], [9, 16], [64]]


def test_what_is_left_goes_to_an_llm_of_ones_own() -> None:
    """90 % answered, 5 % of those asked twice: 14.5 % of the calls are left, and all of the other's."""
    demand = Demand((task("a", 1.0, burst=3.0), task("b", 2.0, bases=())))
    fleet = Fleet((A100,), llm=OwnLlm("4b", parallel=2))
    llm, small = groups_of(demand, picked(demand), fleet, SHAPES)
    assert (llm.role, llm.parallel, llm.name) == (Role.LLM, 2, "llm-4b")
    assert [member.rates[0] for member in llm.members] == pytest.approx([0.145, 2.0])
    assert llm.members[0].burst == pytest.approx(1 + 2 * 0.145)
    assert small.role is Role.SMALL


def test_an_llm_without_calls_is_not_there() -> None:
    choice = Choice("s", "4b", 0, 1.0, audit_share=0.0)
    demand = Demand((task("a", bases=()),))
    found = groups_of(demand, {"a": choice}, Fleet((A100,), llm=OwnLlm("4b")), SHAPES)
    assert [group.role for group in found] == [Role.SMALL]


def test_a_base_without_a_shape_is_named() -> None:
    demand = Demand((task("a"),))
    with pytest.raises(NotFound, match="'4b' is not described; described are 1"):
        groups_of(demand, picked(demand), FLEET, {"1.7b": SHAPES["1.7b"]})
