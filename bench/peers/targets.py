"""The promises of the comparison beside the figures of the same run; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.gateway.targets import Verdict
from bench.peers.measure import ALPHAS, OFFRAMP, TRACER, TRACER_ALL

if TYPE_CHECKING:
    from bench.peers.outcomes import Summary

    Table = dict[str, dict[str, dict[float, Summary]]]
    """Summaries by traffic, system and alpha."""

DELTA = 0.05
LABELS = "clinc150"
"""Where TRACER's answers are labels: what it is made for."""

HOME = "home"
_WANTED = ((0.05, 0.50, 0.60), (0.1, 0.70, 0.78))
"""Home assistant: alpha, coverage promised, coverage aimed at."""


def judge(table: Table) -> list[Verdict]:
    """Return every promise with its verdict."""
    return [*_kept(table), *_beaten(table), *_covered(table)]


def holds(summary: Summary) -> bool:
    """Tell whether a system broke its promise no more often than delta allows."""
    return summary.broke <= DELTA * summary.splits


def _kept(table: Table) -> list[Verdict]:
    verdicts = []
    for traffic, systems in table.items():
        for alpha, summary in systems.get(OFFRAMP, {}).items():
            low, high = summary.broke_share
            found = f"{summary.broke} of {summary.splits} splits [{low:.2f}, {high:.2f}]"
            if not summary.served:
                found += ", nothing answered"
            promise = f"{traffic}, alpha {alpha:.0%}: broken in at most {DELTA:.0%} of the splits"
            verdicts.append(Verdict(promise, found, holds(summary)))
    return verdicts


def _beaten(table: Table) -> list[Verdict]:
    """Coverage above TRACER's, where TRACER is at home and both keep their promise."""
    systems = table.get(LABELS, {})
    verdicts = []
    for peer in (TRACER, TRACER_ALL):
        for alpha in ALPHAS:
            ours, theirs = (systems.get(name, {}).get(alpha) for name in (OFFRAMP, peer))
            promise = f"{LABELS}, alpha {alpha:.0%}: coverage above {peer}, where both hold"
            if ours is None or theirs is None:
                verdicts.append(Verdict(promise, "-", None))
                continue
            found = f"{ours.coverage:.3f} beside {theirs.coverage:.3f}"
            if not holds(theirs):
                # Who breaks the promise may answer as much as it likes.
                verdicts.append(
                    Verdict(promise, f"{found}; it broke in {theirs.broke} of {theirs.splits}", None)
                )
                continue
            verdicts.append(Verdict(promise, found, holds(ours) and ours.coverage > theirs.coverage))
    return verdicts


def _covered(table: Table) -> list[Verdict]:
    systems = table.get(HOME, {})
    verdicts = []
    for alpha, promised, aim in _WANTED:
        summary = systems.get(OFFRAMP, {}).get(alpha)
        promise = f"{HOME}, group, alpha {alpha:.0%}: coverage at least {promised:.2f} (aim {aim:.2f})"
        found = "-" if summary is None else _range(summary)
        verdicts.append(Verdict(promise, found, None if summary is None else summary.coverage >= promised))
    return verdicts


def _range(summary: Summary) -> str:
    low, high = summary.coverage_range
    return f"{summary.coverage:.3f} ({low:.3f}-{high:.3f})"
