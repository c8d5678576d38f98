import math

import pytest
from bench.gateway.stats import percentile, spread, summary
from hypothesis import given
from hypothesis import strategies as st


def test_a_percentile_is_a_value_that_was_seen() -> None:
    assert [percentile([10.0, 20.0, 30.0, 40.0], share) for share in (0.5, 0.75, 0.99, 1.0)] == [
        20,
        30,
        40,
        40,
    ]


def test_the_percentile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(percentile([], 0.5))


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1.0))
def test_at_least_the_share_lies_at_or_below_its_percentile(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert sum(value <= found for value in ordered) >= share * len(ordered) - 1e-9
    assert sum(value < found for value in ordered) < share * len(ordered)


def test_a_summary_sorts_before_it_counts() -> None:
    found = summary([3.0, 1.0, 2.0])
    assert (found["count"], found["p50"], found["max"]) == (3, 2.0, 3.0)


def test_a_spread_leaves_out_the_rounds_that_gave_nothing() -> None:
    found = spread([4.0, None, math.nan, 2.0, 9.0])
    assert (found.median, found.low, found.high) == (4.0, 2.0, 9.0)


@pytest.mark.parametrize(
    ("values", "text"), [([], "-"), ([1234.4], "1,234"), ([1.0, 2.0, 9.0], "2 (1-9)"), ([5.0, 5.0], "5")]
)
def test_a_spread_reads_as_median_and_range(values: list[float], text: str) -> None:
    assert spread(values).text() == text
