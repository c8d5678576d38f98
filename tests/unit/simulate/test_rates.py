from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from offramp.core.errors import BadInput
from offramp.simulate.arrivals import Lengths
from offramp.simulate.rates import Rates, read_rates

if TYPE_CHECKING:
    from pathlib import Path

LENGTHS = Lengths(prompt=100, completion=10)
HEAD = "client,window_start_s,requests_per_s,interarrival_cv\n"


@pytest.fixture
def rates(tmp_path: Path) -> Rates:
    path = tmp_path / "rates.csv"
    path.write_text(HEAD + "a,0,0,0\na,600,20,1\na,1200,5,3\na,1800,9,1\nb,600,4,0\n")
    return read_rates(path)


def test_rates_are_a_table_of_clients_and_windows(rates: Rates) -> None:
    assert (rates.clients, rates.start_s, rates.width_s, rates.windows) == (("a", "b"), 0.0, 600.0, 4)
    assert rates.per_s.tolist() == [[0, 20, 5, 9], [0, 4, 0, 0]]
    assert rates.variance.tolist() == [[0, 20, 45, 9], [0, 4, 0, 0]]
    assert rates.scaled(2.0).per_s[0, 1] == 40.0
    assert rates.of("b").per_s.tolist() == [[0, 4, 0, 0]]


def test_rates_are_kept_by_window_and_bursts_by_client(rates: Rates) -> None:
    drawn = rates.draw(0, 600, 1800, LENGTHS, seed=1)
    first, second = drawn.between(0, 600), drawn.between(600, 1200)
    assert len(first) == pytest.approx(12_000, abs=1)
    assert len(second) == pytest.approx(3_000, abs=1)
    assert np.diff(first.at).std() / np.diff(first.at).mean() == pytest.approx(1.0, abs=0.05)
    assert np.diff(second.at).std() / np.diff(second.at).mean() == pytest.approx(3.0, abs=0.5)
    assert len(rates.draw(0, 0, 600, LENGTHS)) == 0


def test_a_window_shows_no_more_variation_than_its_requests_can(tmp_path: Path) -> None:
    """A hundred requests with a fitted variation of 800: a burst, and not ten thousand at once."""
    path = tmp_path / "rates.csv"
    path.write_text(HEAD + f"a,0,{1 / 6},800\na,600,{1 / 6},800\n")
    rates = read_rates(path)
    assert rates.burst.tolist() == [[10.0, 10.0]]
    assert len(rates.draw(0, 0, 600, LENGTHS)) == pytest.approx(100, abs=1)


def test_a_part_of_the_requests_comes_less_in_bursts(rates: Rates) -> None:
    assert rates.scaled(0.25).cv.tolist() == [[0, 1, pytest.approx(3**0.5), 1], [0, 0, 0, 0]]
    assert rates.scaled(2.0).cv.tolist() == rates.cv.tolist()


def test_a_window_gives_the_same_requests_whatever_is_asked_of_it(rates: Rates) -> None:
    whole = rates.draw(0, 600, 1800, LENGTHS, seed=3)
    part = rates.draw(0, 900, 1500, LENGTHS, seed=3)
    same = whole.between(300, 900)
    assert part.at == pytest.approx(same.at)
    assert part.prompt.tolist() == same.prompt.tolist()
    alone = rates.of("b").draw(0, 600, 1200, LENGTHS, seed=3)
    assert alone.at.tolist() == rates.draw(1, 600, 1200, LENGTHS, seed=3).at.tolist()


@pytest.mark.parametrize(
    "text", ["client,window_start_s\na,0\n", HEAD + "a,0,1,1\n", HEAD + "a,0,1,1\na,5,1,1\na,9,1,1\n"]
)
def test_what_is_no_table_of_rates_is_refused_with_its_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"bad\.csv"):
        read_rates(path)


def test_rates_below_zero_and_factors_that_are_none_are_refused(tmp_path: Path, rates: Rates) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(HEAD + "a,0,1,1\na,5,-1,1\n")
    with pytest.raises(BadInput, match="0 or more"):
        read_rates(path)
    with pytest.raises(BadInput, match="above 0"):
        rates.scaled(0.0)
