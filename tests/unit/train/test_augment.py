from __future__ import annotations

import json
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from offramp.core.model import Example
from offramp.train.augment import ValueSwaps

EXAMPLES = (
    Example("1", "alarm: wake me at six", 'set {"time":"six"}'),
    Example("2", "alarm: wake me at noon on friday", 'set {"time":"noon","date":"friday"}'),
    Example("3", "alarm: stop", "stop {}"),
    Example("4", "alarm: the sixth at six", 'set {"date":"the sixth","time":"six"}'),
)


@given(st.sampled_from(EXAMPLES), st.integers(0, 1000))
def test_swapped_values_still_stand_in_the_prompt(example: Example, seed: int) -> None:
    swapped = ValueSwaps(EXAMPLES).swap(example, Random(seed))
    values = json.loads(swapped.completion[swapped.completion.index("{") :])
    assert all(value in swapped.prompt for value in values.values())
    assert values.keys() == json.loads(example.completion[example.completion.index("{") :]).keys()


def test_a_value_is_exchanged_for_another_of_its_argument() -> None:
    swaps = ValueSwaps(EXAMPLES)
    seen = {swaps.swap(EXAMPLES[0], Random(seed)) for seed in range(20)}
    assert Example("1", "alarm: wake me at noon", 'set {"time":"noon"}') in seen


def test_an_example_without_values_stays_as_it_is() -> None:
    assert ValueSwaps(EXAMPLES).swap(EXAMPLES[2], Random(0)) == EXAMPLES[2]


def test_a_completion_that_is_no_call_stays_as_it_is() -> None:
    example = Example("5", "say yes", "yes")
    assert ValueSwaps([example]).swap(example, Random(0)) == example
