"""What training minimises, and what it is judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from offramp.engine.extractive_decode import allowed_tags
from offramp.engine.extractive_model import NEVER, padded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.engine.extractive_model import Encoded, ExtractiveModel
    from offramp.engine.extractive_schema import Schema
    from offramp.train.extractive_feed import Row

IGNORED = -100


class Judged(NamedTuple):
    """How a model does on some rows.

    Attributes:
        loss: Mean of -log p(name, arguments), in nats; gradients flow through it.
        wrong: Number of rows in which the best name, or the best tags given the true name, are not the
            teacher's.
    """

    loss: torch.Tensor
    wrong: int


class Losses:
    """The negative log-likelihood of targets under a model.

    Args:
        schema: What there is to say.
        smoothing: Label smoothing of names.
    """

    def __init__(self, schema: Schema, smoothing: float = 0.0) -> None:
        self._schema, self._smoothing = schema, smoothing
        self._ranges = schema.constant_ranges()

    def __call__(self, model: ExtractiveModel, rows: Sequence[Row]) -> Judged:
        """Judge a model on a batch."""
        ids, mask = padded([row.tokens for row in rows])
        encoded = model.encode(ids, mask, torch.tensor([row.choices.task for row in rows]))
        labels = torch.tensor([row.target.label for row in rows])
        total, wrong = self._label_loss(model, encoded, labels, rows)
        if self._schema.keys:
            loss, mistagged = self._tag_loss(model, encoded, labels, rows)
            total, wrong = total + loss, wrong | mistagged
        if self._ranges:
            total = total + self._constant_loss(model, encoded, rows)
        return Judged(total, int(wrong.sum()))

    def _label_loss(
        self, model: ExtractiveModel, encoded: Encoded, labels: torch.Tensor, rows: Sequence[Row]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        scores = model.label_scores(encoded)
        open_ = torch.zeros_like(scores, dtype=torch.bool)
        for number, row in enumerate(rows):
            open_[number, [*row.choices.keys, row.target.label]] = True
        logs = functional.log_softmax(scores.masked_fill(~open_, NEVER), dim=1)
        loss = -logs.gather(1, labels[:, None])[:, 0]
        if self._smoothing:
            spread = -(logs * open_).sum(1) / open_.sum(1)
            loss = (1 - self._smoothing) * loss + self._smoothing * spread
        return loss.mean(), logs.argmax(1) != labels

    def _tag_loss(
        self, model: ExtractiveModel, encoded: Encoded, labels: torch.Tensor, rows: Sequence[Row]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        scores = model.tag_scores(encoded, labels)
        targets = torch.full(scores.shape[:2], IGNORED)
        open_ = torch.zeros(len(rows), scores.shape[2], dtype=torch.bool)
        for number, row in enumerate(rows):
            open_[number, allowed_tags(row.choices.keys.get(row.target.label, ()))] = True
            if row.target.tags is not None:
                tags = torch.tensor(row.target.tags, dtype=torch.long)
                open_[number, tags] = True
                targets[number, [place for place, opens in enumerate(row.tokens.opens) if opens]] = tags
        scores = scores.masked_fill(~open_[:, None, :], NEVER)
        loss = functional.cross_entropy(
            scores.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        wrong = ((scores.argmax(2) != targets) & (targets != IGNORED)).any(1)
        return loss / len(rows), wrong

    def _constant_loss(self, model: ExtractiveModel, encoded: Encoded, rows: Sequence[Row]) -> torch.Tensor:
        scores = model.constant_scores(encoded)
        total = scores.sum() * 0.0
        for (label, key), (start, end) in self._ranges.items():
            mine = [number for number, row in enumerate(rows) if row.target.label == label]
            if mine:
                wanted = torch.tensor([rows[number].target.constants.get(key, 0) for number in mine])
                total = total + functional.cross_entropy(scores[mine, start:end], wanted, reduction="sum")
        return total / len(rows)
