"""What others do with the same calls: clusters of embeddings, and a plain hash of the signature."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sklearn.cluster import HDBSCAN, KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score

from offramp.core.call import functions_of, last_user_text, text_of
from offramp.core.json import digest
from offramp.discover.signature import static_text
from offramp.engine.embedder import SentenceEmbedder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from bench.discover.traffic import Labelled
    from numpy.typing import NDArray

    from offramp.core.call import Call

KS = (5, 10, 20, 40, 80, 160)
"""Numbers of clusters that the silhouette chooses from."""

REDUCED = 15
CHARACTERS = 2_000
"""Characters of a text that are embedded; the encoder reads 128 tokens of them."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """One way to group calls.

    Attributes:
        name: What the table calls it.
        groups: Group by call id.
        seconds: CPU seconds, embedding included.
        remark: What it chose.
    """

    name: str
    groups: Mapping[str, str]
    seconds: float
    remark: str


def run(labelled: Sequence[Labelled]) -> list[Baseline]:
    """Run every baseline on the same calls."""
    calls = [item.call for item in labelled]
    encoder = SentenceEmbedder()
    result = [_hashed(calls)]
    for name, text in (("user message", last_user_text), ("system + tools + user", everything)):
        started = time.process_time()
        vectors = encoder.embed([text(call.request)[:CHARACTERS] for call in calls])
        embedded = time.process_time() - started
        result.append(_timed(f"k-means, {name}", calls, vectors, _kmeans, embedded))
        result.append(_timed(f"HDBSCAN on {REDUCED} components, {name}", calls, vectors, _hdbscan, embedded))
    return result


def everything(request: dict[str, object]) -> str:
    """Return the names of the tools, the prompt and the last user message as one text."""
    kind, static = static_text(request)
    tools = " ".join(str(function.get("name")) for function in functions_of(request))
    user = last_user_text(request)
    # A part each, so that a long prompt does not push the others past what the encoder reads.
    return f"{static[:250] if kind == 'system' else ''}\n{tools[:120]}\n{user[:250]}"


def _timed(
    name: str,
    calls: Sequence[Call],
    vectors: NDArray[np.float32],
    group: Callable[[NDArray[np.float32]], tuple[list[str], str]],
    embedded: float,
) -> Baseline:
    started = time.process_time()
    labels, remark = group(vectors)
    seconds = embedded + time.process_time() - started
    pairs = zip(calls, labels, strict=True)
    return Baseline(name, {call.id: label for call, label in pairs if label != "-1"}, seconds, remark)


def _kmeans(vectors: NDArray[np.float32]) -> tuple[list[str], str]:
    """K-means with the K of the best silhouette, which is how OpenTracy does it."""
    tried = []
    for k in KS:
        labels = KMeans(k, n_init=3, random_state=0).fit_predict(vectors)
        score = silhouette_score(vectors, labels, sample_size=2_000, random_state=0)
        tried.append((float(score), k, labels))
    _, k, labels = max(tried, key=lambda item: item[0])
    return [str(label) for label in labels], f"K = {k}"


def _hdbscan(vectors: NDArray[np.float32]) -> tuple[list[str], str]:
    reduced = PCA(REDUCED, random_state=0).fit_transform(vectors)
    labels = HDBSCAN(min_cluster_size=10, copy=True).fit_predict(reduced)
    return [str(label) for label in labels], f"{int((labels < 0).sum())} calls of {len(labels)} are noise"


def _hashed(calls: Sequence[Call]) -> Baseline:
    started = time.process_time()
    groups = {call.id: _signature_hash(call) for call in calls}
    return Baseline("hash of prompt, tools and format", groups, time.process_time() - started, "")


def _signature_hash(call: Call) -> str:
    request = call.request
    messages = request.get("messages") or []
    prompt = [text_of(m.get("content")) for m in messages if m.get("role") == "system"]
    return digest([prompt, functions_of(request), request.get("response_format")])
