"""The picture of a scan: all traffic as one bar, cut by what could become of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.report.markup import Markup, join, tag
from offramp.report.svg import WIDTH, Scale, bar, chart, text
from offramp.report.verdicts import Fate, verdict_on
from offramp.report.words import percent

if TYPE_CHECKING:
    from offramp.report.results import TaskResult
    from offramp.report.summary import Summary

_MEASURES = (("calls", "share_calls"), ("tokens", "share_tokens"), ("cost", "share_cost"))
_BAR, _ROW, _LEFT = 22.0, 34.0, 52.0

PARTS = (
    ("leaves", "could leave the LLM, certified"),
    ("handed", "the same tasks, handed back when unsure"),
    ("open", "of a form that can be certified, not tried yet"),
    ("more", "more calls needed to certify"),
    ("stays", "keep the LLM"),
    ("none", "calls of no recurring task"),
)
"""Parts of the bar by class, best first, with their meaning."""


def parts_of(summary: Summary, measure: str) -> dict[str, float]:
    """Cut all traffic into the parts of the bar; the shares add up to 1.

    Args:
        summary: The scan.
        measure: ``share_calls``, ``share_tokens`` or ``share_cost``.
    """
    shares = dict.fromkeys((name for name, _ in PARTS), 0.0)
    for task in summary.tasks:
        share = getattr(task, measure) or 0.0
        fate = verdict_on(task).fate
        if fate is Fate.LEAVES:
            shares["leaves"] += share * (task.coverage or 0.0)
            shares["handed"] += share * (1 - (task.coverage or 0.0))
        else:
            shares[fate.value] += share
    shares["none"] = max(0.0, 1.0 - sum(shares.values()))
    return shares


def traffic_bar(summary: Summary) -> Markup | None:
    """Draw one stacked bar for calls, tokens and, where prices are known, cost."""
    known = [(name, field) for name, field in _MEASURES if _known(summary.tasks, field)]
    if not known:
        return None
    cuts = [(name, parts_of(summary, field)) for name, field in known]
    rows = [_stack(name, cut, y=8 + _ROW * index) for index, (name, cut) in enumerate(cuts)]
    shown = [part for part in PARTS if any(cut[part[0]] >= _LEAST for _, cut in cuts)]
    top = 8 + _ROW * len(rows) + 10
    return chart(
        "traffic",
        *rows,
        *(_key(part, cuts, y=top + 19 * index) for index, part in enumerate(shown)),
        title="What could become of the traffic",
        description="; ".join(
            f"{meaning}: " + ", ".join(f"{percent(cut[class_])} of {name}" for name, cut in cuts)
            for class_, meaning in shown
        )
        + ".",
        height=top + 19 * len(shown),
    )


def meter(share: float, covered: float, widest: float) -> Markup:
    """Draw a small bar for a table's cell: the share of one task, and how much of it could leave.

    It is decoration: the cell holds the figures.
    """
    scale = Scale(0.0, max(widest, 1e-9), 0.0, 100.0)
    return tag(
        "svg",
        bar(0, 0, 100, 8, "track"),
        bar(0, 0, scale.at(share), 8, "teacher"),
        bar(0, 0, scale.at(share * covered), 8, "specialist"),
        viewBox="0 0 100 8",
        preserveAspectRatio="none",
        class_="meter",
        aria_hidden="true",
    )


_LEAST = 0.0005


def _known(tasks: tuple[TaskResult, ...], field: str) -> bool:
    return any(getattr(task, field) is not None for task in tasks)


def _stack(name: str, cut: dict[str, float], *, y: float) -> Markup:
    scale = Scale(0.0, 1.0, _LEFT, float(WIDTH))
    drawn, at = [], 0.0
    for class_, meaning in PARTS:
        share = cut[class_]
        if share < _LEAST:
            continue
        start, end = scale.at(at), scale.at(at + share)
        drawn.append(bar(start, y, end - start, _BAR, f"f-{class_}", tip=f"{meaning}: {percent(share)}"))
        if class_ == "leaves" and end - start > 34:
            drawn.append(text(start + 7, y + 15.5, percent(share), class_="on-bar"))
        at += share
    return join(text(0, y + 15.5, name, class_="strong"), *drawn)


def _key(part: tuple[str, str], cuts: list[tuple[str, dict[str, float]]], *, y: float) -> Markup:
    class_, meaning = part
    figures = " / ".join(percent(cut[class_]) for _, cut in cuts)
    return join(
        tag("rect", x=0, y=y, width=11, height=11, class_=f"f-{class_}"),
        text(18, y + 10, meaning, class_="key"),
        text(WIDTH, y + 10, figures, class_="key", anchor="end"),
    )
