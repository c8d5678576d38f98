"""Train the bundled recogniser.

    python -m offramp.redact.train_recogniser FOLDER [OUT.npz]

FOLDER holds labelled texts (``presidio_*.jsonl.gz``); the home assistant's utterances of the bundled traffic,
whose people and places are labelled too, are added. Only texts whose template is not held out are used. The
same input gives the same weights; it takes some minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import re
import time
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydoc_data import topics as pydoc_topics
from scipy import optimize, sparse

from offramp.redact.corpus import Labelled, read_labelled, read_rows
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
from offramp.redact.recogniser import ADDRESS, AGE, DATE, ORGANISATION, PERSON, PLACE, TITLE, Span
from offramp.redact.tagger import LABELS, NEIGHBOURS, Weights, second_round
from offramp.redact.words import membership, sections

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

KIND_OF = {
    "PERSON": PERSON,
    "GPE": PLACE,
    "LOCATION": PLACE,
    "ADDRESS": ADDRESS,
    "STREET_ADDRESS": ADDRESS,
    "ZIP_CODE": ADDRESS,
    "ORGANIZATION": ORGANISATION,
    "DATE_TIME": DATE,
    "AGE": AGE,
    "TITLE": TITLE,
    "PREFIX": TITLE,
    "NRP": "",
}
"""Kinds of the labels, "" for none; tokens under any other label (cards, phones: the rules' business) teach
nothing."""

_ARGUMENTS = {"person": PERSON, "place_name": PLACE, "business_name": ORGANISATION}
_UNCLEAR = ("artist_name", "audiobook_author", "transport_agency", "media_type", "app_name", "relation",
            "radio_name", "podcast_name", "playlist_name", "song_name", "audiobook_name", "time_zone")  # fmt: skip
_IGNORED = -1
_COPIES = 3
_SPARING = 0.35
_SEED = 7
_PLAIN = 6_000
_FILLED = 12
_COMMON = 2
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


def read_utterances() -> list[Labelled]:
    """Read the home assistant's utterances; a value stands where its words stand in the utterance."""
    path = resources.files("offramp.assets") / "traffic" / "home_assistant.jsonl.gz"
    found: dict[str, Labelled] = {}
    for row in read_rows(Path(str(path))):
        text = row["request"]["messages"][-1]["content"]
        calls = row["response"]["choices"][0]["message"].get("tool_calls") or []
        spans = [span for call in calls for span in _copied(text, json.loads(call["function"]["arguments"]))]
        found[text] = Labelled(text, tuple(sorted(spans)), text)
    return list(found.values())


def read_plain() -> list[Labelled]:
    """Read sentences of the bundled traffic in which no listed name or place stands: what agents talk of else."""
    names = {word for word, letters in membership().items() if set(letters) & set("fmlcor")}
    found = sentences_of(("airline", "intent_router"))
    plain = [sentence for sentence in found if names.isdisjoint(re.findall(r"[a-z]+", sentence.lower()))]
    return [Labelled(sentence, (), sentence) for sentence in plain[:_PLAIN]]


def sentences_of(agents: Sequence[str]) -> list[str]:
    """Return the distinct sentences that people and models say in the bundled traffic."""
    sentences: dict[str, None] = {}
    for name in agents:
        path = resources.files("offramp.assets") / "traffic" / f"{name}.jsonl.gz"
        for row in read_rows(Path(str(path))):
            for message in row["request"]["messages"]:
                if message["role"] != "tool":
                    said = re.split(r"(?<=[.?!])\s+|\n", str(message.get("content") or ""))
                    sentences.update(dict.fromkeys(said))
    return list(sentences)


def ordinary_words(texts: Sequence[Labelled]) -> list[str]:
    """Return words that stand in lower case outside all labels, where capitals are used.

    Sources are the labelled texts, the bundled conversations, and the documentation within Python itself.
    """
    seen: Counter[str] = Counter()
    for text in {text.text: text for text in texts}.values():
        if not is_caseless(text.text):
            spans, places = text.spans, TOKEN.finditer(text.text)
            seen.update({m.group() for m in places if m.group().islower() and _label(spans, m.start()) == 0})
    for sentence in sentences_of(("airline", "sql")):
        seen.update(set(re.findall(r"\b[a-z]{2,}\b", sentence)))
    for topic in pydoc_topics.topics.values():
        seen.update(dict.fromkeys(re.findall(r"(?<= )[a-z]{3,}(?=[ ,.]+[a-z])", topic), _COMMON))
    return sorted(
        word for word, times in seen.items() if times >= _COMMON and len(word) > 1 and word.isascii()
    )


def _copied(text: str, arguments: dict[str, Any]) -> Iterator[Span]:
    for name, value in arguments.items():
        kind = _ARGUMENTS.get(name) or ("unclear" if name in _UNCLEAR else None)
        for part in str(value).split(", ") if kind else ():
            start = f" {text} ".find(f" {part} ")
            if start < 0:
                continue
            # "the airport", "downtown": places of a conversation, but no names.
            known = kind != PLACE or any(word in membership() for word in part.split())
            yield Span(start, start + len(part), kind if kind and known else "unclear")


def shuffled_values(texts: Sequence[Labelled], copies: int) -> list[Labelled]:
    """Return the texts, and copies whose labelled values are those of other texts and of the word lists.

    So a template teaches its form, and not the values it happened to come with.
    """
    rng = random.Random(_SEED)  # noqa: S311 - a reproducible draw, nothing secret
    values: dict[str, list[str]] = {}
    for text in texts:
        for span in text.spans:
            values.setdefault(span.kind, []).append(text.text[span.start : span.end])
    result = list(texts)
    for copy in range(copies):
        result += [_refilled(text, values, rng, lower=copy == 0) for text in texts]
    return result


_SLOTS = {
    "person": ("PERSON", "{first} {last}"),
    "place": ("GPE", "{city}"),
    "country": ("GPE", "{country}"),
    "org": ("ORGANIZATION", ""),
    "address": ("STREET_ADDRESS", ""),
    "zip": ("ZIP_CODE", ""),
    "age": ("AGE", ""),
    "date": ("DATE_TIME", ""),
    "title": ("TITLE", ""),
    "first": ("PERSON", "{first}"),
    "last": ("PERSON", "{last}"),
}


def from_templates(texts: Sequence[Labelled]) -> list[Labelled]:
    """Fill our own templates with values of the labelled texts and of the word lists."""
    rng = random.Random(_SEED)  # noqa: S311 - as above
    values: dict[str, list[str]] = {}
    for text in texts:
        for span in text.spans:
            values.setdefault(span.kind, []).append(text.text[span.start : span.end])
    path = resources.files("offramp.assets") / "recogniser" / "templates.txt"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [
        _filled(line.replace("\\n", "\n"), values, rng, lower=copy % 4 == 3)
        for line in lines
        for copy in range(_FILLED)
    ]


def _filled(line: str, values: dict[str, list[str]], rng: random.Random, *, lower: bool) -> Labelled:
    text = ""
    spans = []
    for part in re.split(r"(\{\w+\})", line):
        if part[:1] != "{":
            text += part
            continue
        kind, form = _SLOTS[part[1:-1]]
        value = _listed(form, rng) if form and rng.random() < 0.6 else rng.choice(values[kind])
        if part in ("{first}", "{last}"):
            value = value.split()[0 if part == "{first}" else -1]
        spans.append(Span(len(text), len(text) + len(value), kind))
        text += value
    return Labelled(_lower(text) if lower else text, tuple(spans), line)


def _listed(form: str, rng: random.Random) -> str:
    lists = sections()
    first = rng.choice(lists[rng.choice(("female", "male"))])
    chosen = {"first": first, **{name: rng.choice(lists[name]) for name in ("last", "city", "country")}}
    return form.format(**chosen).title()


def _refilled(text: Labelled, values: dict[str, list[str]], rng: random.Random, *, lower: bool) -> Labelled:
    parts: list[str] = []
    spans = []
    at = length = 0
    for span in text.spans:
        if span.start < at:
            continue
        value = _value(span.kind, values, rng)
        before = text.text[at : span.start]
        parts += (before, value)
        length += len(before)
        spans.append(Span(length, length + len(value), span.kind))
        length += len(value)
        at = span.end
    made = "".join((*parts, text.text[at:]))
    return Labelled(_lower(made) if lower else made, tuple(spans), text.group)


def _lower(text: str) -> str:
    """Lower-case without changing the length (a dotted capital I has a lower case of two characters)."""
    return "".join(char.lower() if len(char.lower()) == 1 else char for char in text)


def _value(kind: str, values: dict[str, list[str]], rng: random.Random) -> str:
    own = rng.choice(values[kind])
    if rng.random() < 0.5:
        return own
    if kind == "PERSON":
        return _listed(rng.choice(("{first}", "{last}", "{first} {last}", "{first} {last}")), rng)
    if kind in ("GPE", "LOCATION"):
        return _listed(rng.choice(("{city}", "{city}", "{country}")), rng)
    return own


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
    rng = random.Random(_SEED)  # noqa: S311 - as above
    words: list[Word] = [word_of(PAD, caseless=False)] * REACH
    labels: list[int] = []
    known: dict[tuple[str, bool, bool], Word] = {}
    for text in _by_template(texts, rng):
        caseless = is_caseless(text.text)
        for match in TOKEN.finditer(text.text):
            label = _label(text.spans, match.start())
            key = (match.group(), caseless, label > 0 and rng.random() < _SPARING)
            if key not in known:
                known[key] = word_of(key[0], caseless=caseless, sparing=key[2])
            words.append(known[key])
            labels.append(label)
        words += words[:REACH]
        labels += [_IGNORED] * REACH
    return _matrix(words, len(labels) - REACH, dropped), np.array(labels[: len(labels) - REACH])


def _by_template(texts: Sequence[Labelled], rng: random.Random) -> list[Labelled]:
    """Shuffle the templates and keep the texts of each together: half of the list is half of the templates."""
    templates: dict[str, list[Labelled]] = {}
    for text in texts:
        templates.setdefault(text.group, []).append(text)
    order = sorted(templates)
    rng.shuffle(order)
    return [text for template in order for text in templates[template]]


def _label(spans: Sequence[Span], place: int) -> int:
    for span in spans:
        if span.start <= place < span.end:
            kind = KIND_OF.get(span.kind, span.kind)
            return LABELS.index(kind) if kind in LABELS else _IGNORED  # "" is the first label
    return 0


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
    kept = np.random.default_rng(_SEED).random(columns.shape, np.float32) >= dropped
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
    keep = labels != _IGNORED
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
    scores = scores.copy()
    scores[labels == _IGNORED] = 0.0
    probable = np.exp(scores - scores.max(axis=1, keepdims=True))
    probable /= probable.sum(axis=1, keepdims=True)
    padded = np.pad(probable, ((2, 2), (0, 0)))
    said = np.hstack([padded[2 + offset : 2 + offset + len(scores)] for offset in NEIGHBOURS])
    keep = labels != _IGNORED
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
