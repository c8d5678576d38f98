"""Rates by client and window, as ServeGen (arXiv 2505.09999) publishes them, and requests drawn from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offramp.core.errors import BadInput
from offramp.simulate.arrivals import merged, number_of, rows_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from offramp.simulate.arrivals import Arrivals, Lengths

COLUMNS = ("client", "window_start_s", "requests_per_s", "interarrival_cv")
"""What a trace of rates needs; more columns are allowed."""

_LEAST_CV = 0.01
"""Less variation is as good as none; the gamma's shape would overflow there."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Measured rates.

    Attributes:
        clients: Their names.
        start_s: Start of the first window, seconds.
        width_s: Seconds of each window; the next begins where it ends.
        per_s: Requests a second, shape ``(clients, windows)``.
        cv: Coefficient of variation of the times between them, shape ``(clients, windows)``.
    """

    clients: tuple[str, ...]
    start_s: float
    width_s: float
    per_s: NDArray[np.float64]
    cv: NDArray[np.float64]

    @property
    def windows(self) -> int:
        """How many there are."""
        return int(self.per_s.shape[1])

    @property
    def burst(self) -> NDArray[np.float64]:
        """Coefficient of variation that a window can show: `cv`, 1 where none was measured, at most as below.

        That of ``n`` gaps is at most the root of ``n - 1`` (Katsnelson and Kotz, 1957); fits to few requests
        with a long pause between them are far above.
        """
        return self._shown(self.per_s, self.cv)

    @property
    def variance(self) -> NDArray[np.float64]:
        """Variance of the requests in a second, over many seconds: rate times squared variation."""
        made: NDArray[np.float64] = self.per_s * self.burst**2
        return made

    def scaled(self, factor: float) -> Rates:
        """Return the same with every rate ``factor`` times as high.

        Fewer requests are a random part of those there were, which come less in bursts: of what variance over
        mean has above 1, a factor is left (thinning; Cox and Isham, Point Processes, 1980).
        """
        if factor <= 0:
            raise BadInput(f"Rates are to be multiplied by {factor:g}; a factor above 0 is needed.")
        thinned = np.sqrt(1.0 + factor * np.maximum(self.cv**2 - 1.0, 0.0))
        cv = np.where(self.cv > 1.0, thinned, self.cv) if factor < 1.0 else self.cv
        return Rates(self.clients, self.start_s, self.width_s, self.per_s * factor, cv)

    def of(self, *clients: str) -> Rates:
        """Return the same for some clients only, in the order given."""
        rows = [self.clients.index(name) for name in clients]
        return Rates(clients, self.start_s, self.width_s, self.per_s[rows], self.cv[rows])

    def draw(self, client: int, start: float, end: float, lengths: Lengths, *, seed: int = 0) -> Arrivals:
        """Draw one client's requests.

        Times between arrivals are gamma distributed with the window's coefficient of variation, so that
        bursts are as strong as measured, and scaled to the window, so that there are as many as measured.
        A window gives the same requests whatever part of it is asked for.

        Args:
            client: Index in `clients`.
            start: First second taken, counted from the start of the first window.
            end: Second until before which is taken.
            lengths: How to draw the tokens: the traces have rates only.
            seed: Of all draws.

        Returns:
            The requests, their times counted from ``start``.
        """
        first = max(0, int(start // self.width_s))
        last = min(self.windows, -int(-end // self.width_s))
        # Named, as rows are cut out for some clients: a client's requests stay the same.
        name = [*self.clients[client].encode()]
        drawn = [lengths.draw(np.empty(0), np.random.default_rng(seed))]
        burst = self._shown(self.per_s[client], self.cv[client])
        for window in range(first, last):
            generator = np.random.default_rng([seed, window, *name])
            times = self._times(generator, float(self.per_s[client, window]), float(burst[window]))
            drawn.append(lengths.draw(window * self.width_s + times, generator))
        return merged(drawn).between(start, end)

    def _shown(self, per_s: NDArray[np.float64], cv: NDArray[np.float64]) -> NDArray[np.float64]:
        most = np.sqrt(np.maximum(per_s * self.width_s, 1.0))
        return np.minimum(np.where(cv > 0.0, cv, 1.0), most)

    def _times(self, generator: np.random.Generator, rate: float, cv: float) -> NDArray[np.float64]:
        """Draw the times of one window's requests, seconds from its start."""
        count = int(rate * self.width_s + generator.random())
        gaps = generator.gamma(1.0 / max(cv, _LEAST_CV) ** 2, size=count + 1)
        times: NDArray[np.float64] = np.cumsum(gaps)[:-1] / gaps.sum() * self.width_s
        return times


def read_rates(path: Path) -> Rates:
    """Read a CSV of rates, gzipped or not, with a row per client and window (`COLUMNS`).

    Raises:
        BadInput: The file cannot be read, a column or a number is missing, windows are not equally wide, or a
            rate is below 0.
    """
    table = [tuple(number_of(path, row[name]) for name in COLUMNS[1:]) for row in rows_of(path, COLUMNS)]
    names = [row["client"] for row in rows_of(path, COLUMNS)]
    clients = tuple(dict.fromkeys(names))
    starts = sorted({start for start, _, _ in table})
    widths = np.diff(starts)
    if len(widths) == 0 or not np.allclose(widths, widths[0]):
        raise BadInput(
            f"{path} has no windows of one width; needed are two or more, each beginning where one ends."
        )
    per_s = np.zeros((len(clients), len(starts)))
    cv = np.zeros_like(per_s)
    rows = {name: place for place, name in enumerate(clients)}
    columns = {start: place for place, start in enumerate(starts)}
    for name, (start, rate, variation) in zip(names, table, strict=True):
        if rate < 0.0:
            raise BadInput(f"{path} has the rate {rate:g} for client {name!r}; rates are 0 or more.")
        per_s[rows[name], columns[start]] = rate
        cv[rows[name], columns[start]] = variation
    return Rates(clients, starts[0], float(widths[0]), per_s, cv)
