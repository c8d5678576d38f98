"""Figures as people read them, and the sentences that stand at the top of every report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offramp.report.results import Interval, TaskResult
    from offramp.report.summary import Summary

NONE = "\N{EN DASH}"
_TO = "\N{EN DASH}"
_MINUTE, _HOUR = 60, 3600


def percent(share: float | None, *, digits: int | None = None) -> str:
    """A share as a percentage: whole from 10 %, one digit below, two below 0.1 %; a dash where unknown.

    Args:
        share: 0 to 1.
        digits: Digits after the point, for columns that are read together.
    """
    if share is None or not math.isfinite(share):
        return NONE
    return f"{_points(share, digits)} %"


def span(interval: Interval | None, *, digits: int | None = None) -> str:
    """An interval of shares as percentages; a dash where unknown."""
    if interval is None:
        return NONE
    # Both ends with the digits of the one that needs more: 4.8 must not become 5 beside a promise of 5.
    shown = max(_digits(interval.low), _digits(interval.high)) if digits is None else digits
    return f"{_points(interval.low, shown)}{_TO}{_points(interval.high, shown)} %"


def count(number: float | None) -> str:
    """A whole number with thousands separated; a dash where unknown."""
    return NONE if number is None or not math.isfinite(number) else f"{number:,.0f}"


def plural(number: int, noun: str) -> str:
    """A number and its noun."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def usd(amount: float | None) -> str:
    """Money: whole dollars from 100, cents below, two digits that matter below one."""
    if amount is None or not math.isfinite(amount):
        return NONE
    sign = "-" if amount < 0 else ""
    size = abs(amount)
    if size >= 100:
        return f"{sign}${size:,.0f}"
    return f"{sign}${size:,.2f}" if size >= 1 or size == 0 else f"{sign}${size:.2g}"


def seconds(duration: float) -> str:
    """A duration in the largest unit that leaves a digit before the point."""
    if duration < _MINUTE:
        return f"{duration:.1f} s"
    if duration < _HOUR:
        return f"{duration // _MINUTE:.0f} min {duration % _MINUTE:02.0f} s"
    return f"{duration // _HOUR:.0f} h {duration % _HOUR // _MINUTE:02.0f} min"


def headline(summary: Summary) -> str:
    """The result in one sentence."""
    if not summary.calls_unseen:
        return _scan_headline(summary)
    answered = summary.answered
    if not answered:
        return (
            f"offramp answered none of {plural(summary.calls_unseen, 'unseen call')}: "
            f"{_nothing_live(summary.tasks)}."
        )
    covered = answered / summary.calls_unseen
    if summary.risk is None:
        return f"offramp answered {percent(covered)} of {count(summary.calls_unseen)} unseen calls."
    around = f" (95 %: {span(summary.interval)})" if summary.interval else ""
    promise = f", promised at most {percent(summary.alpha)}" if summary.alpha is not None else ""
    return (
        f"offramp answered {percent(covered)} of {count(summary.calls_unseen)} unseen calls; "
        f"{percent(summary.risk)} of those disagreed{around}{promise}."
    )


def verdict(risk: float | None, interval: Interval | None, alpha: float | None) -> tuple[str, str]:
    """Whether the promise held on unseen calls.

    Returns:
        A word for it (``"kept"``, ``"open"``, ``"broken"``, ``"unknown"``) and a phrase.
    """
    if risk is None or alpha is None:
        return "unknown", "not measured on unseen calls"
    if interval is not None and interval.low > alpha:
        return "broken", "promise broken: even the interval's lower end is above it"
    if risk > alpha:
        return "open", "above the promise, but within what chance allows"
    if interval is not None and interval.high > alpha:
        return "open", "within the promise; too few unseen calls to prove it again"
    return "kept", "promise kept, interval included"


def leaving(summary: Summary) -> str:
    """What is said of converted tasks: done where they were tested on unseen calls, possible in a scan."""
    return "Taken off the LLM" if summary.calls_unseen else "Could leave the LLM"


def above_promise(summary: Summary) -> list[str]:
    """Tasks that do worse on unseen calls than promised, whatever the pooled figure says."""
    return [
        f"{task.name} {percent(task.realised_risk)} ({count(task.disagreements_unseen)} of "
        f"{count(task.answered_unseen)}; 95 %: {span(task.realised)})"
        for task in summary.live
        if task.alpha is not None and (task.realised_risk or 0.0) > task.alpha
    ]


def missing(task: TaskResult) -> str:
    """What a task that stays with the LLM lacks."""
    if task.calls_needed:
        return f"about {plural(task.calls_needed, 'more calibration call')} could certify it"
    if task.candidates:
        name, agreement = max(task.candidates.items(), key=lambda item: item[1])
        return f"a better candidate: the best, {name}, agrees on {percent(agreement)}"
    return "no candidate was tried"


def _scan_headline(summary: Summary) -> str:
    found = f"offramp found {plural(len(summary.tasks), 'task')} in {plural(summary.calls_total, 'call')}"
    live = summary.live
    if not live:
        return f"{found}; {_nothing_live(summary.tasks)}."
    share = sum((task.share_calls or 0) * (task.coverage or 0) for task in live)
    covering = f" and about {percent(share)} of the calls" if share else ""
    promise = f", with at most {percent(summary.alpha)} disagreement" if summary.alpha is not None else ""
    return f"{found}; {plural(len(live), 'task')}{covering} could leave the LLM{promise}."


def _nothing_live(tasks: tuple[TaskResult, ...]) -> str:
    return "all of them stay with the LLM" if tasks else "there is nothing to convert"


def _points(share: float, digits: int | None) -> str:
    if digits is not None:
        return f"{100 * share:.{digits}f}"
    text = f"{100 * share:.{_digits(share)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _digits(share: float) -> int:
    points = abs(100 * share)
    if points >= 9.95 or points == 0:
        return 0
    return 1 if points >= 0.095 else 2
