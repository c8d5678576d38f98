"""Issue certificates: for one task, or for a group of tasks that one specialist serves.

The promise is pooled over the scope: of the calls that the specialist answers, a share of at most alpha
disagrees with the teacher, at confidence ``1 - delta``. Everything that can be chosen (grid, start,
deferred members) is chosen on validation calls; calibration calls are touched once, by the tests.

A share of all calls is what is promised (see ``units``): where validation sessions have several calls, whole
sessions are bet on; where they have one, the exact binomial test counts them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offramp.certify.deferral import draw_group, drawing_for
from offramp.certify.exam import at_thresholds, prepare, sit, units_needed
from offramp.certify.threshold import measure
from offramp.certify.units import (
    Drawing,
    ScoredCalls,
    Unit,
    answerable,
    check_disjoint,
    mix,
    mix_distance,
)
from offramp.core.certificate import Certificate, Member
from offramp.core.errors import BadInput
from offramp.core.json import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offramp.certify.terms import Terms
    from offramp.certify.threshold import Outcome


def certify_task(
    version: tuple[str, str], specialist: str, validation: ScoredCalls, calibration: ScoredCalls, terms: Terms
) -> Certificate:
    """Certify one task, or say why not.

    Args:
        version: Task id and version.
        specialist: Id of the specialist whose confidences these are.
        validation: Validation calls of the task, disjoint in sessions from the calibration calls and
            from everything that the specialist was fitted on.
        calibration: Calibration calls of the task.
        terms: What to promise.

    Returns:
        The certificate. Where ``holds`` is False, its figures are those of the strictest threshold tried.

    Raises:
        BadInput: Calls of another task, or a session in both parts.
    """
    _check_parts({version[0]}, validation, calibration)
    drawing = drawing_for(validation, terms)
    evidence = _Evidence((version[0],), validation, calibration, drawing, terms)
    return _issue("task", dict([version]), specialist, evidence)


def certify_group(
    versions: Mapping[str, str],
    specialist: str,
    validation: ScoredCalls,
    calibration: ScoredCalls,
    terms: Terms,
) -> Certificate:
    """Certify a group of tasks over the mix of their calibration calls, or say why not.

    Members that validation finds too risky (see ``deferral``) are held to a stricter threshold of their own,
    or always defer: the calls that stay with the teacher keep their part in the draw, and so lower the
    coverage. The pooled promise says nothing about one member; each has its own figures beside it, a
    deferred one those it would have had.

    Args:
        versions: Version of each member by task id.
        specialist: Id of the specialist whose confidences these are.
        validation: Validation calls of the members.
        calibration: Calibration calls of the members; their mix is the certificate's.
        terms: What to promise.

    Returns:
        The certificate. Where ``holds`` is False, its figures are those of the strictest threshold tried.

    Raises:
        BadInput: No members, calls of another task, or a session in both parts.
    """
    if not versions:
        raise BadInput("A group certificate was asked for no task; it takes one or more.")
    _check_parts(set(versions), validation, calibration)
    drawing = draw_group(frozenset(versions), validation, terms.tested, len(set(calibration.session)))
    evidence = _Evidence(tuple(sorted(versions)), validation, calibration, drawing, terms)
    return _issue("group", dict(versions), specialist, evidence)


def mix_holds(certificate: Certificate, live: Mapping[str, float]) -> bool:
    """Tell whether a mix of live calls (from ``units.mix``) is near enough for a group certificate.

    A certificate of one task does not depend on a mix.
    """
    return certificate.scope == "task" or mix_distance(certificate.mix, live) <= certificate.mix_tolerance


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The calls behind one certificate, and how they are used."""

    tasks: tuple[str, ...]
    validation: ScoredCalls
    calibration: ScoredCalls
    drawing: Drawing
    terms: Terms


def _issue(scope: str, versions: dict[str, str], specialist: str, evidence: _Evidence) -> Certificate:
    """Run the tests, once, and write down what came out."""
    terms, calibration, tasks = evidence.terms, evidence.calibration, evidence.tasks
    sessions, tested = len(set(calibration.session)), terms.tested
    exam = prepare(evidence.validation, evidence.drawing, tested, sessions)
    outcome = sit(exam, calibration, tested.alpha, tested.delta)
    strictest = float(exam.curve.thresholds[0]) if outcome.tested else np.inf
    at = strictest if outcome.threshold is None else outcome.threshold
    missing = None
    if outcome.threshold is None:
        needed = units_needed(exam, calibration, tested.alpha, tested.delta)
        missing = None if needed is None else max(needed - outcome.n, 1)
    return Certificate(
        scope=scope,
        tasks=tasks,
        versions=tuple(versions[task] for task in tasks),
        specialist=specialist,
        alpha=terms.alpha,
        delta=terms.delta,
        threshold=outcome.threshold,
        unit=evidence.drawing.unit.value,
        n=outcome.n,
        answered=outcome.answered,
        errors=outcome.errors,
        coverage=outcome.answered / outcome.n if outcome.n else 0.0,
        risk=outcome.risk,
        risk_upper=_true(outcome.risk_upper, terms),
        members=tuple(_member(task, evidence, at) for task in tasks),
        mix=mix(calibration.task),
        mix_tolerance=terms.mix_tolerance,
        calls_needed=missing,
        evidence=_hash(calibration),
        reason=_reason(outcome, evidence, missing),
        risk_per_call=_plain_risk(evidence, at),
        cap=evidence.drawing.cap,
        sessions=sessions,
        measure=terms.measure,
        asked=terms.asked,
        self_agreement=terms.self_agreement,
        judge_missed=terms.judge_missed,
        judge_labelled=terms.judge_labelled,
        judge_misses=terms.judge_misses,
    )


def _check_parts(tasks: set[str], validation: ScoredCalls, calibration: ScoredCalls) -> None:
    strangers = sorted({*validation.task, *calibration.task} - tasks)
    if strangers:
        raise BadInput(f"Scored calls of {strangers[0]} were given; the certificate covers {sorted(tasks)}.")
    check_disjoint({"validation": validation.session, "calibration": calibration.session}, "session")
    check_disjoint({"validation": validation.call, "calibration": calibration.call}, "call id")


def _member(task: str, evidence: _Evidence, threshold: float) -> Member:
    """Count a member on its own calls, as its own certificate would; nobody is held back there."""
    terms, drawing = evidence.terms.tested, evidence.drawing
    validation, calibration = (part.of_task(task) for part in (evidence.validation, evidence.calibration))
    floor = drawing.floors.get(task, 0.0)
    alone = drawing_for(validation, terms)
    at = np.array([max(threshold, floor)])
    exam = at_thresholds(validation, alone, at, terms.alpha, len(set(calibration.session)))
    outcome = sit(exam, calibration, terms.alpha, terms.delta)
    # Certificates of their own would share delta, so what they need is counted at their share of it.
    share = terms.delta / len(evidence.tasks)
    needed = units_needed(exam, calibration, terms.alpha, share)
    return Member(
        task=task,
        n=outcome.n,
        answered=outcome.answered,
        errors=outcome.errors,
        risk=outcome.risk,
        risk_upper=_true(outcome.risk_upper, evidence.terms),
        deferred=task in drawing.deferred,
        calls_needed=None if needed is None else max(needed - outcome.n, 0),
        floor=floor,
    )


def _true(risk: float, terms: Terms) -> float:
    """Carry a bound on the risk that a judge sees over to the true risk."""
    return min(risk / (1.0 - terms.judge_missed), 1.0)


def _plain_risk(evidence: _Evidence, threshold: float) -> float:
    """Share of all answered calibration calls that disagree, however long their sessions."""
    curve = measure(answerable(evidence.calibration, evidence.drawing), np.array([threshold]))
    answered, errors = float(curve.answered[0]), float(curve.errors[0])
    return errors / answered if answered else 0.0


def _hash(calls: ScoredCalls) -> str:
    rows = zip(calls.call, calls.confidence.tolist(), calls.loss.tolist(), strict=True)
    return digest(sorted([call, confidence, bool(loss)] for call, confidence, loss in rows))


def _reason(outcome: Outcome, evidence: _Evidence, missing: int | None) -> str:
    terms, drawing = evidence.terms, evidence.drawing
    alpha, sure = _percent(terms.alpha), _percent(1.0 - terms.delta)
    unit = "call" if drawing.unit is Unit.EVERY else "unit"
    counted = f"{outcome.errors} of {outcome.answered} answered {unit}s disagreed"
    noise = _noise(terms)
    if outcome.threshold is not None:
        covered = _percent(outcome.answered / outcome.n)
        return f"Risk at most {alpha} at confidence {sure}: {counted}, at a coverage of {covered}.{noise}"
    if not outcome.tested:
        return "Keep the LLM: validation calls leave no threshold to test (none, or all of them deferred)."
    reach = f"the risk may be {_percent(_true(outcome.risk_upper, terms))}, above {alpha}"
    needed = f"about {missing} more {unit}s could certify at the present risk"
    ahead = needed if missing else "the present risk is too high where the tests start"
    return f"Keep the LLM: {counted} at the strictest threshold, so {reach}; {ahead}.{noise}"


def _noise(terms: Terms) -> str:
    """Say what stands between the losses and the promise: a teacher that wavers, a judge that errs."""
    said = ""
    if terms.asked is not None and terms.self_agreement is not None and terms.asked < terms.alpha:
        said = (
            f" The teacher agrees with itself on {_percent(terms.self_agreement)} of repeated requests, so "
            f"{_percent(terms.alpha)} was tested, not {_percent(terms.asked)}."
        )
    if terms.judge_missed:
        said += (
            f" A judge decided that missed {terms.judge_misses} of {terms.judge_labelled} labelled "
            f"disagreements, {_percent(terms.judge_missed)} at most, which is counted in."
        )
    return said


def _percent(share: float) -> str:
    return f"{100.0 * share:.3g} %"
