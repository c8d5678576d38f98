"""The classical candidate: softmax regression on sentence embeddings."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # it ships no types

from offramp.engine.classifier import LinearClassifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

INVERSE_REGULARISATION = 20.0
ITERATIONS = 100


def train_classifier(features: NDArray[np.float32], labels: Sequence[str]) -> LinearClassifier:
    """Fit softmax regression (L2, L-BFGS; deterministic).

    Args:
        features: Shape (rows, features).
        labels: One class name per row.

    Returns:
        A classifier over the classes seen; with a single class it always answers that one.
    """
    classes = tuple(sorted(set(labels)))
    if len(classes) == 1:
        return LinearClassifier(
            np.zeros((1, features.shape[1]), np.float32), np.zeros(1, np.float32), classes
        )
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=ITERATIONS)
    # One thread: the products are small, and threads that wait for one another on shared cores cost 30 times.
    with threadpool_limits(limits=1, user_api="blas"), warnings.catch_warnings():
        # A fit stopped at the iteration limit is still judged on validation data like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, np.asarray(labels))
    weights, bias = np.asarray(model.coef_, np.float32), np.asarray(model.intercept_, np.float32)
    if len(classes) == 2:
        # Two classes come back as one row: the log-odds of the second.
        weights, bias = np.vstack([-weights / 2, weights / 2]), np.concatenate([-bias / 2, bias / 2])
    return LinearClassifier(weights, bias, tuple(str(name) for name in model.classes_))
