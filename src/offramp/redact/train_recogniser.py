"""Train the bundled recogniser.

    python -m offramp.redact.train_recogniser FOLDER [OUT.npz]

FOLDER holds labelled texts (``presidio_*.jsonl.gz``); the home assistant's utterances of the bundled traffic,
whose people and places are labelled too, are added. Only texts whose template is not held out are used. The
same input gives the same weights; it takes some minutes on one core.
"""

from __future__ import annotations

import argparse
import logging
import random
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, sparse

from offramp.redact.corpus import Labelled, read_labelled
from offramp.redact.features import (
    OFFSETS,
    PAD,
    REACH,
    STARTS,
    TOKEN,
    WIDTHS,
    Word,
    is_caseless,
    pair_rows,
    word_of,
)
from offramp.redact.tagger import LABELS, NEIGHBOURS, Weights
from offramp.redact.teaching import (
    IGNORED,
    SEED,
    from_templates,
    label_at,
    ordinary_words,
    read_plain,
    read_utterances,
    shuffled_values,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_COPIES = 3
_SPARING = 0.35
_LEAN = 1.0
"""Taken off the score of "nothing": to miss a name is worse than to mask a word too many."""


def main() -> None:
    """Train on the folder given on the command line, and write the weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="labelled texts, presidio_*.jsonl.gz")
    bundled = resources.files("offramp.assets") / "recogniser" / "weights.npz"
    parser.add_argument("out", type=Path, nargs="?", default=Path(str(bundled)), help="default: %(default)s")
    parser.add_argument("--iterations", type=int, default=40)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    texts = [text for text in read_labelled(arguments.folder) if not text.held_out]
    texts = shuffled_values(texts, _COPIES) + from_templates(texts)
    texts += [text for text in (*read_utterances(), *read_plain()) if not text.held_out]
    words = "\n".join(ordinary_words(texts)) + "\n"
    arguments.out.with_name("common.txt").write_text(words, encoding="utf-8")
    train(texts, iterations=arguments.iterations).save(arguments.out)
    log.info("wrote %s, %d bytes", arguments.out, arguments.out.stat().st_size)


def train(texts: Sequence[Labelled], *, iterations: int) -> Weights:
    """Fit both rounds of weights."""
    started = time.perf_counter()
    matrix, labels = encode(texts)
    log.info("%d texts, %d tokens, encoded in %.0f s", len(texts), len(labels), time.perf_counter() - started)
    half = len(labels) // 2
    # The second round learns from scores of tokens that the first one has not been fitted on.
    folds = (np.arange(len(labels)) < half, np.arange(len(labels)) >= half)
    scores = np.zeros((len(labels), len(LABELS)), np.float32)
    for fold in folds:
        partial = fit_first(matrix[~fold], labels[~fold], iterations // 2)
        scores[fold] = matrix[fold] @ partial
        log.info("a fold after %.0f s", time.perf_counter() - started)
    second = fit_second(scores, labels, iterations)
    first = fit_first(matrix, labels, iterations)
    bias = np.zeros(len(LABELS), np.float32)
    bias[0] = -_LEAN
    log.info("fitted after %.0f s", time.perf_counter() - started)
    return Weights(first, second, bias)


def encode(texts: Sequence[Labelled], *, dropped: float = 0.0) -> tuple[sparse.csr_matrix, NDArray[np.int64]]:
    """Return features, (tokens, rows of weights), and labels; padding between texts is a token to ignore."""
    rng = random.Random(SEED)  # noqa: S311 - as above
    words: list[Word] = [word_of(PAD, caseless=False)] * REACH
    labels: list[int] = []
    known: dict[tuple[str, bool, bool], Word] = {}
    for text in _by_template(texts, rng):
        caseless = is_caseless(text.text)
        for match in TOKEN.finditer(text.text):
            label = label_at(text.spans, match.start())
            key = (match.group(), caseless, label > 0 and rng.random() < _SPARING)
            if key not in known:
                known[key] = word_of(key[0], caseless=caseless, sparing=key[2])
            words.append(known[key])
            labels.append(label)
        words += words[:REACH]
        labels += [IGNORED] * REACH
    return _matrix(words, len(labels) - REACH, dropped), np.array(labels[: len(labels) - REACH])


def _by_template(texts: Sequence[Labelled], rng: random.Random) -> list[Labelled]:
    """Shuffle the templates; the texts of each stay together, so half of the list is half of them."""
    templates: dict[str, list[Labelled]] = {}
    for text in texts:
        templates.setdefault(text.group, []).append(text)
    order = sorted(templates)
    rng.shuffle(order)
    return [text for template in order for text in templates[template]]


def _matrix(words: list[Word], count: int, dropped: float) -> sparse.csr_matrix:
    columns = np.full((count, sum(WIDTHS) + 5), STARTS[-1], np.int32)
    at = 0
    for block, (offset, width) in enumerate(zip(OFFSETS, WIDTHS, strict=True)):
        for row, word in enumerate(words[REACH + offset : REACH + offset + count]):
            listed = word.rows[block]
            columns[row, at : at + len(listed)] = listed
        at += width
    hashes = [
        np.array([getattr(word, name) for word in words], np.uint64) for name in ("word", "form", "shape")
    ]
    columns[:, at:] = pair_rows(*hashes).T
    # Features drop out at random, so that none is relied upon alone (Wager et al. 2013, arXiv:1307.1493).
    kept = np.random.default_rng(SEED).random(columns.shape, np.float32) >= dropped
    present = (columns < STARTS[-1]) * kept / np.float32(1.0 - dropped)
    starts = np.arange(count + 1) * columns.shape[1]
    matrix = sparse.csr_matrix(
        (present.astype(np.float32).ravel(), columns.ravel(), starts), shape=(count, STARTS[-1] + 1)
    )
    return matrix[:, :-1].tocsr()


def fit_first(
    matrix: sparse.csr_matrix, labels: NDArray[np.int64], iterations: int, *, decay: float = 3.0
) -> NDArray[np.float32]:
    """Fit multinomial logistic regression by L-BFGS."""
    keep = labels != IGNORED
    matrix, labels = matrix[keep], labels[keep]
    transposed = matrix.T.tocsr()
    wanted = np.eye(len(LABELS), dtype=np.float32)[labels]
    shape = (matrix.shape[1], len(LABELS))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(shape).astype(np.float32)
        value, slope = _cross_entropy(matrix @ weights, wanted)
        gradient = (transposed @ slope).astype(np.float64).ravel() + decay * flat
        return value + decay / 2 * float(flat @ flat), gradient

    start = np.zeros(shape[0] * shape[1])
    found = optimize.minimize(
        loss, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations, "maxcor": 6}
    )
    fitted: NDArray[np.float32] = found.x.reshape(shape).astype(np.float32)
    return fitted


def fit_second(
    scores: NDArray[np.float32], labels: NDArray[np.int64], iterations: int, *, decay: float = 10.0
) -> NDArray[np.float32]:
    """Fit what neighbours' labels say, given the first round's scores of unseen tokens."""
    count = len(LABELS)
    probable = np.exp(scores - scores.max(axis=1, keepdims=True))
    probable /= probable.sum(axis=1, keepdims=True)
    probable[labels == IGNORED] = 0.0
    padded = np.pad(probable, ((2, 2), (0, 0)))
    said = np.hstack([padded[2 + offset : 2 + offset + len(scores)] for offset in NEIGHBOURS])
    keep = labels != IGNORED
    wanted = np.eye(count, dtype=np.float32)[labels[keep]]
    known, inputs = scores[keep], said[keep]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, slope = _cross_entropy(known + inputs @ flat.reshape(-1, count).astype(np.float32), wanted)
        gradient = (inputs.T @ slope).astype(np.float64).ravel() + decay * flat
        return value + decay / 2 * float(flat @ flat), gradient

    start = np.zeros(len(NEIGHBOURS) * count * count)
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations})
    second: NDArray[np.float32] = found.x.reshape(len(NEIGHBOURS), count, count).astype(np.float32)
    return second


def _cross_entropy(
    scores: NDArray[np.float32], wanted: NDArray[np.float32]
) -> tuple[float, NDArray[np.float32]]:
    """Return the summed loss and its slope by the scores."""
    probable = np.exp(scores - scores.max(axis=1, keepdims=True))
    probable /= probable.sum(axis=1, keepdims=True)
    value = -float(np.log(np.maximum((probable * wanted).sum(axis=1), 1e-12)).sum())
    return value, probable - wanted


if __name__ == "__main__":
    main()
