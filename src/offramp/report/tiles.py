"""The four figures that decide, at the top of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.report.markup import Markup, join, tag
from offramp.report.words import count, percent, span, usd, verdict

if TYPE_CHECKING:
    from offramp.report.summary import Costs, Summary


def tiles(summary: Summary) -> Markup:
    """Coverage, disagreement, tasks and money, as far as they are known."""
    parts = [_coverage_tile(summary), _risk_tile(summary), _tasks_tile(summary), _money_tile(summary.money)]
    return tag(
        "section", *(part for part in parts if part is not None), class_="tiles", aria_label="Key figures"
    )


def tile(title: str, value: str, detail: object, *, state: str = "") -> Markup:
    """One figure with its name and what it means; ``state`` colours its edge: kept, open or broken."""
    return tag(
        "div",
        tag("h2", title),
        tag("p", value, class_="value"),
        tag("p", detail, class_="detail"),
        class_=f"tile {state}".strip(),
    )


def _coverage_tile(summary: Summary) -> Markup | None:
    answered = summary.answered
    if not summary.calls_unseen or answered is None:
        return tile("Calls read", count(summary.calls_total), "no calls were kept for a test")
    share = percent(answered / summary.calls_unseen)
    return tile(
        "Answered without the LLM", share, f"{count(answered)} of {count(summary.calls_unseen)} unseen calls"
    )


def _risk_tile(summary: Summary) -> Markup | None:
    if summary.risk is None:
        return None
    state, phrase = verdict(summary.risk, summary.interval, summary.alpha)
    promised = "" if summary.alpha is None else f"promised at most {percent(summary.alpha)}; "
    around = f"95 %: {span(summary.interval)}; " if summary.interval else ""
    return tile("Of those, disagreed", percent(summary.risk), f"{around}{promised}{phrase}", state=state)


def _tasks_tile(summary: Summary) -> Markup:
    live, kept = len(summary.live), len(summary.kept)
    words = "taken off" if summary.calls_unseen else "could leave"
    links = join(
        tag("a", f"{live} {words}", href="#live"), ", ", tag("a", f"{kept} kept on the LLM", href="#kept")
    )
    return tile("Tasks", f"{live} of {live + kept}", links)


def _money_tile(costs: Costs | None) -> Markup | None:
    if costs is None:
        return None
    title = f"Saved in {costs.days} days" if costs.saving >= 0 else f"Extra cost in {costs.days} days"
    part = (
        f" ({percent(abs(costs.saving) / costs.llm_only)} of {usd(costs.llm_only)})" if costs.llm_only else ""
    )
    verdict_ = "worth it" if costs.worth_it else "not worth it at this volume"
    return tile(
        title,
        usd(abs(costs.saving)),
        f"{verdict_}{part}; training {usd(costs.training_once)} once",
        state="kept" if costs.worth_it else "open",
    )
