"""The parts of a scan's page, in the order in which somebody who pays for the LLM asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.report.curve_charts import risk_curve
from offramp.report.html_tables import Column, facts_table, table
from offramp.report.markup import Markup, bounded, join, shorten, tag
from offramp.report.scan_charts import meter, traffic_bar
from offramp.report.scan_words import limits, method, scan_headline, window
from offramp.report.sections import figure, section
from offramp.report.tiles import tile
from offramp.report.verdicts import Fate, called, leaving_share, ranked, share_of
from offramp.report.words import count, percent, plural, usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.report.results import GroupResult, Scan, TaskResult
    from offramp.report.summary import RiskCurve, Summary
    from offramp.report.verdicts import Verdict

_TITLE, _NAME, _SENTENCE, _EXEMPLAR = 120, 90, 420, 180
_ROWS = 60
_PARTS = 3


def header(summary: Summary, scan: Scan) -> Markup:
    """What was looked at, and the result in one sentence."""
    looked = [
        plural(scan.calls, "call"),
        plural(scan.sessions, "session"),
        window(scan),
        *([f"{plural(scan.skipped, 'broken line')} left out"] if scan.skipped else []),
        summary.created,
    ]
    return tag(
        "header",
        tag("p", "offramp scan", class_="kicker"),
        tag("h1", bounded(summary.title or "This traffic", _TITLE)),
        tag("p", scan_headline(summary, scan), class_="lead"),
        tag("p", " · ".join(part for part in looked if part), class_="made"),
    )


def tiles(summary: Summary, scan: Scan) -> Markup:
    """The figures that decide."""
    parts = (
        _share_tile(summary, scan),
        _promise_tile(summary) if summary.live else None,
        _money_tile(summary),
        _tasks_tile(summary, scan),
    )
    return tag(
        "section", *(part for part in parts if part is not None), class_="tiles", aria_label="Key figures"
    )


def overview(summary: Summary, scan: Scan) -> Markup:
    """All traffic in one picture, and the command that goes on from here."""
    return section(
        "traffic",
        "All of the traffic",
        tag(
            "div",
            figure(traffic_bar(summary), "Each bar is all of the traffic, cut by what could become of it."),
            tag("div", *_next_steps(summary, scan)),
            class_="pair",
        ),
    )


def task_map(summary: Summary) -> Markup:
    """Every task, what costs most first: whether it could leave, and why or why not."""
    rows = ranked(summary)
    widest = max((share_of(task, summary) for task, _ in rows), default=0.0)
    columns = (
        Column("Task"),
        Column("Share of cost", "num") if _priced(summary) else Column("Share of tokens", "num"),
        Column("Calls", "num"),
        Column("Verdict", "who"),
        Column("Could leave", "num"),
        Column("Why", "wide"),
    )
    shown = rows[:_ROWS]
    rest = rows[_ROWS:]
    return section(
        "tasks",
        f"{plural(len(rows), 'task')}, the dearest first",
        tag(
            "div",
            table(
                columns,
                (_map_cells(task, verdict, summary, widest) for task, verdict in shown),
                label="Tasks",
            ),
            class_="map",
        )
        if rows
        else tag("p", "No call recurs often enough to be a task."),
        tag("p", f"And {plural(len(rest), 'smaller task')}: --json lists them.", class_="fine")
        if rest
        else None,
    )


def promises(summary: Summary) -> Markup | None:
    """One card for each certificate: the promise in a sentence, the curve it was found on, the evidence."""
    cards = [_task_card(task, summary) for task in summary.live if task.scope != "group"]
    cards += [_group_card(group, summary) for group in summary.groups if group.threshold is not None]
    if not cards:
        return None
    return section("promises", "What is certified", *cards)


def honest(summary: Summary, scan: Scan) -> Markup:
    """What the result does not say."""
    return tag(
        "section",
        tag("h2", "What this does not say"),
        tag("ul", *(tag("li", line) for line in limits(summary, scan))),
        id="limits",
        class_="honest",
    )


def footnote(summary: Summary, scan: Scan) -> Markup:
    """How it was made, what was left out, and with what."""
    made = " · ".join(f"{key} {value}" for key, value in summary.environment.items())
    left = scan.left_out
    return section(
        "method",
        "Method",
        tag("p", method(summary, scan), class_="finding"),
        tag("h3", "Left out") if left else None,
        tag("ul", *(tag("li", line) for line in left)) if left else None,
        tag("ul", *(tag("li", note) for note in summary.notes)) if summary.notes else None,
        tag("p", f"Broken lines, the first of them: {'; '.join(scan.skipped_at)}.", class_="fine")
        if scan.skipped_at
        else None,
        tag("p", made, class_="made"),
    )


def _share_tile(summary: Summary, scan: Scan) -> Markup:
    if scan.quick:
        able = sum(task.share_calls or 0.0 for task in summary.tasks if task.convertible)
        detail = "of the calls, by the form of their answers; nothing was tried"
        return tile("Could be certified", f"at most {percent(able)}", detail)
    share = leaving_share(summary)
    state = "kept" if share else ""
    return tile("Calls that could leave the LLM", percent(share), _of_money(summary), state=state)


def _promise_tile(summary: Summary) -> Markup:
    sure = percent(1 - (summary.delta or 0.0))
    detail = f"of the answered calls disagree with the LLM; {sure} confident, all certificates together"
    return tile("Certified risk", f"\N{LESS-THAN OR EQUAL TO} {percent(summary.alpha)}", detail, state="kept")


def _money_tile(summary: Summary) -> Markup | None:
    costs = summary.money
    if costs is None:
        return None
    if not summary.live:
        return tile("The LLM's bill a month", usd(costs.llm_only), f"for {plural(costs.calls, 'call')}")
    title = "Saved a month" if costs.saving >= 0 else "Extra cost a month"
    worth = "worth it" if costs.worth_it else "not worth it at this volume"
    detail = f"{worth}; of {usd(costs.llm_only)}, device, audits and training counted"
    return tile(title, usd(abs(costs.saving)), detail, state="kept" if costs.worth_it else "open")


def _tasks_tile(summary: Summary, scan: Scan) -> Markup:
    able = sum(task.convertible for task in summary.tasks)
    number, what = (
        (able, "of a form that can be certified") if scan.quick else (len(summary.live), "could leave")
    )
    return tile("Tasks", f"{number} of {len(summary.tasks)}", f"{what}; found without tags")


def _of_money(summary: Summary) -> str:
    if not summary.live:
        return "nothing is certified"
    if _priced(summary):
        return f"they make {percent(leaving_share(summary, 'share_cost'))} of the LLM's bill"
    return f"they make {percent(leaving_share(summary, 'share_tokens'))} of the tokens"


def _priced(summary: Summary) -> bool:
    return any(task.share_cost is not None for task in summary.tasks)


def _next_steps(summary: Summary, scan: Scan) -> list[Markup]:
    kinds = {verdict.fate for _, verdict in ranked(summary)}
    words = {
        Fate.LEAVES: "Record the real traffic, convert it on all of its calls, and let one task go live:",
        Fate.OPEN: "Find out what of it can be certified:",
    }
    lead = next(
        (text for fate, text in words.items() if fate in kinds),
        "Record more calls as they are made, and look again:",
    )
    steps = [tag("h3", "Next"), tag("p", lead), tag("pre", tag("code", scan.command))]
    more = [task for task, verdict in ranked(summary) if verdict.fate is Fate.MORE]
    if more:
        names = ", ".join(shorten(task.name, 40) for task in more[:3])
        others = " and others" if len(more) > 3 else ""
        steps.append(tag("p", f"{plural(len(more), 'task')} would need more calls first: {names}{others}."))
    return steps


def _map_cells(task: TaskResult, verdict: Verdict, summary: Summary, widest: float) -> tuple[object, ...]:
    share = share_of(task, summary)
    covered = (task.coverage or 0.0) if task.live else 0.0
    details = " · ".join(part for part in (task.output.replace("_", " "), task.id) if part)
    return (
        join(bounded(task.name, _NAME), tag("small", details), _subtasks(task)),
        join(percent(share, digits=1), meter(share, covered, widest)),
        join(count(task.calls), tag("small", percent(task.share_calls, digits=1))),
        tag("span", verdict.chip, class_=f"chip {verdict.fate.value}"),
        percent(covered, digits=0) if task.live else "",
        bounded(verdict.why, _SENTENCE),
    )


def _subtasks(task: TaskResult) -> Markup | None:
    if not task.subtasks:
        return None
    more = f" and {len(task.subtasks) - _PARTS} more" if len(task.subtasks) > _PARTS else ""
    return tag("small", shorten(", ".join(task.subtasks[:_PARTS]), _NAME), more)


def _task_card(task: TaskResult, summary: Summary) -> Markup:
    curve = next((curve for curve in summary.curves if curve.label == task.name), None)
    sentence = (
        f"On the {percent(task.coverage)} of calls that {called(task.candidate)} would answer, it disagrees "
        f"with the LLM on at most {percent(task.risk_upper)}."
    )
    facts = [
        ("Promised", f"at most {percent(task.alpha)}"),
        ("Certified on", f"{count(task.n_calibration)} kept apart for that: {task.unit or 'calls'}"),
        *([("Compared as", task.measure)] if task.measure else ()),
        *_tried(task),
        *_own_agreement(task),
    ]
    return _card(task.name, task.id, sentence, facts, curve, task.exemplars)


def _group_card(group: GroupResult, summary: Summary) -> Markup:
    members = [task for task in summary.tasks if task.id in group.members]
    live = [task for task in members if task.live]
    curve = next((curve for curve in summary.curves if curve.threshold == group.threshold), None)
    name = curve.label if curve else f"Group {group.id}"
    sentence = (
        f"On the {percent(group.coverage)} of calls that {called(live[0].candidate if live else '')} would "
        f"answer for {plural(len(live), 'task')} together, it disagrees with the LLM on at most "
        f"{percent(group.risk_upper)}. The promise is the group's, over this mix: a member may do worse."
    )
    above = [task for task in live if (task.risk_upper or 0.0) > (group.alpha or 1.0)]
    facts = [
        ("Promised", f"at most {percent(group.alpha)}"),
        (
            "Evidence",
            f"{count(group.errors)} of {count(group.answered)} answered calibration calls disagreed",
        ),
        (
            "Members",
            f"{len(live)} of {len(members)} answer; {len(above)} have an own bound above the promise",
        ),
        *([("Counted", live[0].unit)] if live and live[0].unit else ()),
        *([("Compared as", live[0].measure)] if live and live[0].measure else ()),
        *(_tried(live[0]) if live else ()),
    ]
    exemplars = [text for task in live for text in task.exemplars[:1]]
    return _card(name, group.id, sentence, facts, curve, exemplars)


def _card(
    name: str,
    id_: str,
    sentence: str,
    facts: Sequence[tuple[str, str]],
    curve: RiskCurve | None,
    exemplars: Sequence[str],
) -> Markup:
    shown = [tag("li", shorten(text, _EXEMPLAR)) for text in exemplars[:4]]
    return tag(
        "article",
        tag("h3", bounded(name, _NAME)),
        tag("p", sentence, class_="promise"),
        tag(
            "div",
            figure(
                risk_curve(curve, f"risk-{id_}") if curve else None,
                "Further right, more is answered, and more of it disagrees. Circle: what is certified.",
            ),
            tag(
                "div",
                facts_table(facts, label="Evidence"),
                tag("h4", "Such as (masked)") if shown else None,
                tag("ul", *shown, class_="exemplars") if shown else None,
            ),
            class_="pair",
        ),
        class_="certificate",
    )


def _tried(task: TaskResult) -> list[tuple[str, str]]:
    tried = sorted(task.candidates.items(), key=lambda item: -item[1])
    found = [("Tried", ", ".join(f"{kind} {percent(share)}" for kind, share in tried))] if tried else []
    if task.untried:
        found.append(("Not tried", "; ".join(f"{kind}: {reason}" for kind, reason in task.untried.items())))
    return found


def _own_agreement(task: TaskResult) -> list[tuple[str, str]]:
    if task.self_agreement is None:
        return []
    return [("The LLM agrees with itself", f"on {percent(task.self_agreement)} of repeated requests")]
