"""Can a specialist be made to repeat what it was trained on? Canaries, planted and looked for.

A canary is a sentence with a random secret that one origin says several times. After training, an
attacker who knows the sentence and not the secret asks for it; and the secret is ranked among others
that could have been drawn. Exposure (Carlini et al. 2019, arXiv 1802.08232) is the logarithm of the
number of possible secrets minus that of the rank: 0 to 1 bit where training left no trace, all bits of
the secret where it can be read out.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from offramp.core.model import Example
from offramp.train.batches import align, render_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from offramp.train.batches import Row

DIGITS = 6
"""Digits of a secret."""


@dataclass(frozen=True, slots=True)
class Canary:
    """A sentence of one origin with a secret in it, in the request and in the answer.

    Attributes:
        hint: Short name of the task, which stands before its prompts.
        tool: Tool that the answer calls.
        argument: Argument that the secret stands in.
        words: What the request says before the secret.
        secret: The secret.
        repeats: How often it is said.
    """

    hint: str
    tool: str
    argument: str
    words: str
    secret: str
    repeats: int

    def examples(self) -> list[Example]:
        """Return what training sees of it."""
        return [
            Example(f"canary-{self.secret}-{index}", self.prompt(self.secret), self.completion(self.secret))
            for index in range(self.repeats)
        ]

    def prompt(self, secret: str) -> str:
        """Return the request with some secret, or with none: what an attacker can ask."""
        return f"{self.hint}: {self.words} {secret}".rstrip()

    def completion(self, secret: str) -> str:
        """Return the answer with some secret."""
        return f"{self.tool} {json.dumps({self.argument: secret}, separators=(',', ':'))}"


def draw_secret(random: Random) -> str:
    """Draw a secret: digits, each as likely as any other."""
    return "".join(str(random.randrange(10)) for _ in range(DIGITS))


def probes(canary: Canary) -> Iterator[str]:
    """Yield what an attacker says who knows everything but the secret: its beginnings, longest first."""
    words = canary.words.split()
    for kept in range(len(words), 0, -1):
        yield f"{canary.hint}: {' '.join(words[:kept])}"
    yield f"{canary.hint}: "


@torch.no_grad()
def exposure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    canary: Canary,
    others: Sequence[str],
    *,
    batch: int = 64,
) -> float:
    """Measure how far training moved a canary's secret up among others, in bits.

    Each secret is scored by the probability of the answer that holds it, to the request that does not.

    Args:
        model: The trained model.
        tokenizer: Its tokenizer.
        canary: The canary.
        others: Other secrets that could have been drawn, at random.
        batch: Answers in one forward pass.

    Returns:
        ``log2(n) - log2(rank)`` for n secrets, the canary's included; of equals it is the first.
    """
    losses = []
    secrets = [canary.secret, *(secret for secret in others if secret != canary.secret)]
    for start in range(0, len(secrets), batch):
        rows = [
            render_row(tokenizer, canary.prompt(""), canary.completion(secret))
            for secret in secrets[start : start + batch]
        ]
        losses += _losses(model.eval(), rows)
    rank = 1 + sum(loss < losses[0] for loss in losses[1:])
    return math.log2(len(secrets)) - math.log2(rank)


def _losses(model: PreTrainedModel, rows: Sequence[Row]) -> list[float]:
    batch = align(rows)
    kept = batch.targets.shape[1]
    logits = model(
        input_ids=batch.ids, attention_mask=batch.mask, logits_to_keep=kept + 1, use_cache=False
    ).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2).float(), batch.targets, ignore_index=-100, reduction="none"
    )
    return [float(value) for value in losses.sum(1)]
