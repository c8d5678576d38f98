"""Issue certificates: for one task, or for a group of tasks that one specialist serves.

The promise is pooled over the scope: of the calls that the specialist answers, a share of at most alpha
disagrees with the teacher, at confidence ``1 - delta``. Everything that can be chosen (grid, start,
deferred members) is chosen on validation calls; calibration calls are touched once, by the tests.

One call a session is an honest unit, but it weighs a session of one call as much as one of fifty. Where
the plain share of disagreements among all answered calibration calls exceeds alpha, a threshold is not
certified, whatever the test says; ``Unit.WEIGHTED`` makes the promise per call with a bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from offramp.certify.bounds import calls_at_rate, upper
from offramp.certify.deferral import draw_group
from offramp.certify.threshold import Curve, Outcome, measure, run_sequence, sequence
from offramp.certify.units import (
    Drawing,
    ScoredCalls,
    Unit,
    answerable,
    calibration_units,
    check_disjoint,
    length_cap,
    mix,
    mix_distance,
    validation_units,
)
from offramp.core.certificate import Certificate, Member
from offramp.core.errors import BadInput
from offramp.core.json import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offramp.certify.terms import Terms
    from offramp.certify.units import Bools, Floats


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
    drawing = Drawing(terms.unit, terms.seed, length_cap(validation))
    return _issue("task", dict([version]), specialist, _Evidence(validation, calibration, drawing, terms))


def certify_group(
    versions: Mapping[str, str],
    specialist: str,
    validation: ScoredCalls,
    calibration: ScoredCalls,
    terms: Terms,
) -> Certificate:
    """Certify a group of tasks over the mix of their calibration calls, or say why not.

    Members that validation finds too risky (see ``deferral``) always defer: their calls stay with the
    teacher, keep their part in the draw, and so lower the coverage. The pooled promise says nothing about
    one member; each has its own figures beside it, a deferred one those it would have had.

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
    drawing = draw_group(frozenset(versions), validation, terms, len(set(calibration.session)))
    return _issue("group", dict(versions), specialist, _Evidence(validation, calibration, drawing, terms))


def mix_holds(certificate: Certificate, live: Mapping[str, float]) -> bool:
    """Tell whether a mix of live calls (from ``units.mix``) is near enough for a group certificate.

    A certificate of one task does not depend on a mix.
    """
    return certificate.scope == "task" or mix_distance(certificate.mix, live) <= certificate.mix_tolerance


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The calls behind one certificate, and how they are used."""

    validation: ScoredCalls
    calibration: ScoredCalls
    drawing: Drawing
    terms: Terms


def _issue(scope: str, versions: dict[str, str], specialist: str, evidence: _Evidence) -> Certificate:
    """Run the tests, once, and write down what came out."""
    terms, tasks = evidence.terms, tuple(sorted(versions))
    chosen = validation_units(evidence.validation, evidence.drawing)
    drawn = calibration_units(evidence.calibration, evidence.drawing)
    thresholds = sequence(chosen, terms.alpha, len(drawn.weight), terms.step)
    curve = measure(drawn, thresholds)
    plain = measure(answerable(evidence.calibration, evidence.drawing.deferred), thresholds)
    # Where sessions of many calls are the worse ones, one call a session promises less than it seems to.
    allowed = (plain.errors <= terms.alpha * plain.answered) | (terms.unit is not Unit.CALL)
    outcome = run_sequence(curve, terms.alpha, terms.delta, allowed=allowed)
    at = _shown_at(outcome, thresholds)
    per_call = _share(plain, at)
    missing = None
    if outcome.threshold is None:
        missing = _missing(curve, measure(chosen, thresholds), allowed, terms)
    return Certificate(
        scope=scope,
        tasks=tasks,
        versions=tuple(versions[task] for task in tasks),
        specialist=specialist,
        alpha=terms.alpha,
        delta=terms.delta,
        threshold=outcome.threshold,
        unit=terms.unit.value,
        n=outcome.n,
        answered=outcome.answered,
        errors=outcome.errors,
        coverage=outcome.answered / outcome.n if outcome.n else 0.0,
        risk=outcome.risk,
        risk_upper=outcome.risk_upper,
        members=_members(tasks, evidence, at),
        mix=mix(evidence.calibration.task),
        mix_tolerance=terms.mix_tolerance,
        calls_needed=missing,
        evidence=_hash(evidence.calibration),
        reason=_reason(outcome, terms, missing, per_call),
        risk_per_call=per_call,
    )


def _check_parts(tasks: set[str], validation: ScoredCalls, calibration: ScoredCalls) -> None:
    strangers = sorted({*validation.task, *calibration.task} - tasks)
    if strangers:
        raise BadInput(f"Scored calls of {strangers[0]} were given; the certificate covers {sorted(tasks)}.")
    check_disjoint({"validation": validation.session, "calibration": calibration.session}, "session")
    check_disjoint({"validation": validation.call, "calibration": calibration.call}, "call id")


def _shown_at(outcome: Outcome, thresholds: Floats) -> float:
    if outcome.threshold is not None:
        return outcome.threshold
    return float(thresholds[0]) if len(thresholds) else math.inf


def _members(tasks: tuple[str, ...], evidence: _Evidence, threshold: float) -> tuple[Member, ...]:
    """Each member on its own units: one per session *of that task*, as its own certificate would have."""
    terms = evidence.terms
    # Certificates of their own would share delta, so what they need is counted at their share of it.
    share = terms.delta / len(tasks)
    members = []
    for task in tasks:
        cap = length_cap(evidence.validation.of_task(task))
        drawing = replace(evidence.drawing, cap=cap, deferred=frozenset())
        units = calibration_units(evidence.calibration.of_task(task), drawing)
        curve = measure(units, np.array([threshold]))
        n, answered, errors = (
            len(units.weight),
            round(float(curve.answered[0])),
            round(float(curve.errors[0])),
        )
        needed = _units_needed(n, answered, errors, (terms.alpha, share))
        members.append(
            Member(
                task=task,
                n=n,
                answered=answered,
                errors=errors,
                risk=errors / answered if answered else 0.0,
                risk_upper=upper(answered, errors, terms.delta),
                deferred=task in evidence.drawing.deferred,
                calls_needed=None if needed is None else max(needed - n, 0),
            )
        )
    return tuple(members)


def _missing(calibration: Curve, validation: Curve, allowed: Bools, terms: Terms) -> int | None:
    """How many more units would certify at the threshold that is nearest to it; None where none is."""
    promise = (terms.alpha, terms.delta)
    rows = [row for row, may in zip(_seen(calibration, validation), allowed.tolist(), strict=True) if may]
    totals = [total for row in rows if (total := _units_needed(*row, promise)) is not None]
    return max(min(totals) - round(calibration.n), 1) if totals else None


def _seen(calibration: Curve, validation: Curve) -> list[tuple[float, float, float]]:
    """Units, answered and errors at each threshold; of validation where calibration answered nothing."""
    return [
        (source.n, float(source.answered[at]), float(source.errors[at]))
        for at in range(len(calibration.thresholds))
        for source in (calibration if calibration.answered[at] else validation,)
    ]


def _units_needed(n: float, answered: float, errors: float, promise: tuple[float, float]) -> int | None:
    """Units after which alpha is certified at the present risk and coverage; None where it never is."""
    if answered <= 0.0:
        return None
    needed = calls_at_rate(*promise, errors / answered)
    return None if needed is None else math.ceil(needed * n / answered)


def _hash(calls: ScoredCalls) -> str:
    rows = zip(calls.call, calls.confidence.tolist(), calls.loss.tolist(), strict=True)
    return digest(sorted([call, confidence, bool(loss)] for call, confidence, loss in rows))


def _share(curve: Curve, threshold: float) -> float:
    """Share of the answered that disagree at one of the curve's thresholds; 0 where nothing is answered."""
    at = np.flatnonzero((curve.thresholds == threshold) & (curve.answered > 0.0))
    return float(curve.errors[at[0]] / curve.answered[at[0]]) if len(at) else 0.0


def _reason(outcome: Outcome, terms: Terms, missing: int | None, per_call: float) -> str:
    alpha, sure = _percent(terms.alpha), _percent(1.0 - terms.delta)
    counted = f"{outcome.errors} of {outcome.answered} answered units disagreed"
    if outcome.threshold is not None:
        covered = _percent(outcome.answered / outcome.n)
        return f"Risk at most {alpha} at confidence {sure}: {counted}, at a coverage of {covered}."
    if not outcome.tested:
        return "Keep the LLM: validation calls leave no threshold to test (none, or all of them deferred)."
    if outcome.risk_upper <= terms.alpha:
        return (
            f"Keep the LLM: {counted}, but counting every call {_percent(per_call)} did, above {alpha}: "
            f"sessions of many calls are worse, so count {Unit.WEIGHTED.value!r}."
        )
    reach = f"the risk may be {_percent(outcome.risk_upper)}, above {alpha}"
    needed = f"about {missing} more units could certify at the present risk"
    ahead = needed if missing else "the present risk is too high at every threshold"
    return f"Keep the LLM: {counted} at the strictest threshold, so {reach}; {ahead}."


def _percent(share: float) -> str:
    return f"{100.0 * share:.3g} %"
