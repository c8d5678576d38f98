"""How well a confidence means what it says: the numbers behind a reliability diagram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offramp.certify.bounds import interval
from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from offramp.certify.units import Bools, Floats


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bar of the diagram.

    Attributes:
        low: Lower edge of the confidence, inclusive.
        high: Upper edge, exclusive but for the last bin.
        n: Calls in it.
        confidence: Their mean confidence.
        agreement: Share of them that agree with the teacher.
        agreement_low: Clopper-Pearson lower bound on that share, two-sided 95 % (calls as independent).
        agreement_high: The upper one.
    """

    low: float
    high: float
    n: int
    confidence: float
    agreement: float
    agreement_low: float
    agreement_high: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """A reliability diagram.

    Attributes:
        bins: Bins that hold calls, in order.
        error: Expected calibration error: mean distance of confidence and agreement, by calls.
    """

    bins: tuple[ReliabilityBin, ...]
    error: float


def reliability(confidence: Floats, loss: Bools, bins: int = 10) -> Reliability:
    """Sort calls into equally wide bins of confidence and compare each bin with its agreement.

    Args:
        confidence: Shape (m,), 0 to 1.
        loss: True where the answer disagreed, shape (m,).
        bins: How many bins, 1 or more.

    Raises:
        BadInput: No bins, or shapes that differ.
    """
    if bins < 1 or len(confidence) != len(loss):
        raise BadInput(
            f"{bins} bins, {len(confidence)} confidences, {len(loss)} losses; 1 bin or more, equal lengths."
        )
    place = np.minimum((np.asarray(confidence) * bins).astype(np.intp), bins - 1)
    found = tuple(
        _bin(at / bins, (at + 1) / bins, confidence[place == at], loss[place == at])
        for at in np.unique(place).tolist()
    )
    off = sum(one.n * abs(one.confidence - one.agreement) for one in found)
    return Reliability(found, off / len(confidence) if len(confidence) else 0.0)


def _bin(low: float, high: float, confidence: Floats, loss: Bools) -> ReliabilityBin:
    n, errors = len(loss), int(np.count_nonzero(loss))
    at_least, at_most = interval(n, errors, 0.05)
    return ReliabilityBin(
        low, high, n, float(confidence.mean()), 1.0 - errors / n, 1.0 - at_most, 1.0 - at_least
    )
