"""Charts with one row per task: who answers its calls, and whether the promise held."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from offramp.report.markup import Markup, join, tag
from offramp.report.results import Interval
from offramp.report.summary import Point
from offramp.report.svg import WIDTH, Scale, bar, chart, legend, line, nice_top, text, x_axis
from offramp.report.words import count, percent, plural, span

if TYPE_CHECKING:
    from offramp.report.results import GroupResult, TaskResult
    from offramp.report.summary import Summary

_ROWS = 24
_LABELS = 146
_ROW = 19.0
_WIDEST = 0.5


def coverage_bars(summary: Summary) -> Markup | None:
    """Bars as long as each task's share of the calls, split into specialist and teacher."""
    tasks = sorted(summary.tasks, key=lambda task: -_share(task, summary))
    if not tasks:
        return None
    shown, rest = tasks[:_ROWS], tasks[_ROWS:]
    widest = max(_share(tasks[0], summary), 1e-9)
    rows = [
        _coverage_row(task, summary, y=44.0 + 32 * index, widest=widest) for index, task in enumerate(shown)
    ]
    if rest:
        share = sum(_share(task, summary) for task in rest)
        rows.append(
            text(
                0, 44 + 32 * len(shown), f"and {plural(len(rest), 'smaller task')}: {percent(share)} of calls"
            )
        )
    answered = sum(_share(task, summary) * (task.coverage or 0) for task in tasks if task.live)
    return chart(
        "coverage",
        legend(12, ("specialist", "specialist answers"), ("teacher", "LLM answers")),
        *rows,
        title="Who answers the calls of each task",
        description=f"{plural(len(tasks), 'task')}; specialists answer {percent(answered)} of all calls. "
        "The figures are in the tables below.",
        height=44 + 32 * len(rows),
    )


def promise_chart(summary: Summary) -> Markup | None:
    """Certified bound beside the realised risk with its interval, one row per certificate and member."""
    points = summary.points or points_of(summary)
    drawn = [point for point in points if point.certified is not None or point.realised is not None]
    if not drawn:
        return None
    ends = [value for p in drawn for value in (p.alpha, p.certified, p.realised, p.high) if value is not None]
    alphas = sorted({point.alpha for point in drawn if point.alpha is not None})
    # One member with a handful of calls must not squeeze everybody else to the left edge.
    top = nice_top(1.1 * min(max(ends), max(_WIDEST, 2 * max(alphas, default=0.0))) or 0.01)
    scale = Scale(0.0, top, _LABELS + 8.0, WIDTH - 14.0)
    bottom = 50 + _ROW * len(drawn)
    rows = [_promise_row(point, scale, y=58 + _ROW * index) for index, point in enumerate(drawn)]
    lines = [line(scale.at(alpha), 40, scale.at(alpha), bottom, "alpha") for alpha in alphas]
    words = [
        text(
            scale.at(alpha),
            35,
            f"promised {percent(alpha)}",
            class_="alpha-label",
            anchor=_anchor(scale, alpha),
        )
        for alpha in alphas
    ]
    ticks = tuple(percent(tick) for tick in scale.ticks())
    return chart(
        "promise",
        _promise_legend(measured=any(point.realised is not None for point in drawn)),
        x_axis(scale, 42, bottom, ticks, "share of answered calls that disagree"),
        *lines,
        *words,
        *rows,
        title="Promise and reality",
        description=_promise_words(drawn),
        height=bottom + 40,
    )


def points_of(summary: Summary) -> tuple[Point, ...]:
    """One point per certificate; a group's is followed by those of its members."""
    tasks = {task.id: task for task in summary.tasks}
    points: list[Point] = []
    grouped: set[str] = set()
    for group in summary.groups:
        members = [tasks[member] for member in group.members if member in tasks]
        points.append(_group_point(group, len(members)))
        live = [task for task in members if task.live]
        names = distinct([task.name for task in live])
        points += [
            replace(_task_point(task), label=name, certified=None, alpha=group.alpha, member=True)
            for task, name in zip(live, names, strict=True)
        ]
        grouped |= {task.id for task in members}
    points += [_task_point(task) for task in summary.live if task.id not in grouped]
    return tuple(points)


def _share(task: TaskResult, summary: Summary) -> float:
    if task.share_calls is not None:
        return task.share_calls
    return task.calls / summary.calls_total if summary.calls_total else 0.0


def _coverage_row(task: TaskResult, summary: Summary, *, y: float, widest: float) -> Markup:
    share = _share(task, summary)
    covered = (task.coverage or 0.0) if task.live else 0.0
    length = WIDTH * share / widest
    right = f"{percent(share, digits=1)} of calls"
    right += f", {percent(covered)} covered" if task.live else ", LLM"
    tip = f"{task.name}: {count(task.calls)} calls, {right}"
    return join(
        text(0, y, task.name, room=WIDTH - 170),
        text(WIDTH, y, right, class_="tick", anchor="end"),
        bar(0, y + 6, length, 9, "teacher", tip=tip),
        bar(0, y + 6, length * covered, 9, "specialist", tip=tip),
    )


def _group_point(group: GroupResult, members: int) -> Point:
    realised = group.realised
    risk = None
    if group.disagreements_unseen is not None and group.answered_unseen:
        risk = group.disagreements_unseen / group.answered_unseen
    return Point(
        label=f"group {group.id} ({plural(members, 'task')})",
        certified=group.risk_upper if group.threshold is not None else None,
        realised=risk,
        low=realised.low if realised else None,
        high=realised.high if realised else None,
        alpha=group.alpha,
    )


def _task_point(task: TaskResult) -> Point:
    realised = task.realised
    return Point(
        label=task.name,
        certified=None if task.scope == "group" else task.risk_upper,
        realised=task.realised_risk,
        low=realised.low if realised else None,
        high=realised.high if realised else None,
        alpha=task.alpha,
    )


def distinct(names: list[str]) -> list[str]:
    """Names without the words that all of them begin with: in a narrow column the rest tells them apart."""
    if len(names) < 2:
        return names
    # The first and the last in alphabetical order differ first of all pairs.
    first, last = min(names), max(names)
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    shared = "".join(character for character, _ in same)
    cut = max((match.end() for match in re.finditer(r"[\s:/.]+", shared)), default=0)
    return [name[cut:] for name in names] if all(name[cut:] for name in names) else names


def _promise_row(point: Point, scale: Scale, *, y: float) -> Markup:
    label_x = 12.0 if point.member else 0.0
    return join(
        text(label_x, y + 4, point.label, class_="member" if point.member else "", room=_LABELS - label_x),
        _interval_marks(point, scale, y),
        None if point.certified is None else _diamond(scale.at(point.certified), y, _tip(point)),
    )


def _interval_marks(point: Point, scale: Scale, y: float) -> Markup | None:
    if point.realised is None:
        return None
    kind = _kind(point)
    parts: list[object] = []
    if point.low is not None and point.high is not None:
        parts.append(line(scale.at(point.low), y, scale.at(point.high), y, f"{kind} whisker"))
        if scale.beyond(point.high):
            parts.append(tag("path", d=f"M{scale.end - 5:.1f} {y - 4:.1f}l6 4l-6 4z", class_=kind))
    size = 3.0 if point.member else 4.5
    dot = tag("title", _tip(point))
    parts.append(tag("circle", dot, cx=scale.at(point.realised), cy=y, r=size, class_=kind))
    return join(*parts)


def _kind(point: Point) -> str:
    if point.alpha is None or point.realised is None or point.realised <= point.alpha:
        return "realised"
    return "broken" if point.low is not None and point.low > point.alpha else "above"


def _diamond(x: float, y: float, tip: str) -> Markup:
    return tag("path", tag("title", tip), d=f"M{x:.1f} {y - 6:.1f}l5 6l-5 6l-5-6z", class_="certified")


def _promise_legend(*, measured: bool) -> Markup:
    bound = join(_diamond(6, 10, "certified bound"), text(16, 14, "certified bound", class_="key"))
    if not measured:
        return bound
    return join(
        bound,
        line(128, 10, 152, 10, "realised whisker"),
        tag("circle", cx=140.0, cy=10.0, r=4.5, class_="realised"),
        text(158, 14, "realised, with its 95 % interval", class_="key"),
    )


def _anchor(scale: Scale, value: float) -> str:
    return "end" if scale.at(value) > (scale.start + scale.end) / 2 else "start"


def _tip(point: Point) -> str:
    parts = [point.label]
    if point.certified is not None:
        parts.append(f"certified at most {percent(point.certified)}")
    if point.realised is not None:
        around = Interval(point.low, point.high) if point.low is not None and point.high is not None else None
        parts.append(f"realised {percent(point.realised)} ({span(around)})")
    return ", ".join(parts)


def _promise_words(points: list[Point]) -> str:
    certificates = [point for point in points if not point.member]
    return "; ".join(_tip(point) for point in certificates) + "."
