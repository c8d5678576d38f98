from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.certify.starts import Walk, two_starts, walk
from offramp.certify.threshold import before_failure

P_VALUES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6)


def walked(values: list[float], second: int, delta: float) -> Walk:
    found = np.array(values)
    return walk(len(found), second, delta, lambda rows, level: before_failure(found[rows] <= level))


def test_the_first_start_is_the_strictest_that_should_pass_with_room_to_spare() -> None:
    assert two_starts(np.array([0.3, 0.006, 0.004, 0.001, 0.0001, 0.2]), 0.05) == (2, 4)


def test_the_starts_are_one_where_nothing_stricter_should_pass() -> None:
    assert two_starts(np.array([0.3, 0.04, 0.01, 0.2]), 0.05) == (2, 2)
    assert two_starts(np.array([0.3, 0.2, 0.1, 0.4]), 0.05) == (2, 2)


@pytest.mark.parametrize(
    ("values", "passed", "tested", "level"),
    [
        ([0.02, 0.02, 0.04, 0.04], 4, 4, 0.05),  # the first sequence arrives: delta is whole
        ([0.02, 0.03, 0.02, 0.04], 3, 4, 0.025),  # it ends, the second start stands on its own half
        ([0.02, 0.03, 0.04, 0.00], 1, 3, 0.025),  # it ends, the second fails: what passed before stands
        ([0.03, 0.00, 0.04, 0.00], 0, 2, 0.025),  # both starts fail
        ([0.03, 0.00, 0.00, 0.00], 4, 3, 0.025),  # an unlucky first test loses nothing
        ([0.02, 0.02, 0.06, 0.00], 2, 3, 0.025),  # nothing follows a failure after the second start
    ],
)
def test_what_two_starts_certify(values: list[float], passed: int, tested: int, level: float) -> None:
    assert walked(values, 2, 0.05) == Walk(passed, tested, level)


def test_one_start_spends_all_of_delta() -> None:
    assert walked([0.04, 0.05, 0.06], 0, 0.05) == Walk(2, 3, 0.05)
    assert walked([0.06, 0.00], 0, 0.05) == Walk(0, 1, 0.05)


@given(P_VALUES, st.data(), st.floats(0.01, 0.5))
def test_two_starts_certify_what_both_do_at_half_of_delta_each(
    values: list[float], data: st.DataObject, delta: float
) -> None:
    """And nothing that neither a sequence at delta from the first nor from the second would."""
    second = data.draw(st.integers(0, len(values) - 1))
    result = walked(values, second, delta)
    halves = [walked(values[at:], 0, delta / 2.0) for at in (0, second)]
    least = max(halves[0].passed, second + halves[1].passed if halves[1].passed else 0)
    wholes = [walked(values[at:], 0, delta) for at in (0, second)]
    most = max(wholes[0].passed, second + wholes[1].passed if wholes[1].passed else 0)
    assert least <= result.passed <= most


@given(st.lists(st.booleans(), min_size=1, max_size=5), st.data(), st.sampled_from([0.05, 0.2]))
def test_bad_thresholds_are_certified_no_more_often_than_promised(
    bad: list[bool], data: st.DataObject, delta: float
) -> None:
    """Worst case: good ones always pass, P-values of bad ones are uniform and as they like together."""
    second = data.draw(st.integers(0, len(bad) - 1))
    drawn = np.random.default_rng(data.draw(st.integers(0, 99))).random((4000, len(bad)))
    if data.draw(st.booleans()):
        drawn = np.repeat(drawn[:, :1], len(bad), axis=1)
    values = np.where(bad, drawn, 0.0)
    broken = 0
    for row in values.tolist():
        passed = walked(row, second, delta).passed
        broken += passed > 0 and bad[passed - 1]
    assert broken / 4000 <= delta + 4.0 * np.sqrt(delta / 4000)
