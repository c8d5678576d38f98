"""A scan for a terminal: understood in ten seconds, the rest on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.report.scan_words import limits, scan_headline
from offramp.report.table import NARROWEST, TableColumn, aligned, wrapped
from offramp.report.verdicts import Fate, ranked, share_of
from offramp.report.words import count, percent, plural, seconds

if TYPE_CHECKING:
    from offramp.report.results import Scan, TaskResult
    from offramp.report.summary import Summary
    from offramp.report.verdicts import Verdict

_ROWS = 15
_REASONS = 5
_COLUMNS_WITHOUT = 4


def render_scan(summary: Summary, scan: Scan, *, width: int = 100) -> str:
    """Render a scan as plain text.

    Args:
        summary: What was found.
        scan: What was looked at.
        width: Columns of the terminal; below 80 counts as 80.

    Returns:
        Lines of at most ``width`` columns, each ended by a newline.
    """
    room = max(NARROWEST, width)
    rows = ranked(summary)
    parts = [
        wrapped(scan_headline(summary, scan), room),
        _map(rows, summary, room),
        _reasons(rows, room),
        _left_out(summary, scan, room),
        [*wrapped(limits(summary, scan)[0], room), f"Next: {scan.command}"],
    ]
    text = "\n\n".join("\n".join(part) for part in parts if part)
    return text.replace("\N{EN DASH}", "-") + "\n"


def _map(rows: list[tuple[TaskResult, Verdict]], summary: Summary, room: int) -> list[str]:
    if not rows:
        return ["No call recurs often enough to be a task."]
    priced = any(task.share_cost is not None for task, _ in rows)
    columns = (
        TableColumn("task"),
        TableColumn("calls", right=True),
        TableColumn("of cost" if priced else "of tokens", right=True),
        TableColumn("verdict"),
        TableColumn("leaves", right=True),
        TableColumn("risk", right=True),
        TableColumn("answered by", rank=1),
    )
    used = len(columns) if summary.live else _COLUMNS_WITHOUT
    cells = [_cells(task, verdict, summary)[:used] for task, verdict in rows[:_ROWS]]
    lines = aligned(columns[:used], cells, room)
    if len(rows) > _ROWS:
        rest = rows[_ROWS:]
        share = sum(share_of(task, summary) for task, _ in rest)
        lines.append(
            f"and {plural(len(rest), 'smaller task')}, {percent(share)} together: --json or --out lists them"
        )
    return lines


def _cells(task: TaskResult, verdict: Verdict, summary: Summary) -> tuple[str, ...]:
    share = percent(share_of(task, summary), digits=1)
    if not task.live:
        return (task.name, count(task.calls), share, verdict.chip, "", "", "")
    grouped = task.scope == "group"
    bound = f"<= {percent(task.alpha if grouped else task.risk_upper, digits=1)}{' *' if grouped else '  '}"
    return (task.name, count(task.calls), share, verdict.chip, percent(task.coverage), bound, task.candidate)


def _reasons(rows: list[tuple[TaskResult, Verdict]], room: int) -> list[str]:
    """Say why the dearest tasks that stay do so."""
    lines: list[str] = []
    if any(task.live and task.scope == "group" for task, _ in rows):
        lines += wrapped("* one promise for the group over its mix; a member may do worse.", room)
    kept = [(task, verdict) for task, verdict in rows if verdict.fate is not Fate.LEAVES]
    by_reason: dict[str, list[TaskResult]] = {}
    for task, verdict in kept:
        by_reason.setdefault(verdict.why, []).append(task)
    for why, tasks in list(by_reason.items())[:_REASONS]:
        others = f" and {plural(len(tasks) - 1, 'other')}" if len(tasks) > 1 else ""
        lines += wrapped(f"{tasks[0].name}{others}: {why}", room)
    if len(by_reason) > _REASONS:
        lines.append("Further reasons are on the page (--out).")
    return lines


def _left_out(summary: Summary, scan: Scan, room: int) -> list[str]:
    lines = [line for entry in scan.left_out for line in wrapped(f"Left out: {entry}", room)]
    if scan.skipped:
        where = "; ".join(scan.skipped_at)
        more = " and others" if scan.skipped > len(scan.skipped_at) else ""
        lines += wrapped(f"Left out: {plural(scan.skipped, 'broken line')} ({where}{more}).", room)
    if scan.times == "assumed" and summary.money is not None:
        lines += wrapped(f"The log tells no times: it is taken for {scan.days:.0f} days (--days).", room)
    for note in summary.notes:
        lines += wrapped(f"Note: {note}", room)
    if summary.seconds:
        stages = ", ".join(f"{stage} {seconds(taken)}" for stage, taken in summary.seconds.items())
        lines += wrapped(f"Took {seconds(sum(summary.seconds.values()))}: {stages}.", room)
    return lines
