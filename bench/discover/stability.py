"""Whether discovery says the same of the same traffic: re-sampled, re-ordered, night by night."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.discover.scores import agreement, capped
from bench.discover.traffic import mix

from offramp.discover.discover import discover

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.discover.traffic import Labelled

    from offramp.core.call import Call
    from offramp.discover.discover import Discovery

KEPT = 0.8
"""Share of sessions in a re-sampled run."""

ROUNDS = 5
NIGHTS = 4


@dataclass(frozen=True, slots=True)
class Run:
    """Agreement of one run with another.

    Attributes:
        calls: Adjusted Rand index over all calls that both saw.
        sites: The same with at most 50 calls of each site, so that small ones count too.
        kept: Share of those calls whose task has the same id in both.
    """

    calls: float
    sites: float
    kept: float


def resampled(labelled: Sequence[Labelled], whole: Discovery) -> list[Run]:
    """Discover in four of five sessions, and compare with the whole on the calls of both."""
    sessions = sorted({item.call.session for item in labelled})
    runs = []
    for round_ in range(ROUNDS):
        kept = set(random.Random(round_).sample(sessions, int(len(sessions) * KEPT)))
        own = [item for item in labelled if item.call.session in kept]
        runs.append(_compared(own, discover(_calls(own)).assignment, whole.assignment))
    return runs


def reordered(labelled: Sequence[Labelled], whole: Discovery) -> list[Run]:
    """Let every session happen at another time, and hand the calls over in another order."""
    runs = []
    for round_ in range(1, ROUNDS + 1):
        shuffled = mix(labelled, seed=round_)
        random.Random(round_).shuffle(shuffled)
        runs.append(_compared(labelled, discover(_calls(shuffled)).assignment, whole.assignment))
    return runs


def halves(labelled: Sequence[Labelled]) -> list[Run]:
    """Discover in two disjoint halves of the sessions, and let both assign every call."""
    rng = random.Random(0)
    side = {session: rng.random() < 0.5 for session in sorted({item.call.session for item in labelled})}
    groups = []
    for half in (True, False):
        found = discover(_calls([item for item in labelled if side[item.call.session] is half]))
        groups.append(_assigned(labelled, found))
    return [_compared(labelled, *groups)]


def nightly(labelled: Sequence[Labelled], whole: Discovery, *, forget: bool) -> list[Run]:
    """Discover night by night, each knowing what the last one left, and compare the last with the whole.

    Args:
        labelled: All calls, by time.
        whole: What was found in all of them from scratch.
        forget: Whether a night sees the calls since the last one only.
    """
    size = len(labelled) // NIGHTS + 1
    previous = None
    for night in range(NIGHTS):
        start = night * size if forget else 0
        found = discover(_calls(labelled[start : (night + 1) * size]), previous=previous)
        previous = found.memory
    return [_compared(labelled, _assigned(labelled, found), whole.assignment)]


def _calls(labelled: Sequence[Labelled]) -> list[Call]:
    return [item.call for item in labelled]


def _assigned(labelled: Sequence[Labelled], found: Discovery) -> dict[str, str]:
    return {item.call.id: found.assigner.assign(item.call.request) or "" for item in labelled}


def _compared(labelled: Sequence[Labelled], one: Mapping[str, str], other: Mapping[str, str]) -> Run:
    scores = []
    for items in (labelled, capped(labelled)):
        ids = [item.call.id for item in items]
        left, right = ({call: groups.get(call, "") for call in ids} for groups in (one, other))
        scores.append(agreement(left, right))
    kept = sum(1 for i in labelled if one.get(i.call.id, "") == other.get(i.call.id, "")) / len(labelled)
    return Run(scores[0], scores[1], kept)
