"""A trained student at serving time: a network with its words, read from a folder and asked in batches."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from offramp.core.errors import EngineError
from offramp.engine.bases import BROKEN
from offramp.engine.extractive_decode import Tagging, Wording, best_tags, copied, log_softmax
from offramp.engine.extractive_model import ExtractiveModel, Tokens, load_encoder, padded, tokenise
from offramp.engine.extractive_schema import Limits, Schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from offramp.engine.extractive_model import Encoded
    from offramp.engine.extractive_schema import Choices
    from offramp.engine.specialist import Card, TaskRequest

    Floats = NDArray[np.float64]

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
BATCH = 64
ALTERNATIVES = 3
"""Names that are thought through to the end; the answer is the best name with its arguments."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a student would say to one request if it called one name.

    Attributes:
        label: Index of the label.
        completion: The answer in compact form, None where it is none.
        name: Log-probability of the label, in nats.
        tagging: Tags of the payload's words with their log-probabilities.
        fixed: Log-probability of the fixed values, or of there being none.
        keys: Keys of the arguments.
    """

    label: int
    completion: str | None
    name: float
    tagging: Tagging
    fixed: float
    keys: tuple[int, ...]

    @property
    def logprob(self) -> float:
        """Log-probability of the whole answer."""
        return self.name + sum(self.tagging.logprobs) + self.fixed


@dataclass(frozen=True, slots=True)
class Thought:
    """What a student makes of one request.

    Attributes:
        replies: Possible answers, most probable first; empty where nothing may be said.
        names: Log-probability of each label that may be said, most probable first.
        vector: Unit vector of the request, as the head for names sees it.
    """

    replies: tuple[Reply, ...]
    names: tuple[float, ...]
    vector: NDArray[np.float32]


class Student:
    """A network with its words.

    Args:
        model: The network.
        schema: What it can say.
        tokenizer: The encoder's.
        context: Longest payload in tokens; longer ones get no reply.
    """

    def __init__(
        self, model: ExtractiveModel, schema: Schema, tokenizer: PreTrainedTokenizerBase, context: int
    ) -> None:
        self.model, self.schema, self.context = model.eval(), schema, context
        self._tokenizer = tokenizer
        self._limits, self._wording = Limits(schema), Wording(schema)
        self._ranges = schema.constant_ranges()
        self._fixed = {(p.label, p.key): p.constants for p in schema.pairs if p.constants}

    def think(self, items: Sequence[TaskRequest], card: Card) -> list[Thought]:
        """Think about each request, in order.

        Args:
            items: Requests of the schema's tasks.
            card: The specialist's card.
        """
        choices = [self._limits.choices(item.task, card.tasks[item.task], item.request) for item in items]
        tokens = tokenise(self._tokenizer, [choice.payload for choice in choices])
        thoughts: list[Thought] = [Thought((), (), np.zeros(0, np.float32))] * len(items)
        # Payloads of like length share a batch, so little is padded.
        order = sorted(range(len(items)), key=lambda row: len(tokens[row]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            batch = self._batch([choices[row] for row in rows], [tokens[row] for row in rows])
            for row, thought in zip(rows, batch, strict=True):
                thoughts[row] = thought
        return thoughts

    @torch.inference_mode()
    def vectors(self, items: Sequence[TaskRequest], card: Card) -> NDArray[np.float32]:
        """Return the unit vector of each request, shape (items, width), without thinking further."""
        choices = [self._limits.choices(item.task, card.tasks[item.task], item.request) for item in items]
        tokens = self._cut(tokenise(self._tokenizer, [choice.payload for choice in choices]))
        found = np.zeros((len(items), self.model.pool.out_features), np.float32)
        order = sorted(range(len(items)), key=lambda row: len(tokens[row]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            encoded = self._encoded([choices[row] for row in rows], [tokens[row] for row in rows])
            found[rows] = _unit(encoded)
        return found

    def _encoded(self, choices: Sequence[Choices], tokens: Sequence[Tokens]) -> Encoded:
        ids, mask = padded(tokens)
        return self.model.encode(ids, mask, torch.tensor([choice.task for choice in choices]))

    def _cut(self, tokens: Sequence[Tokens]) -> list[Tokens]:
        """Cut what is too long: it is read as far as it fits, for its vector, and gets no reply."""
        most = self.context
        return [Tokens(read.ids[:most], read.spans[:most], read.opens[:most]) for read in tokens]

    @torch.inference_mode()
    def _batch(self, choices: Sequence[Choices], tokens: Sequence[Tokens]) -> list[Thought]:
        cut = self._cut(tokens)
        encoded = self._encoded(choices, cut)
        vectors = _unit(encoded)
        names = [
            self._names(row, choice)
            for row, choice in zip(self._numbers(self.model.label_scores(encoded)), choices, strict=True)
        ]
        replies = self._replies(encoded, names, choices, cut)
        return [
            Thought(
                tuple(sorted(said, key=lambda reply: -reply.logprob)) if len(read) <= self.context else (),
                tuple(logprob for logprob, _ in known),
                vector,
            )
            for said, known, vector, read in zip(replies, names, vectors, tokens, strict=True)
        ]

    def _names(self, scores: Floats, choice: Choices) -> list[tuple[float, int]]:
        """Return the log-probability of each label that may be said, most probable first."""
        labels = list(choice.keys)
        if not labels:
            return []
        logs = log_softmax(scores[labels])
        return sorted(zip(logs.tolist(), labels, strict=True), reverse=True)

    def _replies(
        self,
        encoded: Encoded,
        names: Sequence[list[tuple[float, int]]],
        choices: Sequence[Choices],
        tokens: Sequence[Tokens],
    ) -> list[list[Reply]]:
        replies: list[list[Reply]] = [[] for _ in choices]
        constants = self._numbers(self.model.constant_scores(encoded)) if self._ranges else None
        for place in range(ALTERNATIVES):
            labels = [known[place][1] if place < len(known) else 0 for known in names]
            tags = self._tags(encoded, labels)
            for row, known in enumerate(names):
                if place < len(known):
                    logprob, label = known[place]
                    fixed = constants[row] if constants is not None else np.zeros(0)
                    scores = (tags[row, : len(tokens[row])], fixed)
                    replies[row].append(self._reply(label, logprob, scores, choices[row], tokens[row]))
        return replies

    def _tags(self, encoded: Encoded, labels: list[int]) -> Floats:
        if not self.schema.keys:
            return np.zeros((*encoded.tokens.shape[:2], 1))
        return self._numbers(self.model.tag_scores(encoded, torch.tensor(labels)))

    def _reply(
        self, label: int, name: float, scores: tuple[Floats, Floats], choice: Choices, tokens: Tokens
    ) -> Reply:
        keys = choice.keys[label]
        tagging = best_tags(scores[0][list(tokens.opens)], keys)
        fixed, constants = 0.0, {}
        for key in keys:
            if (label, key) in self._ranges:
                start, end = self._ranges[label, key]
                logs = log_softmax(scores[1][start:end])
                best = int(logs.argmax())
                fixed += float(logs[best])
                if best:
                    constants[key] = self._fixed[label, key][best - 1]
        texts = copied(choice.payload, tokens, tagging.tags)
        completion = self._wording.completion(label, texts, constants)
        return Reply(label, completion, name, tagging, fixed, tuple(sorted({*texts, *constants})))

    @staticmethod
    def _numbers(scores: torch.Tensor) -> Floats:
        return np.asarray(scores.numpy(), np.float64)

    def save(self, folder: Path, encoder: Path) -> None:
        """Write the trained weights and the configuration, in the layout of a Hugging Face model.

        The encoder's own weights stay where they are; the configuration names them by their hash.

        Args:
            folder: Made where it does not exist.
            encoder: Directory of the encoder that it was trained from.
        """
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "model_type": "offramp-extractive",
            "encoder": encoder.name,
            "encoder_hash": fingerprint(encoder),
            "frozen_layers": len(self.model.lower),
            "context": self.context,
            "schema": self.schema.to_dict(),
        }
        weights = {name: weight.contiguous() for name, weight in self.model.learned().items()}
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
        (folder / CONFIG).write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, encoder: Path) -> Student:
        """Read what `save` wrote.

        Raises:
            EngineError: A file is missing or broken, or it was trained from another encoder.
        """
        try:
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            schema, frozen = Schema.from_dict(config["schema"]), int(config["frozen_layers"])
            context, wanted = int(config["context"]), str(config["encoder_hash"])
            weights = load_file(folder / WEIGHTS)
        except BROKEN as error:
            raise EngineError(
                f"{folder} holds no extractive student: {error}.", hint="Train it again: offramp convert."
            ) from error
        if fingerprint(encoder) != wanted:
            raise EngineError(
                f"{folder} was trained from another encoder ({wanted}) than {encoder} holds.",
                hint="Train it again: offramp convert.",
            )
        network, tokenizer = load_encoder(encoder)
        model = ExtractiveModel(network, schema, frozen=frozen)
        try:
            missing = set(model.learned()) - set(weights)
            if missing:
                raise KeyError(f"no weights for {min(missing)}")
            model.load_state_dict(weights, strict=False)
        except BROKEN as error:
            raise EngineError(
                f"The weights in {folder} do not fit its configuration: {error}.",
                hint="Train it again: offramp convert.",
            ) from error
        return cls(model, schema, tokenizer, context)


def _unit(encoded: Encoded) -> NDArray[np.float32]:
    return np.asarray(torch.nn.functional.normalize(encoded.pooled, dim=1).numpy(), np.float32)


@lru_cache(maxsize=8)
def fingerprint(encoder: Path) -> str:
    """Return the hash of an encoder's weights (BLAKE2b, 16 hex digits).

    Raises:
        EngineError: It has none.
    """
    digest = hashlib.blake2b(digest_size=8)
    files = sorted(encoder.glob("*.safetensors")) or sorted(encoder.glob("*.bin"))
    if not files:
        raise EngineError(f"{encoder} holds no weights of an encoder.")
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
