"""The bundled recogniser: a linear tagger of tokens, in numpy alone.

Each token gets the label with the highest sum of weights (multinomial logistic regression over hashed
features of a window), after one round in which its neighbours' probable labels have a say, as in the
mean-field approximation of a linear-chain CRF. `train_recogniser` makes its weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import compress
from typing import TYPE_CHECKING, cast

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
_FIRSTS = [sum(WIDTHS[:block]) for block in range(len(WIDTHS))]
_BLOCKS = np.arange(len(OFFSETS))[:, None]
_AROUND = REACH + np.array(OFFSETS)[:, None]
_ZEROS = str.maketrans("123456789", "0" * 9)


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
        self._bias = weights.bias
        # By whether their text has letters of one case only.
        self._rows: tuple[dict[str, int], dict[str, int]] = ({}, {})
        self.scores = np.zeros((_WORDS, len(OFFSETS), len(LABELS)), np.float32)
        self.hashes = np.zeros((3, _WORDS), np.uint64)
        self.pad = self.rows([[PAD]], [False])[0]

    def rows(self, texts: list[list[str]], caseless: list[bool]) -> list[list[int]]:
        """Return the row of each token of each text."""
        found: list[list[int | None]] = [
            list(map(self._rows[one].get, tokens)) for tokens, one in zip(texts, caseless, strict=True)
        ]
        if any(None in rows for rows in found):
            self._learn(texts, caseless)
            return [
                list(map(self._rows[one].__getitem__, tokens))
                for tokens, one in zip(texts, caseless, strict=True)
            ]
        return cast("list[list[int]]", found)

    @property
    def _size(self) -> int:
        return sum(map(len, self._rows))

    def _learn(self, texts: list[list[str]], caseless: list[bool]) -> None:
        wanted: tuple[dict[str, None], dict[str, None]] = ({}, {})
        for tokens, one in zip(texts, caseless, strict=True):
            wanted[one].update(dict.fromkeys(tokens))
        new = [(token, bool(one)) for one in (0, 1) for token in wanted[one] if token not in self._rows[one]]
        if self._size + len(new) > len(self.scores):
            self._restart(sum(map(len, wanted)) + 1)
            # Padding is the first row, before and after.
            plain = {PAD: None} | wanted[0]
            new = [*((token, False) for token in plain), *((token, True) for token in wanted[1])]
        self._add(new)

    def _restart(self, wanted: int) -> None:
        for rows in self._rows:
            rows.clear()
        if wanted > len(self.scores):
            self.scores = np.zeros((wanted, *self.scores.shape[1:]), np.float32)
            self.hashes = np.zeros((3, wanted), np.uint64)

    def _add(self, tokens: list[tuple[str, bool]]) -> None:
        first = self._size
        words = [word_of(token, caseless=caseless) for token, caseless in tokens]
        last = first + len(tokens)
        for row, (token, caseless) in enumerate(tokens, first):
            self._rows[caseless][token] = row
        # Short lists are filled with a row of nothing.
        rows = [
            [row for listed, width in zip(word.rows, WIDTHS, strict=True) for row in _filled(listed, width)]
            for word in words
        ]
        self.scores[first:last] = np.add.reduceat(self._weights[np.array(rows)], _FIRSTS, axis=1)
        self.scores[first:last, 0] += self._bias
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
        size = 0
        for text in texts:
            batch.append(text)
            size += len(text)
            if size > _AT_ONCE:
                found += self._find(batch)
                batch, size = [], 0
        return found + self._find(batch)

    def _find(self, texts: list[str]) -> list[list[Span]]:
        # Of a number nothing counts but how long it is.
        tokens = [TOKEN.findall(text.translate(_ZEROS)) for text in texts]
        if not any(tokens):
            return [[] for _ in texts]
        pads = self._vocabulary.pad * REACH
        rows = list(pads)
        for known in self._vocabulary.rows(tokens, [is_caseless(text) for text in texts]):
            rows += known
            rows += pads
        labels = self._scores(np.array(rows, np.int64)).argmax(axis=1)
        found = []
        start = 0
        for text, of_text in zip(texts, tokens, strict=True):
            found.append(_spans(text, labels[start : start + len(of_text)]))
            start += len(of_text) + REACH
        return found

    def _scores(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (tokens less the padding at both ends, labels)."""
        count = len(rows) - 2 * REACH
        pairs = pair_rows(*self._vocabulary.hashes[:, rows])
        # What is added up, one after the other: the words around, then the pairs.
        terms = np.empty((len(OFFSETS) + len(pairs), count, len(LABELS)), np.float32)
        words = rows[_AROUND + np.arange(count)] * len(OFFSETS) + _BLOCKS
        scores = self._vocabulary.scores.reshape(-1, len(LABELS))
        np.take(scores, words, axis=0, out=terms[: len(OFFSETS)], mode="clip")
        np.take(self._weights.first, pairs, axis=0, out=terms[len(OFFSETS) :], mode="clip")
        return second_round(
            np.add.reduce(terms, axis=0), self._weights.second, rows[REACH:-REACH] != self._vocabulary.pad[0]
        )


def _filled(rows: tuple[int, ...], width: int) -> tuple[int, ...]:
    return rows + (-1,) * (width - len(rows))


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


def _spans(text: str, labels: NDArray[np.intp]) -> list[Span]:
    """Join neighbouring tokens of one label, where only spaces and joining marks stand between them."""
    listed = labels.tolist()
    if not any(listed):
        return []
    spans: list[Span] = []
    for match, label in compress(zip(TOKEN.finditer(text), listed, strict=True), listed):
        start, end = match.span()
        kind = LABELS[label]
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
