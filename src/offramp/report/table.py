"""The report for a terminal: plain text, aligned, no colour codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.report.markup import columns as width_of
from offramp.report.markup import elide, plain, shorten
from offramp.report.words import (
    above_promise,
    count,
    headline,
    leaving,
    missing,
    percent,
    plural,
    seconds,
    span,
    usd,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.report.results import TaskResult
    from offramp.report.summary import Summary

NARROWEST = 80
_GAP = "  "
_NAME = 22


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column: figures stand on the right; without room, the one of the highest rank goes first."""

    title: str
    right: bool = False
    rank: int = 0


def render_table(summary: Summary, *, width: int = 100) -> str:
    """Render a summary as plain text.

    Args:
        summary: What to show.
        width: Columns of the terminal; below 80 counts as 80.

    Returns:
        Lines of at most ``width`` columns, each ended by a newline.
    """
    room = max(NARROWEST, width)
    parts = [
        wrapped(headline(summary), room),
        _live_part(summary, room),
        _kept_part(summary, room),
        _group_part(summary, room),
        _end_part(summary, room),
    ]
    text = "\n\n".join("\n".join(part) for part in parts if part)
    # The en dash of the page is not in every terminal's character set.
    return text.replace("\N{EN DASH}", "-") + "\n"


def _live_part(summary: Summary, room: int) -> list[str]:
    live = summary.live
    if not live:
        return []
    columns = (
        TableColumn("task"),
        TableColumn("calls", right=True),
        TableColumn("share", right=True, rank=2),
        TableColumn("answered by", rank=1),
        TableColumn("covers", right=True),
        TableColumn("certified", right=True),
        TableColumn("realised (95 %)", right=True),
    )
    rows = [
        (
            task.name,
            count(task.calls),
            percent(task.share_calls, digits=1),
            shorten(task.candidate, 20),
            percent(task.coverage, digits=0),
            _certified(task),
            _realised(task),
        )
        for task in live
    ]
    return [f"{leaving(summary)}: {plural(len(live), 'task')}", *aligned(columns, rows, room)]


def _kept_part(summary: Summary, room: int) -> list[str]:
    kept = summary.kept
    if not kept:
        return []
    lines = [f"Kept on the LLM: {plural(len(kept), 'task')}", "-" * min(room, NARROWEST)]
    for task in kept:
        share = f", {percent(task.share_calls, digits=1)}" if task.share_calls is not None else ""
        lines += wrapped(f"{task.name} ({plural(task.calls, 'call')}{share})", room)
        lines += wrapped(f"missing: {missing(task)}", room, indent=4)
        if task.reason:
            lines += wrapped(f"why: {task.reason}", room, indent=4)
    return lines


def _group_part(summary: Summary, room: int) -> list[str]:
    lines: list[str] = []
    for group in summary.groups:
        bound = (
            "nothing certified"
            if group.threshold is None
            else f"certified at most {percent(group.risk_upper)}"
        )
        realised = ""
        if group.disagreements_unseen is not None and group.answered_unseen:
            realised = (
                f", realised {percent(group.disagreements_unseen / group.answered_unseen)} "
                f"({span(group.realised)})"
            )
        lines += wrapped(
            f"Group {group.id}, {plural(len(group.members), 'task')}: {bound}{realised}, promised at most "
            f"{percent(group.alpha)}; {count(group.errors)} of {count(group.answered)} answered calibration "
            "calls disagreed.",
            room,
        )
    return lines


def _end_part(summary: Summary, room: int) -> list[str]:
    lines: list[str] = []
    if summary.risk is not None:
        lines += wrapped(f"Unseen calls: {verdict(summary.risk, summary.interval, summary.alpha)[1]}.", room)
    above = above_promise(summary)
    if above:
        lines += wrapped(f"Above the promise on their own: {'; '.join(above)}.", room)
    costs = summary.money
    if costs is not None:
        saved = f"{usd(costs.saving)} of {usd(costs.llm_only)} saved in {costs.days} days"
        lines += wrapped(f"Money: {costs.sentence or saved}", room)
    if summary.discovery is not None and summary.discovery.ari is not None:
        lines += wrapped(f"Discovery: adjusted Rand index {summary.discovery.ari:.3f}.", room)
    if summary.seconds:
        stages = ", ".join(f"{stage} {seconds(duration)}" for stage, duration in summary.seconds.items())
        lines += wrapped(f"Time: {seconds(sum(summary.seconds.values()))} ({stages}).", room)
    for note in summary.notes:
        lines += wrapped(f"Note: {note}", room)
    return lines


def _certified(task: TaskResult) -> str:
    if task.scope == "group":
        return shorten(f"group {task.group}", 16)
    return f"<= {percent(task.risk_upper, digits=1)}" if task.risk_upper is not None else percent(None)


def _realised(task: TaskResult) -> str:
    around = f" ({span(task.realised, digits=1)})" if task.realised else ""
    return percent(task.realised_risk, digits=1) + around


def aligned(columns: Sequence[TableColumn], rows: Sequence[Sequence[str]], room: int) -> list[str]:
    """Lay out rows under their titles; ranked columns go and the first one shrinks until they have room."""
    table = [[column.title for column in columns], *rows]
    widths = [max(width_of(row[index]) for row in table) for index in range(len(columns))]
    shown = list(range(len(columns)))
    while (spare := room - sum(widths[i] for i in shown[1:]) - len(_GAP) * (len(shown) - 1)) < _NAME:
        ranked = [i for i in shown if columns[i].rank]
        if not ranked:
            break
        shown.remove(max(ranked, key=lambda i: columns[i].rank))
    widths[0] = max(_NAME, min(widths[0], spare))
    lines = [
        _GAP.join(_cell(row[i], widths[i], right=columns[i].right, middle=i == 0) for i in shown)
        for row in table
    ]
    ruler = "-" * max(width_of(line) for line in lines)
    return [lines[0].rstrip(), ruler, *(line.rstrip() for line in lines[1:])]


def _cell(text: str, width: int, *, right: bool, middle: bool) -> str:
    shown = elide(text, width) if middle else shorten(text, width)
    blank = " " * (width - width_of(shown))
    return blank + shown if right else shown + blank


def wrapped(text: str, room: int, *, indent: int = 0) -> list[str]:
    """Break a text into lines of at most ``room`` columns."""
    lines, line = [], ""
    for word in plain(text).split():
        longer = f"{line} {word}".strip()
        if line and width_of(longer) > room - indent:
            lines.append(line)
            longer = word
        line = shorten(longer, room - indent)
    return [" " * indent + found for found in ([*lines, line] if line else lines)]
