from __future__ import annotations

import numpy as np
import pytest

from offramp.certify.reliability import reliability
from offramp.core.errors import BadInput


def test_bins_count_compare_and_skip_the_empty() -> None:
    confidence = np.array([0.05, 0.95, 0.95, 1.0])
    loss = np.array([True, False, False, True])
    found = reliability(confidence, loss)
    assert [(one.low, one.high, one.n) for one in found.bins] == [(0.0, 0.1, 1), (0.9, 1.0, 3)]
    assert found.bins[1].confidence == pytest.approx(0.9667, abs=1e-4)
    assert found.bins[1].agreement == pytest.approx(2 / 3)
    assert found.error == pytest.approx((0.05 + 3 * (0.9667 - 2 / 3)) / 4, abs=1e-4)


def test_a_bin_has_an_interval_round_its_agreement() -> None:
    (one,) = reliability(np.full(50, 0.8), np.arange(50) < 10, bins=1).bins
    assert 0.0 < one.agreement_low < one.agreement < one.agreement_high < 1.0


def test_a_calibrated_confidence_has_a_small_error_and_a_boastful_one_a_large() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(20_000)
    loss = rng.random(20_000) > confidence
    assert reliability(confidence, loss).error < 0.02
    assert reliability(np.sqrt(confidence), loss).error > 0.1


def test_no_calls_give_no_bins() -> None:
    found = reliability(np.empty(0), np.empty(0, dtype=np.bool_))
    assert (found.bins, found.error) == ((), 0.0)


@pytest.mark.parametrize(("calls", "bins"), [(2, 0), (1, 5)])
def test_impossible_requests_are_refused(calls: int, bins: int) -> None:
    with pytest.raises(BadInput, match="equal lengths"):
        reliability(np.full(2, 0.5), np.zeros(calls, dtype=np.bool_), bins=bins)
