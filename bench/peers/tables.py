"""The tables as text, and as Markdown for the docs; pure."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from bench.gateway.tables import table
from bench.peers.measure import ALONE, ALPHAS, KINDS, SYSTEMS
from bench.peers.outcomes import summarise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bench.gateway.targets import Verdict
    from bench.peers.measure import Measured, MemberView
    from bench.peers.outcomes import Summary
    from bench.peers.traffic import Traffic

COLUMNS = (
    "system",
    "alpha",
    "coverage",
    "risk",
    "worst",
    "above",
    "broken",
    "broken share, 95 %",
    "USD/1k",
    "p50 ms",
    "p95 ms",
)
_SHOWN_ALPHA = 0.05


def summaries(measured: Sequence[Measured]) -> dict[str, dict[float, Summary]]:
    """Put the splits of one traffic together, by system and alpha, in the order of `SYSTEMS`."""
    found: dict[str, dict[float, Summary]] = {}
    for name in SYSTEMS:
        for alpha in ALPHAS:
            outcomes = [one.outcomes[name][alpha] for one in measured if alpha in one.outcomes.get(name, {})]
            if outcomes:
                found.setdefault(name, {})[alpha] = summarise(outcomes, alpha)
    return found


def title(traffic: Traffic, measured: Sequence[Measured]) -> str:
    """Return what the table of one traffic is about."""
    sizes = ", ".join(f"{size:,} {part}" for part, size in measured[0].sizes.items())
    return f"{traffic.source.title}: {len(traffic.rows):,} calls, {len(measured)} splits ({sizes})"


def rows(found: dict[str, dict[float, Summary]]) -> Iterator[list[str]]:
    """Return one line per system and alpha."""
    for name, by_alpha in found.items():
        for alpha, summary in by_alpha.items():
            yield [name, f"{alpha:.0%}", *_figures(summary)]


def comparison(traffic: Traffic, measured: Sequence[Measured]) -> str:
    """Return the table of one traffic, with what the systems said below it."""
    found = summaries(measured)
    return "\n".join(
        [table(title(traffic, measured), COLUMNS, rows(found)), *_said(found), *_students(measured)]
    )


def members(measured: Sequence[Measured], alpha: float = _SHOWN_ALPHA) -> str:
    """Return each member of a group certificate beside a certificate of its own; "" where there is none."""
    lines = member_rows(measured, alpha)
    head = f"members of the group certificate at alpha {alpha:.0%}, over the splits"
    return table(head, MEMBER_COLUMNS, lines) if lines else ""


MEMBER_COLUMNS = (
    "task",
    "calibration calls",
    "left to the LLM",
    "coverage",
    "risk",
    "certified alone",
    "more calls it needs",
)


def member_rows(measured: Sequence[Measured], alpha: float) -> list[list[str]]:
    """Return one line per member, most calls first."""
    views: dict[str, list[MemberView]] = {}
    for one in measured:
        for view in one.members.get(alpha, []):
            views.setdefault(view.task, []).append(view)
    ordered = sorted(views.items(), key=lambda pair: -pair[1][0].calibration)
    return [_member(task, each) for task, each in ordered]


def promises(verdicts: Iterable[Verdict]) -> str:
    """Return the promises with their verdicts."""
    lines = [[one.promise, one.found, one.word] for one in verdicts]
    return table("promises", ("promise", "found", "verdict"), lines)


def page(parts: Sequence[tuple[Traffic, Sequence[Measured]]], verdicts: Iterable[Verdict], where: str) -> str:
    """Return the figures as Markdown."""
    lines = [where, ""]
    for traffic, measured in parts:
        found = summaries(measured)
        lines += [f"### {title(traffic, measured)}", "", *_markdown(COLUMNS, rows(found)), ""]
        said = [*_said(found), *_students(measured)]
        lines += [*(f"- {line.strip()}" for line in said), ""] if said else []
        each = member_rows(measured, _SHOWN_ALPHA)
        if each:
            lines += [f"Each task at alpha {_SHOWN_ALPHA:.0%}:", "", *_markdown(MEMBER_COLUMNS, each), ""]
    lines += ["### Promises", ""]
    lines += _markdown(("promise", "found", "verdict"), ([o.promise, o.found, o.word] for o in verdicts))
    return "\n".join(lines) + "\n"


def _figures(summary: Summary) -> list[str]:
    low, high = summary.broke_share
    least, most = summary.coverage_range
    return [
        f"{summary.coverage:.3f} ({least:.2f}-{most:.2f})",
        _share(summary.risk),
        _share(summary.risk_worst),
        f"{summary.above}/{summary.splits}",
        f"{summary.broke}/{summary.splits}",
        f"{low:.2f}-{high:.2f}",
        f"{summary.usd:.3f}",
        _ms(summary.p50_ms),
        _ms(summary.p95_ms),
    ]


def _said(found: dict[str, dict[float, Summary]]) -> list[str]:
    """Return why systems that answer nothing do so; the same reason at several alphas is said once."""
    lines = []
    for name, by_alpha in found.items():
        said: dict[str, list[str]] = {}
        for alpha, summary in by_alpha.items():
            if summary.notes and (not summary.served or name == ALONE):
                said.setdefault(summary.notes[0], []).append(f"{alpha:.0%}")
        for note, alphas in said.items():
            where = "" if len(alphas) == len(by_alpha) else f" at {', '.join(alphas)}"
            lines.append(f"  {name}{where}: {note}")
    return lines


def _students(measured: Sequence[Measured]) -> list[str]:
    lines = []
    for kind in KINDS:
        given = [one.students[kind] for one in measured if kind in one.students]
        shares = [value for value in given if isinstance(value, float)]
        if shares:
            lines.append(
                f"  offramp's {kind} alone agrees on {statistics.fmean(shares):.3f} of the test calls"
            )
        elif given:
            lines.append(f"  offramp's {kind}: {given[0]}")
    return lines


def _member(task: str, each: list[MemberView]) -> list[str]:
    tests, answered, wrong = (
        sum(getattr(view, name) for view in each) for name in ("tests", "answered", "wrong")
    )
    missing = [view.missing for view in each if not view.alone and view.missing is not None]
    never = sum(view.missing is None for view in each if not view.alone)
    needs = f"{statistics.median(missing):,.0f}" if missing else "-"
    if never:
        needs += f" (no number helps in {never})"
    return [
        task,
        f"{statistics.fmean(view.calibration for view in each):,.0f}",
        f"{sum(view.deferred for view in each)}/{len(each)}",
        f"{answered / tests:.2f}" if tests else "-",
        _share(wrong / answered if answered else math.nan),
        f"{sum(view.alone for view in each)}/{len(each)}",
        needs,
    ]


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _ms(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"


def _markdown(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    rule = "|".join(["---", *["--:"] * (len(columns) - 1)])
    return [f"| {' | '.join(columns)} |", f"|{rule}|", *(f"| {' | '.join(line)} |" for line in lines)]
