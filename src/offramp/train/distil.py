"""Logit distillation: what else the teacher would have said (Hinton et al. 2015, arXiv 1503.02531).

A teacher that returns log-probabilities gives, for each of *its* tokens, the few most likely ones. The
student cuts texts into other tokens. Where a token of the student begins at the place at which one of
the teacher's does, and is how the teacher's begins, the teacher's alternatives are cut by the student's
tokenizer and their probabilities summed by first token: a distribution over the student's tokens, with
the teacher's remaining probability as one more outcome. Everywhere else the student learns from the
answer alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from offramp.core.model import TeacherToken

_LEAST_REST = 1e-6
"""Probability that is left for all other tokens at least: logarithms of 0 teach nothing."""


@dataclass(frozen=True, slots=True)
class Soft:
    """What the teacher would have said instead of one token of a completion.

    Attributes:
        place: Index of the token in the completion.
        ids: The student's tokens.
        probabilities: Their probabilities; what they lack to 1 belongs to all other tokens together.
    """

    place: int
    ids: tuple[int, ...]
    probabilities: tuple[float, ...]


def soft_targets(
    tokenizer: PreTrainedTokenizerBase, completion: str, said: Sequence[TeacherToken]
) -> tuple[Soft, ...]:
    """Map a teacher's log-probabilities onto a completion's tokens, in their order.

    Args:
        tokenizer: The student's.
        completion: The teacher's answer in compact form.
        said: The tokens of the answer as the teacher gave it.

    Returns:
        One target for each token that could be mapped; none where the answer was put into another form.
    """
    starts = _starts(completion, said)
    if not starts:
        return ()
    cut = tokenizer(completion, add_special_tokens=False, return_offsets_mapping=True)
    targets = []
    for place, (token, (start, _)) in enumerate(zip(cut["input_ids"], cut["offset_mapping"], strict=True)):
        told = starts.get(start)
        if told is not None and _first(tokenizer, told.text) == token:
            targets.append(_target(tokenizer, place, told))
    return tuple(target for target in targets if target.ids)


def _starts(completion: str, said: Sequence[TeacherToken]) -> dict[int, TeacherToken]:
    """Return the teacher's tokens by where they start in the compact form; empty where it is another text."""
    starts: dict[int, TeacherToken] = {}
    place = 0
    for token in said:
        first = True
        for char in token.text:
            if place < len(completion) and completion[place] == char:
                if first:
                    starts[place] = token
                place, first = place + 1, False
            elif char.isspace():
                # Space between the parts of JSON, which the compact form leaves out: this token's own
                # beginning is not in it, so nothing starts here.
                first = False
            else:
                return {}
    return starts if place == len(completion) else {}


def _target(tokenizer: PreTrainedTokenizerBase, place: int, told: TeacherToken) -> Soft:
    summed: dict[int, float] = {}
    for text, logprob in told.alternatives:
        token = _first(tokenizer, text)
        if token is not None and math.isfinite(logprob):
            summed[token] = summed.get(token, 0.0) + math.exp(min(0.0, logprob))
    total = max(1.0, sum(summed.values()))
    return Soft(place, tuple(summed), tuple(value / total for value in summed.values()))


def _first(tokenizer: PreTrainedTokenizerBase, text: str) -> int | None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return int(ids[0]) if ids else None


def divergence(logprobs: torch.Tensor, targets: Sequence[Soft]) -> torch.Tensor:
    """Return the Kullback-Leibler divergence of the student from the teacher at each target.

    The outcomes are the target's tokens and "any other": coarser than the vocabulary, so never more than the
    full divergence.

    Args:
        logprobs: The student's log-probabilities, (targets, vocabulary).
        targets: What the teacher would have said there.

    Returns:
        Nats, (targets,).
    """
    found = []
    for row, target in zip(logprobs, targets, strict=True):
        student = row[list(target.ids)]
        teacher = torch.tensor(target.probabilities, dtype=row.dtype, device=row.device)
        rest = max(1.0 - sum(target.probabilities), _LEAST_REST)
        other = (1.0 - student.exp().sum()).clamp(min=_LEAST_REST).log()
        entropy = torch.special.xlogy(teacher, teacher).sum() + rest * math.log(rest)
        found.append(entropy - (teacher * student).sum() - rest * other)
    return torch.stack(found)
