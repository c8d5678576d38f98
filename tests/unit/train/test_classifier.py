from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from offramp.core.errors import EngineError
from offramp.engine.classifier import LinearClassifier
from offramp.train.classifier import train_classifier

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def clouds(classes: int, rows: int = 40) -> tuple[NDArray[np.float32], list[str]]:
    """Rows around one axis for each class."""
    rng = np.random.default_rng(0)
    centres = np.eye(classes, 6, dtype=np.float32)
    labels = [f"class {row % classes}" for row in range(rows)]
    noise = rng.normal(0, 0.05, (rows, 6)).astype(np.float32)
    return centres[[row % classes for row in range(rows)]] + noise, labels


@pytest.mark.parametrize("classes", [1, 2, 3, 5])
def test_separable_classes_are_learned(classes: int) -> None:
    features, labels = clouds(classes)
    classifier = train_classifier(features, labels)
    probabilities = classifier.probabilities(features)
    assert probabilities.shape == (40, classes)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(40))
    assert [classifier.classes[row] for row in probabilities.argmax(axis=1)] == labels


def test_two_classes_are_as_sure_as_logistic_regression_is() -> None:
    features, labels = clouds(2)
    sure = train_classifier(features, labels).probabilities(features).max(axis=1)
    assert sure.min() > 0.8


def test_a_single_class_is_always_the_answer() -> None:
    features, _ = clouds(1)
    classifier = train_classifier(features, ["yes"] * 40)
    assert classifier.classes == ("yes",)
    assert classifier.probabilities(features).tolist() == [[1.0]] * 40


def test_training_is_deterministic() -> None:
    features, labels = clouds(3)
    first, second = (train_classifier(features, labels) for _ in range(2))
    assert np.array_equal(first.weights, second.weights)
    assert np.array_equal(first.bias, second.bias)


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_a_saved_classifier_answers_the_same(classes: int, tmp_path: Path) -> None:
    features, labels = clouds(classes)
    labels = [label + ' "é"' for label in labels]
    classifier = train_classifier(features, labels)
    classifier.save(tmp_path / "c.npz")
    loaded = LinearClassifier.load(tmp_path / "c.npz")
    assert loaded.classes == classifier.classes
    assert np.array_equal(loaded.probabilities(features), classifier.probabilities(features))


def test_large_scores_do_not_overflow() -> None:
    classifier = LinearClassifier(np.array([[1e6], [-1e6]], np.float32), np.zeros(2, np.float32), ("a", "b"))
    assert classifier.probabilities(np.ones((1, 1), np.float32)).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("content", [None, b"", b"nonsense", b"PK\x03\x04broken"])
def test_what_is_no_classifier_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EngineError, match=r"c\.npz is no classifier"):
        LinearClassifier.load(path)


def test_a_file_of_other_arrays_is_no_classifier(tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", weights=np.zeros(3))
    with pytest.raises(EngineError, match="is no classifier"):
        LinearClassifier.load(tmp_path / "c.npz")
