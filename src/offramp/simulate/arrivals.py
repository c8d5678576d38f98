"""Arrivals: read from public traces, or drawn from a distribution.

Columns are numpy arrays of one entry per request, sorted by time, so that a million of them are cheap.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

COLUMNS = ("arrival_s", "input_tokens", "output_tokens")
"""What a trace of single requests needs (Azure 2023, Mooncake); more columns are allowed."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Requests in order of their arrival.

    Attributes:
        at: Seconds since the start, float64, shape ``(n,)``, not decreasing.
        prompt: Prompt tokens, int64, shape ``(n,)``.
        completion: Tokens generated, at least 1, int64, shape ``(n,)``.
    """

    at: NDArray[np.float64]
    prompt: NDArray[np.int64]
    completion: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse columns that are no arrivals.

        Raises:
            BadInput: Lengths differ, times go back, or a count of tokens is below 0 (below 1 generated).
        """
        if not len(self.at) == len(self.prompt) == len(self.completion):
            raise BadInput(
                f"Arrivals have {len(self.at)} times, {len(self.prompt)} prompts and "
                f"{len(self.completion)} completions; one of each per request is needed."
            )
        if len(self.at) and (np.any(np.diff(self.at) < 0) or self.at[0] < 0):
            raise BadInput("Arrivals go back in time; sort them by their seconds, which start at 0 or later.")
        if len(self.at) and (self.prompt.min() < 0 or self.completion.min() < 1):
            raise BadInput("An arrival has fewer than 0 prompt tokens or fewer than 1 generated token.")

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.at)

    def faster(self, factor: float) -> Self:
        """Return the same requests ``factor`` times as fast, which is that many times the load."""
        if factor <= 0:
            raise BadInput(f"The load is to be multiplied by {factor:g}; a factor above 0 is needed.")
        return type(self)(self.at / factor, self.prompt, self.completion)

    def where(self, kept: NDArray[np.bool_]) -> Self:
        """Return those of which ``kept``, shape ``(n,)``, is true."""
        return type(self)(self.at[kept], self.prompt[kept], self.completion[kept])

    def between(self, start: float, end: float) -> Self:
        """Return those from ``start`` until before ``end``, seconds counted from ``start``."""
        first, last = np.searchsorted(self.at, (start, end))
        part = slice(int(first), int(last))
        return type(self)(self.at[part] - start, self.prompt[part], self.completion[part])


def merged(parts: Sequence[Arrivals]) -> Arrivals:
    """Return parts as one, by time; equal times keep the order of the parts. At least one is needed."""
    at, prompt, completion = (
        np.concatenate([getattr(part, column) for part in parts]) for column in ("at", "prompt", "completion")
    )
    order = np.argsort(at, kind="stable")
    return Arrivals(at[order], prompt[order], completion[order])


def read_trace(path: Path) -> Arrivals:
    """Read a CSV of single requests, gzipped or not: ``arrival_s``, ``input_tokens``, ``output_tokens``.

    Requests without generated tokens count as one token: the engine still answers them.

    Raises:
        BadInput: The file is missing, or a column or a number is.
    """
    rows = [tuple(number_of(path, row[name]) for name in COLUMNS) for row in rows_of(path, COLUMNS)]
    table = np.array(sorted(rows), dtype=np.float64).reshape(-1, len(COLUMNS))
    return Arrivals(table[:, 0], table[:, 1].astype(np.int64), np.maximum(table[:, 2].astype(np.int64), 1))


@dataclass(frozen=True, slots=True)
class Lengths:
    """Log-normal prompt and completion lengths, cut at a largest one.

    Attributes:
        prompt: Mean prompt tokens.
        completion: Mean tokens generated.
        cv: Coefficient of variation of both.
        largest: No request has more prompt or completion than this.
    """

    prompt: float
    completion: float
    cv: float = 1.0
    largest: int = 8192

    def draw(self, at: NDArray[np.float64], generator: np.random.Generator) -> Arrivals:
        """Give every time of ``at`` its tokens."""
        return Arrivals(
            at,
            self._column(self.prompt, len(at), generator),
            self._column(self.completion, len(at), generator),
        )

    def _column(self, mean: float, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
        spread = np.log1p(self.cv**2)
        drawn = generator.lognormal(np.log(mean) - spread / 2, np.sqrt(spread), count)
        return np.clip(np.rint(drawn), 1, self.largest).astype(np.int64)


def poisson(rate: float, seconds: float, lengths: Lengths, *, seed: int = 0) -> Arrivals:
    """Draw Poisson arrivals of ``rate`` per second for ``seconds``."""
    generator = np.random.default_rng(seed)
    return lengths.draw(_times(generator, rate, seconds), generator)


def _times(generator: np.random.Generator, rate: float, seconds: float) -> NDArray[np.float64]:
    times: list[NDArray[np.float64]] = []
    last = 0.0
    while last < seconds:
        gaps = generator.exponential(1.0 / rate, size=max(16, int(rate * (seconds - last) * 1.1)))
        times.append(last + np.cumsum(gaps))
        last = float(times[-1][-1])
    at = np.concatenate(times)
    return at[at < seconds]


def rows_of(path: Path, needed: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV, gzipped or not.

    Raises:
        BadInput: The file cannot be read, or lacks one of the columns ``needed``.
    """
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
            reader = csv.DictReader(lines)
            missing = sorted(set(needed) - set(reader.fieldnames or ()))
            if missing:
                raise BadInput(f"{path} has no column {', '.join(missing)}; needed are {', '.join(needed)}.")
            yield from reader
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as a trace: {error}.") from error


def number_of(path: Path, text: str | None) -> float:
    """Read a number of a trace; an empty one is 0.

    Raises:
        BadInput: It is none.
    """
    try:
        return float(text or 0.0)
    except ValueError as error:
        raise BadInput(f"{path} has {text!r} where a number is needed.") from error
