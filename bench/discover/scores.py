"""How well groups of calls match known ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from sklearn.metrics import adjusted_rand_score, v_measure_score

from offramp.discover.hierarchy import action_of
from offramp.discover.sighting import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.discover.traffic import Labelled

    from offramp.discover.discover import Discovery

CAP = 50
"""Calls of a site that count where every site is to weigh the same."""


@dataclass(frozen=True, slots=True)
class Score:
    """Agreement of found groups with known ones.

    Attributes:
        calls: Labelled calls that were scored.
        known: Distinct labels.
        found: Distinct groups that they were put in, each call without a group counted as its own.
        ari: Adjusted Rand index.
        v_measure: Harmonic mean of homogeneity and completeness.
        even: The adjusted Rand index with at most 50 calls of each label, so that no large one decides it.
    """

    calls: int
    known: int
    found: int
    ari: float
    v_measure: float
    even: float


def against(truth: Mapping[str, str], groups: Mapping[str, str]) -> Score:
    """Score groups by call id; a call in no group is one of its own, which is the strict reading."""
    labels = list(truth.values())
    found = [groups.get(call, f"alone/{call}") for call in truth]
    counts: Counter[str] = Counter()
    few = []
    for pair in zip(labels, found, strict=True):
        counts[pair[0]] += 1
        if counts[pair[0]] <= CAP:
            few.append(pair)
    return Score(
        len(labels),
        len(set(labels)),
        len(set(found)),
        float(adjusted_rand_score(labels, found)),
        float(v_measure_score(labels, found)),
        float(adjusted_rand_score([label for label, _ in few], [group for _, group in few])),
    )


def sites(labelled: Sequence[Labelled], groups: Mapping[str, str]) -> Score:
    """Score groups against call sites, on the calls whose site is known."""
    return against({i.call.id: i.site for i in labelled if i.site is not None}, groups)


def capped(labelled: Sequence[Labelled]) -> list[Labelled]:
    """Keep the first 50 calls of each site, and of each file those whose site nobody knows."""
    counts: Counter[str] = Counter()
    kept = []
    for item in labelled:
        site = item.site or item.file
        counts[site] += 1
        if counts[site] <= CAP:
            kept.append(item)
    return kept


def actions(labelled: Sequence[Labelled], found: Discovery) -> Score:
    """Score a site's subtasks against the labels of its calls' actions."""
    outputs = {task.id: task.output for task in found.tasks}
    watch = Watch()
    groups: dict[str, str] = {}
    for item in labelled:
        task = found.assignment.get(item.call.id)
        facts = watch.see(item.call).facts
        if task is not None and facts is not None:
            groups[item.call.id] = f"{task}: {action_of(facts, outputs[task])}"
    return against({i.call.id: i.action for i in labelled if i.action is not None}, groups)


def predicted(labelled: Sequence[Labelled], found: Discovery) -> str:
    """Say how well the words of a request alone tell the subtask, weighed by the tasks' calls."""
    tasks = {task.id: task.profile for task in found.tasks}
    profiles = [tasks[task] for i in labelled if (task := found.assignment.get(i.call.id)) is not None]
    told = [(p.predicted, p.usual) for p in profiles if p.predicted is not None and p.usual is not None]
    if not told:
        return ""
    predicted, usual = (fmean(figures) for figures in zip(*told, strict=True))
    return f"words alone tell {predicted:.0%}, a guess {usual:.0%}"


def agreement(one: Mapping[str, str], other: Mapping[str, str]) -> float:
    """Adjusted Rand index of two groupings on the calls that both were given; "" is a group of none."""
    common = sorted(one.keys() & other.keys())
    left = [one[call] or f"alone/{call}" for call in common]
    right = [other[call] or f"alone/{call}" for call in common]
    return float(adjusted_rand_score(left, right))
