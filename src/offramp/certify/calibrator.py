"""From what a specialist reports about an answer to the probability that it agrees with the teacher.

Fitted on validation calls only. A calibrator never decides a promise (the threshold's test does), it
decides how much coverage the promise leaves: it has to put the calls in the right order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from offramp.certify.units import Bools, Floats
    from offramp.core.json import JsonObject

_STEPS: Final = 100
_HALVINGS: Final = 30
_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class LogisticCalibrator:
    """Logistic regression on standardised features; on one score it is Platt's scaling.

    Attributes:
        mean: Mean of each feature on the validation calls.
        scale: Standard deviation of each, 1 where it does not vary.
        weights: Coefficient of each standardised feature.
        bias: Intercept.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    @classmethod
    def fit(cls, features: Floats, agreed: Bools, *, ridge: float = 1.0) -> Self:
        """Fit by Newton's method with step halving.

        Targets are smoothed as in Platt (1999), ``(a + 1) / (a + 2)`` and ``1 / (d + 2)`` for a
        agreements and d disagreements, so that separable calls give finite weights.

        Args:
            features: Shape (m, d), finite.
            agreed: True where the answer agreed with the teacher, shape (m,).
            ridge: Penalty on the squared weights (not on the bias), above 0.

        Raises:
            BadInput: No calls, shapes that do not match, values that are not finite, ridge of 0 or less.
        """
        rows = _checked(features, agreed)
        if not ridge > 0.0:
            raise BadInput(f"ridge is {ridge}; it must be above 0.")
        mean, scale = rows.mean(axis=0), rows.std(axis=0)
        scale = np.where(scale > _TOLERANCE * (1.0 + np.abs(mean)), scale, 1.0)
        design = np.column_stack([(rows - mean) / scale, np.ones(len(rows))])
        penalty = np.append(np.full(rows.shape[1], ridge), 0.0)
        solved = _newton(design, _smoothed(agreed), penalty)
        return cls(_tuple(mean), _tuple(scale), _tuple(solved[:-1]), float(solved[-1]))

    def predict(self, features: Floats) -> Floats:
        """Return the probability of agreement of each row, shape (m,).

        Args:
            features: Shape (m, d).

        Raises:
            BadInput: Another number of features than was fitted.
        """
        rows = np.asarray(features, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.weights):
            raise BadInput(
                f"Features have shape {rows.shape}; this calibrator takes (m, {len(self.weights)})."
            )
        standard = (rows - np.array(self.mean)) / np.array(self.scale)
        return _sigmoid(standard @ np.array(self.weights) + self.bias)

    def to_dict(self) -> JsonObject:
        """Return it as JSON, with ``kind`` saying what it is."""
        return {
            "kind": "logistic",
            "mean": list(self.mean),
            "scale": list(self.scale),
            "weights": list(self.weights),
            "bias": self.bias,
        }

    @classmethod
    def from_dict(cls, value: JsonObject) -> Self:
        """Read what ``to_dict`` wrote."""
        return cls(
            _tuple(value["mean"]), _tuple(value["scale"]), _tuple(value["weights"]), float(value["bias"])
        )


@dataclass(frozen=True, slots=True)
class IsotonicCalibrator:
    """A rising curve through the agreement at each level of one score (pool adjacent violators).

    Attributes:
        scores: Rising scores.
        probabilities: Agreement at each, rising; in between it is interpolated, beyond it is held.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    @classmethod
    def fit(cls, score: Floats, agreed: Bools) -> Self:
        """Fit on validation calls.

        Args:
            score: Shape (m,), finite; more means surer.
            agreed: True where the answer agreed with the teacher, shape (m,).

        Raises:
            BadInput: No calls, shapes that do not match, or values that are not finite.
        """
        rows = _checked(np.asarray(score, dtype=np.float64).reshape(-1, 1), agreed)[:, 0]
        levels, place = np.unique(rows, return_inverse=True)
        counts = np.asarray(np.bincount(place), dtype=np.float64)
        hits = np.asarray(np.bincount(place, weights=agreed), dtype=np.float64)
        return cls(_tuple(levels), _tuple(_pooled(hits, counts)))

    def predict(self, score: Floats) -> Floats:
        """Return the probability of agreement of each score, shape (m,)."""
        return np.asarray(np.interp(score, self.scores, self.probabilities), dtype=np.float64)

    def to_dict(self) -> JsonObject:
        """Return it as JSON, with ``kind`` saying what it is."""
        return {"kind": "isotonic", "scores": list(self.scores), "probabilities": list(self.probabilities)}

    @classmethod
    def from_dict(cls, value: JsonObject) -> Self:
        """Read what ``to_dict`` wrote."""
        return cls(_tuple(value["scores"]), _tuple(value["probabilities"]))


Calibrator = LogisticCalibrator | IsotonicCalibrator
"""Either kind."""


def load(value: JsonObject) -> Calibrator:
    """Read a stored calibrator of either kind.

    Raises:
        BadInput: An unknown kind.
    """
    kinds: dict[object, type[LogisticCalibrator | IsotonicCalibrator]] = {
        "logistic": LogisticCalibrator,
        "isotonic": IsotonicCalibrator,
    }
    found = kinds.get(value.get("kind"))
    if found is None:
        raise BadInput(
            f"A stored calibrator is of kind {value.get('kind')!r}; known are {sorted(map(str, kinds))}."
        )
    return found.from_dict(value)


def _checked(features: Floats, agreed: Bools) -> Floats:
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or len(rows) != len(agreed) or not len(rows):
        raise BadInput(
            f"Features have shape {rows.shape} for {len(agreed)} calls; (m, d) for m > 0 calls is needed."
        )
    if not bool(np.isfinite(rows).all()):
        raise BadInput("A feature is not finite.")
    return rows


def _smoothed(agreed: Bools) -> Floats:
    hits = np.count_nonzero(agreed)
    return np.where(agreed, (hits + 1.0) / (hits + 2.0), 1.0 / (len(agreed) - hits + 2.0))


def _newton(design: Floats, target: Floats, penalty: Floats) -> Floats:
    """Minimise the penalised cross-entropy, which is convex; every step lowers it."""
    at = np.zeros(design.shape[1])
    value = _objective(at, design, target, penalty)
    for _ in range(_STEPS):
        chance = _sigmoid(design @ at)
        slope = design.T @ (chance - target) + penalty * at
        if float(np.abs(slope).max()) < _TOLERANCE * len(target):
            break
        bend = (design * (chance * (1.0 - chance))[:, None]).T @ design + np.diag(penalty + _TOLERANCE)
        step = np.linalg.solve(bend, slope)
        for _ in range(_HALVINGS):
            lower = _objective(at - step, design, target, penalty)
            if lower <= value:
                break
            step = step / 2.0
        at, value = at - step, lower
    return at


def _objective(at: Floats, design: Floats, target: Floats, penalty: Floats) -> float:
    logit = design @ at
    return float(np.sum(np.logaddexp(0.0, logit) - target * logit) + 0.5 * np.sum(penalty * at * at))


def _sigmoid(logit: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0.0, -logit)), dtype=np.float64)


def _pooled(hits: Floats, counts: Floats) -> Floats:
    """Merge neighbouring levels until their means rise; return the mean of each level's block."""
    blocks: list[tuple[float, float, int]] = []
    for hit, count in zip(hits.tolist(), counts.tolist(), strict=True):
        block = (hit, count, 1)
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2] + block[2])
        blocks.append(block)
    return np.repeat([hit / count for hit, count, _ in blocks], [size for _, _, size in blocks])


def _tuple(values: Floats | list[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
