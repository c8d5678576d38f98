"""From scores to an answer: the most probable tag of each word, and what the tags say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from offramp.core.call import OutputType, decode_json
from offramp.engine.extractive_schema import JOINER, OUTSIDE, Form, Pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from offramp.engine.extractive_model import Tokens
    from offramp.engine.extractive_schema import Schema

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tagging:
    """The most probable tags of a payload's words.

    Attributes:
        tags: One per word.
        logprobs: Log-probability of each, each word on its own, in nats.
    """

    tags: tuple[int, ...]
    logprobs: tuple[float, ...]


def log_softmax(scores: Floats) -> Floats:
    """Return log-probabilities along the last axis."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def allowed_tags(keys: Sequence[int]) -> NDArray[np.intp]:
    """Return the tags that some keys may use, "outside" first."""
    return np.array([OUTSIDE, *(1 + key for key in keys)], np.intp)


def best_tags(scores: Floats, keys: Sequence[int]) -> Tagging:
    """Find the most probable tag of each word.

    Args:
        scores: Shape (words, tags).
        keys: Keys that may be used.
    """
    tags = allowed_tags(keys)
    logs = log_softmax(scores[:, tags])
    best = logs.argmax(axis=1)
    chosen = logs[np.arange(len(best)), best]
    return Tagging(tuple(int(tag) for tag in tags[best]), tuple(float(value) for value in chosen))


def copied(payload: str, tokens: Tokens, tags: Sequence[int]) -> dict[int, list[str]]:
    """Read tags: the copied texts of each key, in the order of the payload.

    Args:
        payload: The text.
        tokens: Its tokens.
        tags: One for each token that opens a word.
    """
    found: dict[int, list[list[int]]] = {}
    words = iter(tags)
    tag = before = OUTSIDE
    for (start, end), opens in zip(tokens.spans, tokens.opens, strict=True):
        if opens:
            before, tag = tag, next(words)
        if tag == OUTSIDE or start == end:
            continue
        spans = found.setdefault(tag - 1, [])
        if opens and tag != before:
            spans.append([start, end])
        else:
            spans[-1][1] = end
    return {key: [payload[start:end] for start, end in spans] for key, spans in found.items()}


class Wording:
    """Puts labels, copied texts and fixed values together into completions.

    Args:
        schema: What there is to say.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._pairs = {(pair.label, pair.key): pair for pair in schema.pairs}

    def completion(self, label: int, texts: dict[int, list[str]], constants: dict[int, str]) -> str | None:
        """Render an answer as training completions are; None where a copied text is no number.

        Args:
            label: Index of the label.
            texts: By key, the texts copied from the request.
            constants: By key, the JSON text of its fixed value; it overrides what is copied.
        """
        name = self._schema.labels[label]
        if self._schema.output is OutputType.LABEL:
            return name
        arguments: dict[str, Any] = {}
        for key in sorted({*texts, *constants}):
            pair = self._pairs.get((label, key), Pair(label, key))
            value = json.loads(constants[key]) if key in constants else _value(pair.form, texts[key])
            if value is None and key not in constants:
                return None
            arguments[self._schema.keys[key]] = value
        body = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
        return f"{name} {body}" if self._schema.output is OutputType.TOOL_CALL else body


def _value(form: Form, texts: list[str]) -> Any:
    if form is Form.LIST:
        return texts
    if form is Form.TEXT:
        return JOINER.join(texts)
    number = decode_json(texts[0])
    return number if isinstance(number, int | float) and not isinstance(number, bool) else None
