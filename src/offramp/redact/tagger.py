"""The bundled recogniser: a linear tagger of tokens, in numpy alone.

Each token gets the label with the highest sum of weights (multinomial logistic regression over hashed
features of a window), after one round in which its neighbours' probable labels have a say, as in the
mean-field approximation of a linear-chain CRF. `train_recogniser` makes its weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from offramp.redact.features import OFFSETS, PAD, REACH, TOKEN, WIDTHS, is_caseless, pair_rows, word_of
from offramp.redact.recogniser import KINDS, Span
from offramp.redact.words import ASSETS, FOLDER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from numpy.typing import NDArray

LABELS = ("", *KINDS)
"""Label 0 is everything else."""

NEIGHBOURS = (-1, 1, -2, 2)
"""Whose labels have a say, and the order of the second round's weights."""

_WORDS = 32_768
_JOINING = frozenset(" \n\t\r.,'\u2019-/&\\>?:;")
_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True)
class Weights:
    """What training gives.

    Attributes:
        first: (features, labels), the weight of each feature for each label.
        second: (neighbours, labels, labels), the weight of a neighbour's label for each label.
        bias: (labels), added to every score.
    """

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    bias: NDArray[np.float32]

    def save(self, path: Path) -> None:
        """Write the weights, eight bits each, small ones as nothing."""
        scale = np.abs(self.first).max(axis=0) / 127
        np.savez_compressed(
            path,
            first=np.round(self.first / scale).astype(np.int8),
            scale=scale.astype(np.float32),
            second=self.second,
            bias=self.bias,
        )

    @classmethod
    def load(cls, path: Path | Traversable) -> Weights:
        """Read what `save` wrote."""
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return cls(stored["first"].astype(np.float32) * stored["scale"], stored["second"], stored["bias"])


@cache
def bundled_weights() -> Weights:
    """Return the weights that come with offramp."""
    return Weights.load(resources.files(ASSETS) / FOLDER / "weights.npz")


class _Vocabulary:
    """Scores of the words seen so far, for each offset; starts afresh when full."""

    def __init__(self, weights: Weights) -> None:
        self._weights = np.vstack((weights.first, np.zeros((1, len(LABELS)), np.float32)))
        self._rows: dict[tuple[str, bool], int] = {}
        self.scores = np.zeros((_WORDS, len(OFFSETS), len(LABELS)), np.float32)
        self.hashes = np.zeros((3, _WORDS), np.uint64)

    def rows(self, tokens: list[tuple[str, bool]]) -> NDArray[np.int64]:
        """Return each token's row."""
        if len(self._rows) + len(tokens) > len(self.scores):
            self._restart(len(tokens))
        known = self._rows
        new = [token for token in dict.fromkeys(tokens) if token not in known]
        if new:
            self._add(new)
        return np.fromiter((known[token] for token in tokens), np.int64, len(tokens))

    def _restart(self, wanted: int) -> None:
        self._rows.clear()
        if wanted > len(self.scores):
            self.scores = np.zeros((wanted, *self.scores.shape[1:]), np.float32)
            self.hashes = np.zeros((3, wanted), np.uint64)

    def _add(self, tokens: list[tuple[str, bool]]) -> None:
        first = len(self._rows)
        words = [word_of(token, caseless=caseless) for token, caseless in tokens]
        self._rows.update(zip(tokens, range(first, first + len(tokens)), strict=True))
        last = first + len(tokens)
        for block, width in enumerate(WIDTHS):
            # Short lists are filled with a row of nothing.
            rows = [word.rows[block] + (-1,) * (width - len(word.rows[block])) for word in words]
            self.scores[first:last, block] = self._weights[np.array(rows)].sum(axis=1)
        self.hashes[:, first:last] = np.array([(w.word, w.form, w.shape) for w in words], np.uint64).T


class Tagger:
    """Finds names, places, addresses, organisations, dates, ages and titles.

    Not for several threads at once.

    Args:
        weights: As trained.
    """

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._vocabulary = _Vocabulary(weights)

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """Return the spans of each text; texts are judged apart from each other."""
        found: list[list[Span]] = []
        batch: list[str] = []
        for text in texts:
            batch.append(text)
            if sum(map(len, batch)) > _AT_ONCE:
                found += self._find(batch)
                batch = []
        return found + self._find(batch)

    def _find(self, texts: list[str]) -> list[list[Span]]:
        places = [list(TOKEN.finditer(text)) for text in texts]
        pads = [(PAD, False)] * REACH
        tokens = list(pads)
        for text, matches in zip(texts, places, strict=True):
            caseless = is_caseless(text)
            tokens += [(match.group(), caseless) for match in matches]
            tokens += pads
        if len(tokens) == REACH:
            return [[] for _ in texts]
        labels = self._scores(tokens).argmax(axis=1)
        found = []
        start = 0
        for text, matches in zip(texts, places, strict=True):
            found.append(
                _spans(text, [match.span() for match in matches], labels[start : start + len(matches)])
            )
            start += len(matches) + REACH
        return found

    def _scores(self, tokens: list[tuple[str, bool]]) -> NDArray[np.float32]:
        """Return (tokens less the padding at both ends, labels)."""
        rows = self._vocabulary.rows(tokens)
        count = len(rows) - 2 * REACH
        scores = np.tile(self._weights.bias, (count, 1))
        for block, offset in enumerate(OFFSETS):
            scores += self._vocabulary.scores[rows[REACH + offset : REACH + offset + count], block]
        for pairs in pair_rows(*self._vocabulary.hashes[:, rows]):
            scores += self._weights.first[pairs]
        real = rows[REACH:-REACH] != rows[0]
        return second_round(scores, self._weights.second, real)


def second_round(
    scores: NDArray[np.float32], second: NDArray[np.float32], real: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Add what the probable labels of those neighbours say that are ``real`` tokens of the same text."""
    probable = np.exp(scores - scores.max(axis=1, keepdims=True))
    probable *= real[:, None] / probable.sum(axis=1, keepdims=True)
    padded = np.zeros((len(scores) + 4, scores.shape[1]), np.float32)
    padded[2:-2] = probable
    result = scores.copy()
    for weight, offset in zip(second, NEIGHBOURS, strict=True):
        result += padded[2 + offset : 2 + offset + len(scores)] @ weight
    return result


def _spans(text: str, places: list[tuple[int, int]], labels: NDArray[np.intp]) -> list[Span]:
    """Join neighbouring tokens of one label, where only spaces and joining marks stand between them."""
    spans: list[Span] = []
    for index in np.flatnonzero(labels):
        start, end = places[index]
        kind = LABELS[labels[index]]
        last = spans[-1] if spans else None
        if (
            last
            and last.kind == kind
            and _JOINING.issuperset(text[last.end : start])
            and start - last.end <= 6
        ):
            spans[-1] = Span(last.start, end, kind)
        elif text[start:end].isalnum():
            spans.append(Span(start, end, kind))
    return [Span(s.start, s.start + len(text[s.start : s.end].rstrip("\n>? ,-:;/\\")), s.kind) for s in spans]
