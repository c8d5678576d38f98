from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from offramp.certify.calibrator import IsotonicCalibrator, LogisticCalibrator, load
from offramp.core.errors import BadInput

SCORES = arrays(np.float64, st.integers(1, 40), elements=st.floats(-50.0, 50.0, width=32))


def labelled(seed: int, rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 2)) * [1.0, 30.0] + [5.0, -100.0]
    logit = 1.5 * (features[:, 0] - 5.0) - 0.02 * (features[:, 1] + 100.0) + 0.5
    return features, rng.random(rows) < 1.0 / (1.0 + np.exp(-logit))


def test_logistic_finds_the_probabilities_that_made_the_data() -> None:
    fitted = LogisticCalibrator.fit(*labelled(0))
    slopes = np.array(fitted.weights) / np.array(fitted.scale)
    assert slopes == pytest.approx([1.5, -0.02], rel=0.15)
    assert float(fitted.predict(np.array([[5.0, -100.0]]))[0]) == pytest.approx(0.62, abs=0.04)


def test_logistic_fits_the_mean_of_its_smoothed_targets() -> None:
    features, agreed = labelled(1, 300)
    hits = int(agreed.sum())
    target = hits * (hits + 1) / (hits + 2) + (300 - hits) / (300 - hits + 2)
    assert float(LogisticCalibrator.fit(features, agreed).predict(features).sum()) == pytest.approx(target)


def test_logistic_reaches_its_minimum_on_separable_calls_with_wild_features() -> None:
    rng = np.random.default_rng(0)
    for _ in range(150):
        rows = int(rng.integers(3, 400))
        features = rng.standard_cauchy((rows, 1)) ** 3
        agreed = features[:, 0] > np.quantile(features, rng.random())
        hits = int(agreed.sum())
        target = hits * (hits + 1) / (hits + 2) + (rows - hits) / (rows - hits + 2)
        chances = LogisticCalibrator.fit(features, agreed, ridge=1e-6).predict(features)
        assert float(chances.sum()) == pytest.approx(target, abs=1e-4)


def test_a_stronger_ridge_gives_smaller_weights() -> None:
    features, agreed = labelled(2, 200)
    weak, strong = (LogisticCalibrator.fit(features, agreed, ridge=ridge) for ridge in (0.01, 100.0))
    assert np.abs(strong.weights).sum() < np.abs(weak.weights).sum()


@pytest.mark.parametrize("kind", ["all agree", "none agree", "separable", "constant feature", "one call"])
def test_logistic_stays_finite_on_hard_data(kind: str) -> None:
    features = np.linspace(-1.0, 1.0, 50).reshape(-1, 1) * 1e6
    agreed = features[:, 0] > 0.0
    if kind == "constant feature":
        features = np.full((50, 1), 0.1)
    if kind.endswith("agree"):
        agreed = np.full(50, kind.startswith("all"))
    if kind == "one call":
        features, agreed = features[:1], agreed[:1]
    chances = LogisticCalibrator.fit(features, agreed, ridge=1e-6).predict(features)
    assert bool(np.all((chances > 0.0) & (chances < 1.0)))
    assert kind != "separable" or bool(np.all((chances > 0.5) == agreed))


@given(SCORES, st.data())
@settings(max_examples=50)
def test_logistic_survives_storage(score: np.ndarray, data: st.DataObject) -> None:
    agreed = data.draw(arrays(np.bool_, len(score)))
    fitted = LogisticCalibrator.fit(score.reshape(-1, 1), agreed)
    stored = load(json.loads(json.dumps(fitted.to_dict())))
    assert stored == fitted
    assert stored.predict(score.reshape(-1, 1)).tolist() == fitted.predict(score.reshape(-1, 1)).tolist()


@given(SCORES, st.data())
@settings(max_examples=50)
def test_isotonic_survives_storage_and_rises(score: np.ndarray, data: st.DataObject) -> None:
    agreed = data.draw(arrays(np.bool_, len(score)))
    fitted = IsotonicCalibrator.fit(score, agreed)
    stored = load(json.loads(json.dumps(fitted.to_dict())))
    assert stored == fitted
    chances = stored.predict(np.sort(score))
    assert bool(np.all(np.diff(chances) >= -1e-12))
    assert bool(np.all((chances >= 0.0) & (chances <= 1.0)))
    assert float(fitted.predict(score).sum()) == pytest.approx(float(agreed.sum()))


def test_isotonic_pools_what_falls() -> None:
    fitted = IsotonicCalibrator.fit(
        np.array([1.0, 2.0, 2.0, 3.0, 4.0]), np.array([False, True, True, False, True])
    )
    assert fitted.probabilities == pytest.approx((0.0, 2 / 3, 2 / 3, 1.0))


def test_isotonic_holds_its_ends() -> None:
    fitted = IsotonicCalibrator.fit(np.array([1.0, 2.0]), np.array([False, True]))
    assert fitted.predict(np.array([-9.0, 1.5, 9.0])).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("features", "agreed"),
    [
        (np.empty((0, 1)), np.empty(0, dtype=np.bool_)),
        (np.zeros((2, 1)), np.zeros(3, dtype=np.bool_)),
        (np.zeros(2), np.zeros(2, dtype=np.bool_)),
    ],
)
def test_shapes_that_do_not_match_are_refused(features: np.ndarray, agreed: np.ndarray) -> None:
    with pytest.raises(BadInput, match="is needed"):
        LogisticCalibrator.fit(features, agreed)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(BadInput, match="not finite"):
        IsotonicCalibrator.fit(np.array([1.0, np.nan]), np.array([True, False]))


def test_a_ridge_of_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match=r"ridge is 0\.0"):
        LogisticCalibrator.fit(np.zeros((2, 1)), np.array([True, False]), ridge=0.0)


def test_another_number_of_features_is_refused() -> None:
    fitted = LogisticCalibrator.fit(*labelled(3, 50))
    with pytest.raises(BadInput, match=r"takes \(m, 2\)"):
        fitted.predict(np.zeros((1, 3)))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(BadInput, match="'platt'"):
        load({"kind": "platt"})
