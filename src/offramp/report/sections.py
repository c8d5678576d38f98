"""The parts of the page, in the order in which an engineer asks: what, is it true, what is it worth, how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offramp.report.curve_charts import reliability_chart, risk_curves
from offramp.report.html_tables import (
    cost_table,
    facts_table,
    groups_table,
    kept_table,
    learning_table,
    live_table,
)
from offramp.report.markup import Markup, bounded, join, tag
from offramp.report.money_charts import break_even_chart, break_even_words, cost_bars, stage_bars
from offramp.report.task_charts import coverage_bars, promise_chart
from offramp.report.words import (
    above_promise,
    count,
    headline,
    leaving,
    percent,
    plural,
    seconds,
    span,
    usd,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from offramp.report.summary import Summary

_GIB = 2**30
_TITLE = 160

_WORDS = (
    ("coverage", "share of a task's calls that the specialist answers; the rest is handed back to the LLM"),
    (
        "disagreement",
        "an answer that differs from the LLM's under the task's own measure: agreement is not correctness",
    ),
    (
        "certified",
        "an upper bound on the disagreement among answered calls, from calibration calls kept for that",
    ),
    (
        "realised",
        "the same share on calls that no stage had seen, with its exact 95 % interval (Clopper and Pearson)",
    ),
    (
        "audit",
        "a random share of answered calls that the LLM is asked as well, for as long as a specialist serves",
    ),
)


def header(summary: Summary) -> Markup:
    """Title, when and with what, and the result in one sentence."""
    made = [str(summary.created)] if summary.created else []
    made += [f"{key} {value}" for key, value in summary.environment.items()]
    return tag(
        "header",
        tag("p", "offramp report", class_="kicker"),
        tag("h1", bounded(summary.title or "Which calls can leave the LLM", _TITLE)),
        tag("p", headline(summary), class_="lead"),
        tag("p", " · ".join(made), class_="made") if made else None,
    )


def savings(summary: Summary) -> Markup | None:
    """What it would save, with everything it takes."""
    costs = summary.money
    if costs is None:
        return None
    worth = "Worth it" if costs.worth_it else "Not worth it"
    return section(
        "savings",
        "What it would save",
        tag("p", costs.sentence or f"{worth}: {usd(costs.saving)} in {costs.days} days.", class_="finding"),
        tag(
            "div",
            figure(
                cost_bars(costs),
                f"Cost of {costs.days} days. Training is paid once, the rest again and again.",
            ),
            figure(break_even_chart(costs), break_even_words(costs)),
            class_="pair",
        ),
        cost_table(costs) if costs.break_even else None,
        tag("p", "Prices: ", "; ".join(costs.prices), ".", class_="fine") if costs.prices else None,
    )


def evidence(summary: Summary) -> Markup | None:
    """Who answers, and the certified bounds beside what happened: by task, group and session."""
    drawn = promise_chart(summary)
    proof = tag(
        "div",
        tag("p", _promise_finding(summary), class_="finding") if drawn else None,
        figure(
            drawn,
            "Diamonds left of the dashed line were certified. The members of a group have no certificate "
            "of their own: the group's bound may hide a member that does worse.",
        ),
        _above_part(summary),
        _group_part(summary),
        _session_part(summary),
    )
    bars = figure(
        coverage_bars(summary),
        "A bar is as long as the task's share of all calls; the coloured part is the specialist's.",
    )
    if bars is None and drawn is None:
        return None
    return section(
        "evidence", "Who answers, and does the promise hold?", tag("div", bars, proof, class_="pair")
    )


def tasks(summary: Summary) -> Markup:
    """Every task: those taken off the LLM and, no less visible, those that were not."""
    live, kept = summary.live, summary.kept
    return section(
        "tasks",
        "Task by task",
        tag("h3", f"{leaving(summary)}: {plural(len(live), 'task')}", id="live"),
        live_table(live) if live else tag("p", "None. Every call still goes to the LLM."),
        tag("h3", f"Kept on the LLM: {plural(len(kept), 'task')}", id="kept"),
        kept_table(kept) if kept else tag("p", "None."),
    )


def confidence(summary: Summary) -> Markup | None:
    """Whether the confidence can be trusted, and what other thresholds would have given."""
    pictures = [
        figure(reliability_chart(summary.reliability), "On the diagonal, confidence is what it says."),
        figure(
            risk_curves(summary.curves),
            "Further right, more calls are answered and more of them disagree. Circle: the chosen threshold.",
        ),
    ]
    if not any(pictures):
        return None
    return section("confidence", "Can the confidence be trusted?", tag("div", *pictures, class_="pair"))


def learning(summary: Summary) -> Markup | None:
    """What specialists were learned from, what was left out, and where their answers differ."""
    if not summary.learning:
        return None
    return section(
        "learning",
        "What was learned, and where answers differ",
        tag(
            "p",
            "Places are those of the answer's form, never values. They are counted over all calibration "
            "calls, of which the specialist leaves many to the LLM.",
        ),
        learning_table(summary.learning),
    )


def making(summary: Summary) -> Markup | None:
    """Discovery, time, memory, placement."""
    facts = [*_discovery_facts(summary), *_plan_facts(summary.plan or {})]
    stages = stage_bars(summary.seconds)
    if not facts and stages is None:
        return None
    total = sum(summary.seconds.values())
    peak = f" Largest memory: {count(summary.peak_rss_mb)} MB." if summary.peak_rss_mb is not None else ""
    return section(
        "making",
        "How it was made",
        tag(
            "div",
            figure(stages, f"{seconds(total)} in all.{peak}"),
            facts_table(facts, label="Facts") if facts else None,
            class_="pair",
        ),
    )


def notes(summary: Summary) -> Markup:
    """What a reader must know, and what the words mean."""
    listed = tag("ul", *(tag("li", note) for note in summary.notes)) if summary.notes else None
    return section("notes", "Notes and words", listed, facts_table(_WORDS, label="Words"))


def section(name: str, title: str, *parts: object) -> Markup:
    """Wrap parts under a heading."""
    return tag("section", tag("h2", title), *parts, id=name)


def figure(drawing: Markup | None, caption: str) -> Markup | None:
    """A drawing with its caption; nothing without a drawing."""
    return None if drawing is None else tag("figure", drawing, tag("figcaption", caption))


def _promise_finding(summary: Summary) -> str:
    if summary.risk is None:
        return "Certified on calibration calls; not yet measured on unseen calls."
    return f"All answered unseen calls together: {verdict(summary.risk, summary.interval, summary.alpha)[1]}."


def _above_part(summary: Summary) -> Markup | None:
    """Name the tasks that do worse than promised on their own, whatever the pooled figure says."""
    above = above_promise(summary)
    if not above:
        return None
    return tag("p", tag("strong", "Above the promise on their own: "), "; ".join(above), ".")


def _group_part(summary: Summary) -> Markup | None:
    if not summary.groups:
        return None
    return join(tag("h3", "Group certificates"), groups_table(summary.groups))


def _session_part(summary: Summary) -> Markup | None:
    found = summary.sessions
    if found is None:
        return None
    share = found.disturbed / found.touched if found.touched else None
    around = f" (95 %: {span(found.interval)})" if found.interval else ""
    mean = (
        ""
        if found.calls_per_session is None
        else f" A session has {found.calls_per_session:.1f} calls on average."
    )
    return join(
        tag("h3", "By session"),
        tag(
            "p",
            f"A bound per call is none per session. Of {plural(found.sessions, 'unseen session')}, "
            f"specialists answered something in {count(found.touched)}; {count(found.disturbed)} of these "
            f"had a disagreement: {percent(share)}{around}.{mean}",
        ),
    )


def _discovery_facts(summary: Summary) -> Iterable[tuple[str, object]]:
    found = summary.discovery
    if found is None:
        return
    sites = "" if found.call_sites is None else f" for {plural(found.call_sites, 'call site')}"
    yield "Tasks found", f"{plural(found.tasks, 'task')}{sites}, without tags"
    if found.ari is not None:
        yield "Agreement with the call sites", f"adjusted Rand index {found.ari:.3f} (1 is perfect)"


def _plan_facts(plan: dict[str, Any]) -> Iterable[tuple[str, object]]:
    if "device" in plan:
        replicas = plan.get("replicas", 1)
        yield "Device", f"{plan['device']}" + (f", {replicas} of them" if replicas != 1 else "")
    memory, there = plan.get("memory"), plan.get("memory_there")
    if isinstance(memory, dict) and isinstance(there, int | float):
        needed = f"{memory.get('total', 0) / _GIB:.2f} of {there / _GIB:.1f} GiB"
        yield "Memory", needed if plan.get("fits", True) else f"{needed}: does not fit"
    if plan.get("adapters"):
        yield "Adapters", count(plan["adapters"])
    if isinstance(plan.get("load"), int | float):
        yield "Load in the busiest hour", f"{percent(plan['load'])} of the device's time"
    if "binding" in plan:
        yield "What limits", plan["binding"]
    for assumption in plan.get("assumptions", ()):
        yield "Assumed", assumption
