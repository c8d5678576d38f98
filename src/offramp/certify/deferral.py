"""Which members of a group always defer: decided on validation calls alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from offramp.certify.bounds import p_values
from offramp.certify.threshold import candidates, forecast, measure
from offramp.certify.units import Drawing, ScoredCalls, Units, length_cap, validation_units

if TYPE_CHECKING:
    from offramp.certify.terms import Terms

_SURPRISE: Final = 0.05
"""Few answered calls defer a member when alpha would produce their errors less often than this."""


def draw_group(tasks: frozenset[str], validation: ScoredCalls, terms: Terms, units: int) -> Drawing:
    """Decide how a group's units are drawn, and which members always defer.

    A member defers when it has no validation call, or when its own risk at the threshold that validation
    promises exceeds alpha: its point risk where at least ``terms.min_answered`` calls were answered,
    otherwise only if alpha would produce so many errors in fewer than one case of twenty. Taking members
    out moves that threshold, so this repeats until nobody leaves. Where no threshold promises anything,
    the worst members leave one by one until one does; if that never happens, they all stay.

    Args:
        tasks: Ids of the members.
        validation: Their validation calls.
        terms: What is to be promised.
        units: How many calibration units there will be.
    """
    unseen = tasks - set(validation.task)
    drawing = Drawing(terms.unit, terms.seed, length_cap(validation), unseen)
    alone = Drawing(terms.unit)
    own = {task: validation_units(validation.of_task(task), alone) for task in sorted(tasks - unseen)}
    first = drawing = _settled(drawing, own, validation, terms, units)
    while not _promise(validation_units(validation, drawing), terms, units)[1]:
        worst = _worst({task: calls for task, calls in own.items() if task not in drawing.deferred}, terms)
        if worst is None:
            return first
        drawing = replace(drawing, deferred=drawing.deferred | {worst})
        drawing = _settled(drawing, own, validation, terms, units)
    return drawing


def _settled(
    drawing: Drawing, own: dict[str, Units], validation: ScoredCalls, terms: Terms, units: int
) -> Drawing:
    """Take out members above alpha at the promised threshold until nobody leaves."""
    while True:
        threshold, _ = _promise(validation_units(validation, drawing), terms, units)
        staying = {task: calls for task, calls in own.items() if task not in drawing.deferred}
        worse = {task for task, calls in staying.items() if _exceeds(calls, threshold, terms)}
        if not worse:
            return drawing
        drawing = replace(drawing, deferred=drawing.deferred | worse)


def _promise(validation: Units, terms: Terms, units: int) -> tuple[float, bool]:
    """Return the loosest threshold expected to be certified; where none is, the grid's start and False."""
    thresholds = candidates(validation, terms.step)
    if not len(thresholds):
        return np.inf, False
    values = forecast(measure(validation, thresholds), terms.alpha, units)
    start = int(np.argmin(values))
    fails = np.flatnonzero(values[start:] > terms.delta)
    passes = int(fails[0]) if len(fails) else len(values) - start
    return float(thresholds[start + max(passes - 1, 0)]), passes > 0


def _exceeds(calls: Units, threshold: float, terms: Terms) -> bool:
    answered, errors = _counts(calls, threshold)
    if answered >= terms.min_answered:
        return errors > terms.alpha * answered
    return errors >= 1.0 and float(p_values(answered, errors - 1.0, terms.alpha)) > 1.0 - _SURPRISE


def _worst(members: dict[str, Units], terms: Terms) -> str | None:
    """Return the riskiest member if everything were answered; None where all are within alpha."""
    counts = {task: _counts(calls, 0.0) for task, calls in members.items()}
    risky = {task: (k + 1.0) / (n + 2.0) for task, (n, k) in counts.items() if k > terms.alpha * n}
    return max(risky, key=lambda task: risky[task], default=None)


def _counts(calls: Units, threshold: float) -> tuple[float, float]:
    curve = measure(calls, np.array([threshold]))
    return float(curve.answered[0]), float(curve.errors[0])
