"""Sentence embeddings of all calls, computed once and kept as plain arrays."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
from bench.peers.traffic import embedded_text

from offramp.core.json import digest
from offramp.core.render import payload_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.peers.traffic import Traffic
    from numpy.typing import NDArray

    from offramp.engine.embedder import Embedder

    Vectors = NDArray[np.float32]


class Known:
    """An embedder that looks texts up, and computes those it does not know.

    Args:
        texts: Texts that are known.
        vectors: Their unit vectors, shape (len(texts), dimensions).
        inner: Computes the others.
    """

    def __init__(self, texts: Sequence[str], vectors: Vectors, inner: Embedder) -> None:
        self._rows = {text: row for row, text in enumerate(texts)}
        self._vectors = vectors
        self._inner = inner

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, shape (len(texts), dimensions)."""
        if all(text in self._rows for text in texts):
            return self._vectors[[self._rows[text] for text in texts]]
        return self._inner.embed(texts)


def known(traffic: Traffic, cache: Path, inner: Embedder) -> Known:
    """Embed what peers and offramp's own students read of every call, or read it from the cache."""
    asked = [row.call.request for row in traffic.rows]
    texts = list(dict.fromkeys(embedded_text(request) for request in asked))
    if traffic.unit is not None:
        texts = list(dict.fromkeys([*texts, *(payload_of(request) for request in asked)]))
    path = cache / "vectors" / f"{traffic.source.name}-{digest(texts, size=8)}.npy"
    if path.exists():
        return Known(texts, np.load(path, allow_pickle=False), inner)
    print(f"{traffic.source.title}: embedding {len(texts):,} texts, once ...", file=sys.stderr, flush=True)
    vectors = inner.embed(texts)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors)
    return Known(texts, vectors, inner)
