"""What is said of one task: whether its calls could leave the LLM, and why, in words."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.report.words import percent, plural

if TYPE_CHECKING:
    from offramp.report.results import TaskResult
    from offramp.report.summary import Summary

NAMES = {
    "cache": "an exact cache",
    "template": "templates",
    "classifier": "a classifier",
    "extractive": "an extractive student",
    "lora": "a small model with an adapter",
    "prompted": "a small model with examples in its prompt",
    "cheaper": "a cheaper LLM",
}
"""How kinds of candidates are called in a sentence; another kind goes by its own name."""


class Fate(enum.StrEnum):
    """What becomes of a task's calls, best first."""

    LEAVES = "leaves"
    OPEN = "open"
    MORE = "more"
    STAYS = "stays"


CHIPS = {
    Fate.LEAVES: "could leave",
    Fate.OPEN: "not tried yet",
    Fate.MORE: "more calls needed",
    Fate.STAYS: "keep the LLM",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A fate and the reason for it.

    Attributes:
        fate: What becomes of the task.
        why: One or two sentences.
    """

    fate: Fate
    why: str

    @property
    def chip(self) -> str:
        """The fate in a few words."""
        return CHIPS[self.fate]


def verdict_on(task: TaskResult) -> Verdict:
    """Judge one task by what was found and tried."""
    if task.live:
        return Verdict(Fate.LEAVES, _promise(task))
    if task.candidates:
        return _after_trying(task)
    if task.calls_needed:
        return Verdict(Fate.MORE, task.reason)
    if task.convertible:
        untried = "; ".join(f"{kind}: {reason}" for kind, reason in task.untried.items())
        return Verdict(Fate.OPEN, f"{task.reason} {untried}".strip())
    return Verdict(Fate.STAYS, task.reason)


def called(kind: str) -> str:
    """Name a kind of candidate in a sentence."""
    return NAMES.get(kind, kind or "a specialist")


def share_of(task: TaskResult, summary: Summary) -> float:
    """A task's share of what the traffic costs: of the money where prices are known, else of the tokens."""
    if task.share_cost is not None:
        return task.share_cost
    if task.share_tokens is not None:
        return task.share_tokens
    return task.calls / summary.calls_total if summary.calls_total else 0.0


def ranked(summary: Summary) -> list[tuple[TaskResult, Verdict]]:
    """All tasks with their verdicts, what costs most first."""
    pairs = [(task, verdict_on(task)) for task in summary.tasks]
    return sorted(pairs, key=lambda pair: (-share_of(pair[0], summary), -pair[0].calls, pair[0].name))


def leaving_share(summary: Summary, of: str = "share_calls") -> float:
    """Share of all calls (or of ``share_cost``, ``share_tokens``) that specialists could answer."""
    return sum((getattr(task, of) or 0.0) * (task.coverage or 0.0) for task in summary.live)


def _promise(task: TaskResult) -> str:
    who = called(task.candidate)
    if task.scope == "group":
        own = "" if task.risk_upper is None else f" Alone its bound would be {percent(task.risk_upper)}."
        return f"Certified in its group: {who} could answer {percent(task.coverage)} of it.{own}"
    answers = f"{who[0].upper()}{who[1:]} could answer {percent(task.coverage)} of it"
    return f"{answers}, certified to disagree on at most {percent(task.risk_upper)} of those."


def _after_trying(task: TaskResult) -> Verdict:
    kind, agreement = max(task.candidates.items(), key=lambda item: item[1])
    best = f"the best candidate, {called(kind)}, agrees on {percent(agreement)} of validation calls"
    if task.calls_needed:
        more = plural(task.calls_needed, "more calibration call")
        return Verdict(Fate.MORE, f"About {more} could certify it; {best}.")
    if task.scope == "group" and task.reason:
        return Verdict(Fate.STAYS, f"{task.reason} In its group {best}.")
    return Verdict(Fate.STAYS, f"Too seldom sure and right: {best}.")
