"""The sentences of a scan: its headline, its limits, its method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.report.verdicts import Fate, leaving_share, verdict_on
from offramp.report.words import count, percent, plural, usd

if TYPE_CHECKING:
    from offramp.report.results import Scan
    from offramp.report.summary import Costs, Summary

_SESSION_CALLS = 20

_LIKE_THIS = (
    "It holds for traffic like this log's. Another prompt, tool schema or model is another version of a "
    "task, and voids its certificate."
)
_NOTHING_SERVED = (
    "Nothing has served yet: offramp goes on asking the LLM about a random share of what it answers, and "
    "takes a specialist out when the promise stops holding."
)


def scan_headline(summary: Summary, scan: Scan) -> str:
    """How much could leave, at which risk, and what it would save: the result in one sentence."""
    if scan.quick:
        return _quick_headline(summary)
    share = leaving_share(summary)
    promise = f"at a certified risk of at most {percent(summary.alpha)} (delta {percent(summary.delta)})"
    if not share:
        return f"None of {_these(summary)} can leave the LLM {promise} yet{_hope(summary)}."
    return f"{percent(share)} of these calls could leave the LLM {promise}{_saving(summary.money, scan)}."


def limits(summary: Summary, scan: Scan) -> list[str]:
    """What the result does not say; every scan has to name these."""
    found = [
        "Agreement is not correctness: a specialist that agrees with the LLM repeats its mistakes.",
        _session_limit(summary),
        _LIKE_THIS,
        _NOTHING_SERVED,
    ]
    if summary.money is not None:
        found.append(
            "Money is at list prices: no discounts, no batch prices, no cached prompts. Calls handed back, "
            "audits, training and an always-on device are counted."
        )
    if scan.times == "assumed":
        found.append(f"The log tells no times: it is taken for {scan.days:.0f} days (--days says otherwise).")
    elif scan.times == "log" and scan.days < 1:
        found.append(
            f"The log covers {24 * scan.days:.1f} hours only; the month's money is that, many times over."
        )
    return [line for line in found if line]


def method(summary: Summary, scan: Scan) -> str:
    """How the figures came about, in a footnote."""
    tasks = "Tasks are call sites, found by prompt template, tool schemas and form of answers, not by tags."
    if scan.quick:
        return f"{tasks} Nothing was trained: this was a quick scan."
    return (
        f"{tasks} Each one's calls are split by session and then by time: half to train on, 15 % to choose "
        "the candidate and fit its confidence, 35 % to certify. The certificate is a finite-sample test at "
        "each threshold of a sequence fixed beforehand, stopped at the first failure; what it counts stands "
        f"beside it. Delta, {percent(summary.delta)}, is split over all certificates, so that all of them "
        "hold at once. What was learned from was masked first."
    )


def window(scan: Scan) -> str:
    """The time that the log stands for."""
    if scan.times == "assumed":
        return f"no times in the log: taken for {scan.days:.0f} days"
    days = f"{scan.days:,.0f} days" if scan.days >= 2 else f"{24 * scan.days:,.1f} hours"
    return f"{days} of traffic" + (" as you said" if scan.times == "given" else "")


def _these(summary: Summary) -> str:
    return f"{'this' if summary.calls_total == 1 else 'these'} {plural(summary.calls_total, 'call')}"


def _quick_headline(summary: Summary) -> str:
    able = [task for task in summary.tasks if task.convertible]
    share = sum(task.share_calls or 0.0 for task in able)
    of = f"{count(len(able))} of {plural(len(summary.tasks), 'task')}"
    if not able:
        return (
            f"None of {plural(len(summary.tasks), 'task')} in {_these(summary)} has "
            "enough answers of a form that can be certified."
        )
    return (
        f"{percent(share)} of {_these(summary)} give answers of a form that can be "
        f"certified ({of}): that much could leave the LLM at most. A scan without --quick tells how much can."
    )


def _saving(costs: Costs | None, scan: Scan) -> str:
    if costs is None:
        return ""
    rate = "if this log is a month's traffic" if scan.times == "assumed" else "at this rate"
    if costs.saving > 0:
        return f", saving about {usd(costs.saving)} of {usd(costs.llm_only)} a month {rate}"
    pays = (
        f", but it would from {count(costs.dedicated_calls)} calls a month" if costs.dedicated_calls else ""
    )
    return f"; {rate} that does not pay: it costs {usd(-costs.saving)} a month more than the LLM alone{pays}"


def _hope(summary: Summary) -> str:
    fates = [verdict_on(task).fate for task in summary.tasks]
    more, open_ = fates.count(Fate.MORE), fates.count(Fate.OPEN)
    parts = []
    if more:
        parts.append(f"{plural(more, 'task')} could with more calls")
    if open_:
        parts.append(f"{plural(open_, 'task')} could not be tried in the time")
    return ": " + ", ".join(parts) if parts else ""


def _session_limit(summary: Summary) -> str:
    if summary.alpha is None or not summary.live:
        return ""
    whole = (1 - summary.alpha) ** _SESSION_CALLS
    return (
        f"A bound per call is none per session: of sessions with {_SESSION_CALLS} calls answered at a risk "
        f"of {percent(summary.alpha)} each, only {percent(whole)} would be without a disagreement."
    )
