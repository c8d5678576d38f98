from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from offramp.engine.embedder import Remembering, SentenceEmbedder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@pytest.fixture(scope="module")
def embedder() -> SentenceEmbedder:
    return SentenceEmbedder()


class Counting:
    """Embeds a text as its length, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        return np.array([[len(text)] for text in texts], np.float32).reshape(len(texts), 1)


def test_vectors_are_unit_length_and_in_the_order_of_the_texts(embedder: SentenceEmbedder) -> None:
    texts = ["turn off the lights in the kitchen please", "hi", "what is the weather like tomorrow"]
    vectors = embedder.embed(texts)
    assert vectors.shape == (3, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert np.allclose(vectors[1], embedder.embed(["hi"])[0], atol=1e-5)


def test_alike_texts_are_near_and_others_are_not(embedder: SentenceEmbedder) -> None:
    a, b, c = embedder.embed(["turn off the lights", "switch the lamps off", "my flight was cancelled"])
    assert a @ b > a @ c + 0.2


def test_no_texts_give_no_vectors(embedder: SentenceEmbedder) -> None:
    assert embedder.embed([]).shape == (0, 384)


def test_a_text_is_embedded_once() -> None:
    inner = Counting()
    remembering = Remembering(inner)
    remembering.embed(["a", "bb", "a"])
    assert remembering.embed(["bb", "ccc"]).tolist() == [[2.0], [3.0]]
    assert inner.asked == ["a", "bb", "ccc"]


def test_beyond_its_limit_it_forgets_and_starts_again() -> None:
    inner = Counting()
    remembering = Remembering(inner, most=2)
    remembering.embed(["a", "bb"])
    assert remembering.embed(["ccc", "a"]).tolist() == [[3.0], [1.0]]
    assert inner.asked == ["a", "bb", "ccc", "a"]
