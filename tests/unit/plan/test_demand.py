from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.plan.fleets import drawn

from offramp.core.errors import BadInput
from offramp.plan.demand import Choice, Demand, Length, TaskDemand, lengths_from, read_demand

CHOICE = Choice("triage-4b", "qwen3-4b", 16, 0.8, 0.1)
TASK = TaskDemand("triage", (1.0, 3.0), (Length(10, 2, 1.0),), 2.0, (CHOICE,), 1.5, 0.01)


def test_what_is_written_is_read_again() -> None:
    demand = Demand((TASK,), 60.0)
    assert read_demand(json.loads(json.dumps(demand.to_dict()))) == demand


def test_money_counts_deferrals_and_audits() -> None:
    """Two calls a second at a cent; 80 % answered, a tenth of those asked twice: 72 % saved."""
    assert TASK.llm_usd_per_hour(None) == pytest.approx(72.0)
    assert TASK.llm_usd_per_hour(CHOICE) == pytest.approx(72.0 * 0.28)


@given(st.integers(1, 400), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_summed_lengths_keep_mass_and_tails(count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    prompt, completion = generator.integers(0, 5000, count), generator.integers(0, 900, count)
    found = lengths_from(prompt, completion)
    assert sum(one.weight for one in found) == pytest.approx(1.0)
    assert max(one.prompt for one in found) == prompt.max()
    assert max(one.completion for one in found) == max(1, completion.max())


def test_summed_lengths_load_about_as_much() -> None:
    """The means are within a tenth above the calls' own: tails stand for their longest."""
    prompt, completion = drawn(700, 100)
    found = lengths_from(prompt, completion)
    for column, mean in (("prompt", prompt.mean()), ("completion", completion.mean())):
        summed = sum(one.weight * getattr(one, column) for one in found)
        assert mean <= summed <= 1.15 * mean
    assert len(found) <= 49


@pytest.mark.parametrize(
    "facts",
    [
        {"rates": ()},
        {"rates": (-1.0,)},
        {"objective_s": 0.0},
        {"burst": 0.5},
        {"lengths": ()},
        {"choices": (CHOICE, CHOICE)},
    ],
)
def test_impossible_tasks_are_refused(facts: dict[str, object]) -> None:
    whole = {"task": "t", "rates": (1.0,), "lengths": (Length(1, 1, 1.0),), "objective_s": 1.0, **facts}
    with pytest.raises(BadInput):
        TaskDemand(**whole)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [(-1, 1, 1.0), (1, 0, 1.0), (1, 1, 0.0), (1, 1, float("nan"))])
def test_impossible_lengths_are_refused(length: tuple[int, int, float]) -> None:
    with pytest.raises(BadInput, match="allowed are"):
        Length(*length)


@pytest.mark.parametrize(
    "facts", [{"specialist": ""}, {"base": ""}, {"rank": -1}, {"coverage": 1.2}, {"audit_share": -0.1}]
)
def test_impossible_choices_are_refused(facts: dict[str, object]) -> None:
    whole = {"specialist": "s", "base": "b", "rank": 0, "coverage": 0.5, **facts}
    with pytest.raises(BadInput):
        Choice(**whole)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"tasks": []},
        {"tasks": [{"task": "t"}]},
        {"tasks": [{**Demand((TASK,)).to_dict()["tasks"][0], "colour": "red"}]},
        {"tasks": ["t"]},
        {"tasks": [Demand((TASK,)).to_dict()["tasks"][0]] * 2},
        {"tasks": [Demand((TASK,)).to_dict()["tasks"][0]], "window_s": "long"},
    ],
)
def test_unreadable_demands_are_refused(value: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        read_demand(value)


def test_tasks_have_the_same_windows() -> None:
    other = TaskDemand("other", (1.0,), (Length(1, 1, 1.0),), 1.0)
    with pytest.raises(BadInput, match="same number"):
        Demand((TASK, other))
    assert Demand((TASK,)).without("triage").tasks == ()
    assert Demand(()).windows == 0
