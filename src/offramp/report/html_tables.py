"""Tables that are read on paper and on a phone: there, each row becomes a card with its labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.report.markup import Markup, bounded, join, shorten, tag
from offramp.report.words import NONE, count, missing, percent, plural, span, usd

if TYPE_CHECKING:
    from collections.abc import Iterable

    from offramp.report.results import GroupResult, Interval, Learning, TaskResult
    from offramp.report.summary import Costs

_NAME = 100
_SENTENCE = 400
_PLACES = 5
"""Places where answers differ that are named, the most frequent ones."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        title: Its heading.
        class_: ``"num"`` for figures, ``"wide"`` for sentences, "" for names.
    """

    title: str
    class_: str = ""


def table(columns: tuple[Column, ...], rows: Iterable[tuple[object, ...]], *, label: str) -> Markup:
    """Build a table; the first cell of every row is its heading."""
    head = tag("tr", *(tag("th", c.title, scope="col", class_=c.class_ or None) for c in columns))
    return tag(
        "table",
        tag("thead", head),
        tag("tbody", *(_row(columns, row) for row in rows)),
        aria_label=label,
    )


def _row(columns: tuple[Column, ...], cells: tuple[object, ...]) -> Markup:
    first, *rest = cells
    return tag(
        "tr",
        tag("th", first, scope="row"),
        *(
            tag("td", cell, class_=column.class_ or None, data_label=column.title)
            for column, cell in zip(columns[1:], rest, strict=True)
        ),
    )


def live_table(tasks: tuple[TaskResult, ...]) -> Markup:
    """Tasks that specialists take calls of."""
    columns = (
        Column("Task"),
        Column("Calls", "num"),
        Column("Answered by", "who"),
        Column("Coverage", "num"),
        Column("Certified", "num"),
        Column("Realised on unseen calls", "num"),
        Column("Why", "wide"),
    )
    return table(columns, (_live_cells(task) for task in tasks), label="Tasks taken off the LLM")


def kept_table(tasks: tuple[TaskResult, ...]) -> Markup:
    """Tasks that stay with the LLM, and what they lack."""
    columns = (
        Column("Task"),
        Column("Calls", "num"),
        Column("Answered by", "who"),
        Column("Tried", "wide"),
        Column("What is missing", "wide"),
        Column("Why", "wide"),
    )
    return table(columns, (_kept_cells(task) for task in tasks), label="Tasks kept on the LLM")


def groups_table(groups: tuple[GroupResult, ...]) -> Markup:
    """Certificates over several tasks."""
    columns = (
        Column("Group"),
        Column("Disagreed in calibration", "num"),
        Column("Certified", "num"),
        Column("Realised on unseen calls", "num"),
    )
    return table(columns, (_group_cells(group) for group in groups), label="Group certificates")


def learning_table(learned: tuple[Learning, ...]) -> Markup:
    """What each specialist was learned from, and where its answers differ from the LLM's."""
    columns = (
        Column("Task or group"),
        Column("Calls used", "wide"),
        Column("Left out", "wide"),
        Column("Where answers differ, of the calibration calls", "wide"),
    )
    return table(columns, (_learning_cells(one) for one in learned), label="What was learned")


def _learning_cells(one: Learning) -> tuple[object, ...]:
    calls = one.parts.get("calibration", 0)
    places = list(one.differing.items())
    named = [
        f"{place}: {count(n)} ({percent(n / calls, digits=1)})" for place, n in places[:_PLACES] if calls
    ]
    rest = [f"and {plural(len(places) - _PLACES, 'more place')}"] if len(places) > _PLACES else []
    return (
        shorten(one.label, _NAME),
        _listed(f"{name} {count(n)}" for name, n in one.parts.items()),
        _listed(f"{reason}: {count(n)}" for reason, n in one.left_out.items() if n),
        _listed([*named, *rest]),
    )


def _listed(lines: Iterable[str]) -> object:
    found = list(lines)
    return tag("ul", *(tag("li", line) for line in found)) if found else NONE


def _group_cells(group: GroupResult) -> tuple[object, ...]:
    certified = "nothing" if group.threshold is None else f"at most {percent(group.risk_upper, digits=1)}"
    return (
        _two(group.id, plural(len(group.members), "task")),
        _two(
            f"{count(group.errors)} of {count(group.answered)}",
            f"answered {percent(group.coverage)} of {count(group.n)}",
        ),
        _two(certified, _confidence(group.delta)),
        _realised(group.disagreements_unseen, group.answered_unseen, None, group.realised),
    )


def cost_table(costs: Costs) -> Markup:
    """The break-even at several utilisations."""
    columns = (
        Column("Device kept busy"),
        Column("Calls it carries", "num"),
        Column("Saved per 1,000 calls", "num"),
        Column(f"Saved in {costs.days} days", "num"),
        Column("Training repaid after", "num"),
    )
    rows = (
        (
            percent(row.utilisation),
            count(row.calls_per_month),
            usd(1000 * row.margin_per_call),
            usd(row.saving_per_month),
            "never" if row.calls_to_repay_training is None else plural(row.calls_to_repay_training, "call"),
        )
        for row in costs.break_even
    )
    return table(columns, rows, label="Break-even by utilisation")


def facts_table(facts: Iterable[tuple[str, object]], *, label: str) -> Markup:
    """Names and values."""
    return tag("dl", *(join(tag("dt", name), tag("dd", value)) for name, value in facts), aria_label=label)


def _live_cells(task: TaskResult) -> tuple[object, ...]:
    of = (
        f"{count(task.answered_unseen)} of {count(task.unseen_calls)}"
        if task.unseen_calls is not None
        else ""
    )
    return (
        _name(task),
        _two(count(task.calls), percent(task.share_calls, digits=1)),
        join(tag("span", "specialist", class_="chip on"), _small(shorten(task.candidate, _NAME))),
        _two(percent(task.coverage, digits=0), of),
        _certified(task),
        _realised(task.disagreements_unseen, task.answered_unseen, task.realised_risk, task.realised),
        join(bounded(task.reason, _SENTENCE), _small(shorten(task.choice, _SENTENCE))),
    )


def _kept_cells(task: TaskResult) -> tuple[object, ...]:
    tried = sorted(task.candidates.items(), key=lambda item: -item[1])
    return (
        _name(task),
        _two(count(task.calls), percent(task.share_calls, digits=1)),
        tag("span", "LLM", class_="chip off"),
        ", ".join(f"{name} {percent(agreement)}" for name, agreement in tried) or "nothing",
        missing(task),
        bounded(task.reason, _SENTENCE),
    )


def _name(task: TaskResult) -> Markup:
    return join(bounded(task.name, _NAME), _small(" ".join(part for part in (task.id, task.output) if part)))


def _certified(task: TaskResult) -> Markup:
    if task.scope == "group":
        own = f"own bound {percent(task.risk_upper, digits=1)}" if task.risk_upper is not None else ""
        return _two(f"in group {task.group}".rstrip(), own)
    if task.risk_upper is None:
        return _two(NONE, "")
    return _two(f"at most {percent(task.risk_upper, digits=1)}", f"{count(task.n_calibration)} calls")


def _realised(
    errors: int | None, answered: int | None, risk: float | None, around: Interval | None
) -> Markup:
    known = risk if risk is not None or errors is None or not answered else errors / answered
    if known is None:
        return _two(NONE, "none answered" if answered == 0 else "")
    figures = percent(known, digits=1) + (f" ({span(around, digits=1)})" if around else "")
    return _two(
        figures, "" if errors is None or answered is None else f"{count(errors)} of {count(answered)}"
    )


def _confidence(delta: float | None) -> str:
    return "" if delta is None else f"{percent(1 - delta)} confident"


def _two(first: str, second: str) -> Markup:
    return join(first, _small(second))


def _small(words: str) -> Markup | None:
    return tag("small", words) if words else None
