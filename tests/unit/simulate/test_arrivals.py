from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import pytest

from offramp.core.errors import BadInput
from offramp.simulate.arrivals import Arrivals, Lengths, poisson, read_trace

if TYPE_CHECKING:
    from pathlib import Path

LENGTHS = Lengths(prompt=300, completion=20, cv=1.5, largest=100_000)


def test_a_trace_is_read_sorted_gzipped_or_not(tmp_path: Path) -> None:
    """Columns by name; an answer of no tokens counts as one."""
    text = "arrival_s,input_tokens,output_tokens,extra\n2.5,30,0,x\n1.0,10,4,y\n"
    plain, packed = tmp_path / "a.csv", tmp_path / "a.csv.gz"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    for path in (plain, packed):
        trace = read_trace(path)
        assert trace.at.tolist() == [1.0, 2.5]
        assert trace.prompt.tolist() == [10, 30]
        assert trace.completion.tolist() == [4, 1]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "arrival_s,input_tokens,output_tokens\n1,x,2\n"])
def test_what_is_no_trace_is_refused_with_its_path(tmp_path: Path, text: str) -> None:
    """A missing column and a word for a number."""
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"bad\.csv"):
        read_trace(path)
    with pytest.raises(BadInput, match=r"none\.csv"):
        read_trace(tmp_path / "none.csv")


def test_lengths_have_their_mean_and_variation() -> None:
    """Log-normal by its mean and coefficient of variation, not by those of its logarithm."""
    drawn = poisson(500.0, 100.0, LENGTHS, seed=2)
    assert len(drawn) == pytest.approx(50_000, rel=0.03)
    assert drawn.prompt.mean() == pytest.approx(300, rel=0.03)
    assert drawn.prompt.std() / drawn.prompt.mean() == pytest.approx(1.5, rel=0.1)


def test_faster_is_more_load() -> None:
    """Half the time for the same requests."""
    drawn = poisson(10.0, 10.0, LENGTHS)
    assert drawn.faster(2.0).at[-1] == drawn.at[-1] / 2
    with pytest.raises(BadInput, match="above 0"):
        drawn.faster(0.0)


@pytest.mark.parametrize(
    ("at", "prompt", "completion", "message"),
    [
        ([1.0], [1], [], "one of each"),
        ([2.0, 1.0], [1, 1], [1, 1], "back in time"),
        ([0.0], [1], [0], "token"),
    ],
)
def test_columns_that_are_no_arrivals_are_refused(
    at: list[float], prompt: list[int], completion: list[int], message: str
) -> None:
    """Lengths, order and counts."""
    whole = (np.array(prompt, dtype=np.int64), np.array(completion, dtype=np.int64))
    with pytest.raises(BadInput, match=message):
        Arrivals(np.array(at), *whole)
