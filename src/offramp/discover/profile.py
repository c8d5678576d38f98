"""What a task's calls cost, how much they repeat, and what they look like without anybody's words."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from statistics import median
from typing import TYPE_CHECKING

from offramp.core.askers import MIN_ORIGINS
from offramp.core.task import Profile
from offramp.discover.hierarchy import predictability, subtasks_of
from offramp.discover.signature import SLOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from offramp.core.task import Subtask
    from offramp.discover.sighting import Payload, Sighting
    from offramp.discover.verdict import Verdict

LOOKED_AT = 500
"""Payloads that exemplars are made from."""

EXEMPLARS = 3
MIN_KEPT = 3
"""Words that an exemplar must keep to say anything."""

_NOISE = ".,:;!?()[]{}\"'`"


def profile_of(
    seen: Sequence[Sighting],
    payloads: Sequence[Payload],
    verdict: Verdict,
    *,
    subtasks: Sequence[Subtask],
    all_cost: float,
) -> Profile:
    """Describe a task's calls.

    Args:
        seen: The task's calls, at least one.
        payloads: Masked samples of them.
        verdict: What was found of its answers.
        subtasks: What it consists of.
        all_cost: USD of all calls seen, of every task.
    """
    cost = math.fsum(s.cost for s in seen)
    measured = [s.latency for s in seen if s.latency > 0]
    messages = Counter(s.payload for s in seen)
    predicted = predictability(payloads, verdict.output) if subtasks else None
    return Profile(
        cost_usd=cost,
        share_cost=cost / all_cost if all_cost else 0.0,
        saving_usd=cost if verdict.convertible else 0.0,
        latency_s=median(measured) if measured else 0.0,
        repetitiveness=1 - len(messages) / len(seen),
        entropy=_entropy(messages),
        origins=len({s.origin for s in seen} - {""}),
        exemplars=exemplars(payloads[:LOOKED_AT]),
        predicted=predicted[0] if predicted is not None else None,
        usual=predicted[1] if predicted is not None else None,
    )


def repeated(seen: Iterable[Sighting]) -> tuple[tuple[str, ...], ...]:
    """Return the ids of answered calls that ask one question, for each that was asked more than once."""
    asked: dict[int, list[str]] = defaultdict(list)
    for sighting in seen:
        if sighting.facts is not None and sighting.request:
            asked[sighting.request].append(sighting.call)
    return tuple(tuple(calls) for calls in asked.values() if len(calls) > 1)


def exemplars(payloads: Sequence[Payload]) -> tuple[str, ...]:
    """Show what messages look like with only the words that several askers used.

    Returns:
        At most three, of different askers; none for a task of fewer than five known askers.
    """
    users: dict[str, set[str]] = defaultdict(set)
    for payload in payloads:
        if payload.seen.origin:
            for word in payload.text.split():
                users[_plain(word)].add(payload.seen.origin)
    if len(set[str]().union(*users.values())) < MIN_ORIGINS:
        return ()
    shown: dict[str, str] = {}
    ranked = []
    for payload in payloads:
        words = [w if len(users[_plain(w)]) >= MIN_ORIGINS else SLOT for w in payload.text.split()]
        kept = sum(1 for word in words if word != SLOT)
        if payload.seen.origin and kept >= MIN_KEPT:
            ranked.append((-kept / len(words), payload.seen.origin, _collapsed(words)))
    for _, origin, text in sorted(ranked):
        if len(shown) < EXEMPLARS and origin not in shown and text not in shown.values():
            shown[origin] = text
    return tuple(shown.values())


def _plain(word: str) -> str:
    return word.casefold().strip(_NOISE)


def _collapsed(words: Sequence[str]) -> str:
    kept = [word for i, word in enumerate(words) if word != SLOT or i == 0 or words[i - 1] != SLOT]
    return " ".join(kept)


def _entropy(messages: Counter[int]) -> float:
    total = messages.total()
    if total < 2:
        return 1.0
    bits = -math.fsum(n / total * math.log2(n / total) for n in messages.values())
    return bits / math.log2(total)


def described(
    seen: Sequence[Sighting], payloads: Sequence[Payload], verdict: Verdict, all_cost: float
) -> tuple[tuple[Subtask, ...], Profile]:
    """Return a task's subtasks and its profile."""
    subtasks = subtasks_of(seen, verdict.output)
    return subtasks, profile_of(seen, payloads, verdict, subtasks=subtasks, all_cost=all_cost)
