from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.certify.terms import Terms, spend
from offramp.core.errors import BadInput


@given(st.floats(0.001, 0.5), st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_all_that_is_ever_spent_stays_within_delta(delta: float, tasks: list[int]) -> None:
    spent = sum(count * spend(delta, count, at) for at, count in enumerate(tasks, start=1))
    assert spent <= delta * (1.0 + 1e-9)


def test_the_first_round_of_one_task_gets_half() -> None:
    assert spend(0.05, 1, 1) == 0.025
    assert spend(0.05, 5, 2) == pytest.approx(0.05 / 30)


@given(st.integers(1, 50), st.integers(1, 50))
def test_later_rounds_and_more_tasks_get_less(tasks: int, round_: int) -> None:
    here = spend(0.05, tasks, round_)
    assert spend(0.05, tasks + 1, round_) < here
    assert spend(0.05, tasks, round_ + 1) < here


@pytest.mark.parametrize(("tasks", "round_"), [(0, 1), (1, 0)])
def test_counts_start_at_one(tasks: int, round_: int) -> None:
    with pytest.raises(BadInput, match="count from 1"):
        spend(0.05, tasks, round_)


@pytest.mark.parametrize("name", ["alpha", "delta", "mix_tolerance", "step"])
def test_terms_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match=f"{name} is 1.0"):
        Terms(**{name: 1.0})  # type: ignore[arg-type]  # one name at a time
