"""The summary of everything a store knows: tasks, certificates, what happened to unseen calls, money."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offramp import __version__
from offramp.app.money import cost_shares, planned_on
from offramp.certify.bounds import upper
from offramp.certify.ceiling import LEAST
from offramp.core.call import OutputType
from offramp.discover.verdict import MIN_SESSIONS
from offramp.loop import state
from offramp.report.results import Discovery, GroupResult, Learning, Sessions, TaskResult
from offramp.report.summary import CurvePoint, ReliabilityBin, RiskCurve, Summary

if TYPE_CHECKING:
    from offramp.config import Settings
    from offramp.core.json import JsonObject
    from offramp.core.task import Task
    from offramp.report.results import Scan
    from offramp.storage.port import Store

UNSEEN = "unseen"

_COMPARABLE = (OutputType.LABEL, OutputType.JSON, OutputType.TOOL_CALL)


@dataclass(slots=True)
class Tally:
    """What happened to the unseen calls of one task.

    Attributes:
        calls: How many there were.
        answered: Of those, answered by a specialist.
        disagreements: Of those, answered other than the teacher did.
    """

    calls: int = 0
    answered: int = 0
    disagreements: int = 0


@dataclass(slots=True)
class Unseen:
    """What happened to calls that no stage had seen.

    Attributes:
        tasks: By task id; "" for calls of no task.
        sessions: Sessions among them.
        touched: Of those, with an answer of a specialist.
        disturbed: Of those, with a disagreement.
        ari: Adjusted Rand index of the tasks against the hidden call sites.
        call_sites: How many of those there are.
    """

    tasks: dict[str, Tally] = field(default_factory=dict)
    sessions: int = 0
    touched: int = 0
    disturbed: int = 0
    ari: float | None = None
    call_sites: int | None = None

    def total(self, name: str) -> int:
        """Sum one count over all tasks."""
        return sum(int(getattr(tally, name)) for tally in self.tasks.values())


def summarise(
    store: Store,
    settings: Settings,
    *,
    unseen: Unseen | None = None,
    seconds: dict[str, float] | None = None,
    peak_rss_mb: float | None = None,
    title: str = "",
    notes: tuple[str, ...] = (),
    scan: Scan | None = None,
) -> Summary:
    """Collect a summary from a store.

    Args:
        store: Holds tasks, conversions and traffic.
        settings: What was promised, and prices and device of the plan.
        unseen: What happened to unseen calls, where there were any.
        seconds: Seconds by stage.
        peak_rss_mb: Largest resident memory.
        title: What was looked at.
        notes: Anything a reader must know.
        scan: What was scanned, where this is a scan.
    """
    tasks = state.load_tasks(store)
    conversions = list(store.documents(state.CONVERSION).values())
    by_task = {task: conversion for conversion in conversions for task in conversion["tasks"]}
    shares, unpriced = cost_shares(store, settings)
    results = tuple(
        replace(_result(task, by_task.get(task.id), unseen), share_cost=shares.get(task.id)) for task in tasks
    )
    planned, more = planned_on(store, settings, unpriced)
    notes = (*notes, *more)
    groups = [c for c in conversions if c["certificate"] and c["certificate"]["scope"] == "group"]
    return Summary(
        calls_total=sum(task.calls for task in tasks) + (unseen.total("calls") if unseen else 0),
        **_unseen_figures(unseen),
        alpha=_alpha(conversions, settings),
        delta=settings.certify.delta,
        tasks=results,
        groups=tuple(_group(conversion, unseen) for conversion in groups),
        discovery=Discovery(
            ari=unseen.ari if unseen else None,
            tasks=len(tasks),
            call_sites=unseen.call_sites if unseen else None,
        ),
        sessions=Sessions(unseen.sessions, unseen.touched, unseen.disturbed) if unseen else None,
        seconds=seconds or {},
        peak_rss_mb=peak_rss_mb,
        plan=planned.to_dict() if planned else None,
        reliability=_reliability(conversions),
        curves=tuple(_curve(conversion) for conversion in conversions if conversion["curve"]),
        learning=tuple(_learning(conversion) for conversion in conversions),
        environment=_environment(settings),
        notes=notes,
        title=title,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        scan=None if scan is None else replace(scan, unpriced=unpriced),
    )


def _alpha(conversions: list[JsonObject], settings: Settings) -> float:
    """What all answered calls are promised: what was asked for, or more where a certificate promises less."""
    certified = (float(c["certificate"]["alpha"]) for c in conversions if c["certified"])
    return max([settings.certify.alpha, *certified])


def _environment(settings: Settings) -> JsonObject:
    return {
        "offramp": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "seed": settings.train.seed,
        "base": Path(settings.train.base).name,
    }


def _unseen_figures(unseen: Unseen | None) -> dict[str, Any]:
    if unseen is None:
        return {}
    calls, answered, wrong = (unseen.total(name) for name in ("calls", "answered", "disagreements"))
    return {
        "calls_unseen": calls,
        "answered_unseen": answered,
        "coverage": answered / calls if calls else 0.0,
        "disagreements": wrong,
        "risk": wrong / answered if answered else None,
        "risk_upper_95": upper(answered, wrong, 0.05) if answered else None,
    }


def _result(task: Task, conversion: JsonObject | None, unseen: Unseen | None) -> TaskResult:
    facts: dict[str, Any] = {
        "id": task.id,
        "name": task.name,
        "calls": task.calls,
        "output": task.output.value,
        "share_calls": task.share_calls,
        "share_tokens": task.share_tokens,
        "convertible": task.convertible,
        "sessions": task.sessions,
        "exemplars": task.profile.exemplars,
        # A share of a handful says nothing.
        "self_agreement": task.profile.self_agreement if task.profile.repeats >= LEAST else None,
        "subtasks": tuple(f"{part.action} {part.share:.0%}" for part in task.subtasks),
        "reason": task.reason,
        **_counts(task.id, unseen),
    }
    if not task.convertible and task.output in _COMPARABLE and task.sessions < MIN_SESSIONS:
        facts["calls_needed"] = MIN_SESSIONS - task.sessions
    if conversion is None:
        return TaskResult(**facts)
    facts["candidates"] = {t["kind"]: t["agreement"] for t in conversion["trials"] if not t["note"]}
    facts["untried"] = {t["kind"]: t["note"] for t in conversion["trials"] if t["note"]}
    facts["candidate"] = conversion["chosen"]["kind"]
    facts["choice"] = conversion["chosen"].get("verdict", "")
    certificate = conversion["certificate"]
    if certificate is None:
        return TaskResult(
            **{**facts, "reason": "No candidate could answer enough of its calls at this alpha."}
        )
    return TaskResult(**{**facts, **_proof(task.id, conversion, certificate, unseen)})


def _proof(
    task: str, conversion: JsonObject, certificate: JsonObject, unseen: Unseen | None
) -> dict[str, Any]:
    member = next(member for member in certificate["members"] if member["task"] == task)
    live = conversion["certified"] and not member["deferred"]
    group = certificate["scope"] == "group"
    proof: dict[str, Any] = {
        "decision": "specialist" if live else "keep_llm",
        "threshold": certificate["threshold"],
        "n_calibration": member["n"],
        "scope": certificate["scope"],
        "group": conversion["specialist"] if group else "",
        "alpha": certificate["alpha"],
        "risk_upper": member["risk_upper"] if group else certificate["risk_upper"],
        "calls_needed": member["calls_needed"] if group else certificate["calls_needed"],
        "reason": certificate["reason"],
        "unit": certificate["unit"],
        "measure": certificate.get("measure", ""),
    }
    if unseen is None:
        proof["coverage"] = member["answered"] / member["n"] if live and member["n"] else 0.0
    if member["deferred"]:
        proof["reason"] = (
            "Always deferred: on validation calls its own risk exceeds alpha at every threshold."
        )
    elif live and member.get("floor", 0.0) > certificate["threshold"]:
        proof["threshold"] = member["floor"]
        proof["reason"] += " Held to a stricter threshold: at the group's, its own risk exceeds alpha."
    return proof


def _counts(task: str, unseen: Unseen | None) -> dict[str, Any]:
    if unseen is None:
        return {}
    tally = unseen.tasks.get(task, Tally())
    return {
        "unseen_calls": tally.calls,
        "answered_unseen": tally.answered,
        "disagreements_unseen": tally.disagreements,
        "coverage": tally.answered / tally.calls if tally.calls else 0.0,
        "risk": tally.disagreements / tally.answered if tally.answered else None,
        "risk_upper_95": upper(tally.answered, tally.disagreements, 0.05) if tally.answered else None,
    }


def _group(conversion: JsonObject, unseen: Unseen | None) -> GroupResult:
    certificate = conversion["certificate"]
    tallies = [unseen.tasks.get(task, Tally()) for task in conversion["tasks"]] if unseen else []
    return GroupResult(
        id=conversion["specialist"],
        members=tuple(conversion["tasks"]),
        **{
            name: certificate[name]
            for name in (
                "alpha",
                "delta",
                "threshold",
                "n",
                "answered",
                "errors",
                "coverage",
                "risk",
                "risk_upper",
            )
        },
        answered_unseen=sum(tally.answered for tally in tallies) if unseen else None,
        disagreements_unseen=sum(tally.disagreements for tally in tallies) if unseen else None,
    )


def _learning(conversion: JsonObject) -> Learning:
    card = conversion["card"]
    return Learning(
        label=conversion["name"],
        parts={name: part["calls"] for name, part in card.get("parts", {}).items() if part["calls"]},
        left_out=card.get("dropped", {}),
        differing=conversion.get("fields", {}),
    )


def _reliability(conversions: list[JsonObject]) -> tuple[ReliabilityBin, ...]:
    """Pool the bins of all specialists, by their edges."""
    pooled: dict[float, list[JsonObject]] = {}
    for conversion in conversions:
        for found in conversion["reliability"]:
            pooled.setdefault(found["low"], []).append(found)
    bins = []
    for _, found in sorted(pooled.items()):
        n = sum(part["n"] for part in found)
        confidence, agreement = (
            sum(part[key] * part["n"] for part in found) / n for key in ("confidence", "agreement")
        )
        bins.append(ReliabilityBin(confidence, agreement, n))
    return tuple(bins)


def _curve(conversion: JsonObject) -> RiskCurve:
    certificate = conversion["certificate"]
    return RiskCurve(
        label=conversion["name"],
        points=tuple(CurvePoint(**point) for point in conversion["curve"]),
        alpha=certificate["alpha"],
        threshold=certificate["threshold"],
    )
