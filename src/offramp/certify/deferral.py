"""Which members of a group always defer: decided on validation calls alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from offramp.certify.bounds import p_values
from offramp.certify.threshold import candidates, forecast, measure
from offramp.certify.units import Drawing, ScoredCalls, length_cap, validation_units

if TYPE_CHECKING:
    from offramp.certify.terms import Terms
    from offramp.certify.units import Units

_SURPRISE: Final = 0.05
"""Few answered calls defer a member when alpha would produce their errors less often than this."""


def draw_group(tasks: frozenset[str], validation: ScoredCalls, terms: Terms, units: int) -> Drawing:
    """Decide how a group's units are drawn, and which members always defer.

    A member defers when it has no validation call, or when its own risk at the threshold that validation
    promises exceeds alpha: its point risk where at least ``terms.min_answered`` calls were answered,
    otherwise only if alpha would produce so many errors in fewer than one case of twenty. Taking members
    out moves that threshold, so this repeats until nobody leaves.

    Args:
        tasks: Ids of the members.
        validation: Their validation calls.
        terms: What is to be promised.
        units: How many calibration units there will be.
    """
    drawing = Drawing(terms.unit, terms.seed, length_cap(validation), tasks - set(validation.task))
    alone = Drawing(terms.unit)
    own = {
        task: validation_units(validation.of_task(task), alone) for task in sorted(tasks - drawing.deferred)
    }
    while True:
        threshold = _promised(validation_units(validation, drawing), terms, units)
        worse = {
            task
            for task, calls in own.items()
            if task not in drawing.deferred and threshold is not None and _exceeds(calls, threshold, terms)
        }
        if not worse:
            return drawing
        drawing = Drawing(drawing.unit, drawing.seed, drawing.cap, drawing.deferred | worse)


def _promised(validation: Units, terms: Terms, units: int) -> float | None:
    """Return the loosest threshold expected to be certified; the start of the grid where none is."""
    thresholds = candidates(validation, terms.step)
    if not len(thresholds):
        return None
    values = forecast(measure(validation, thresholds), terms.alpha, units)
    start = int(np.argmin(values))
    fails = np.flatnonzero(values[start:] > terms.delta)
    passes = int(fails[0]) if len(fails) else len(values) - start
    return float(thresholds[start + max(passes - 1, 0)])


def _exceeds(calls: Units, threshold: float, terms: Terms) -> bool:
    curve = measure(calls, np.array([threshold]))
    answered, errors = float(curve.answered[0]), float(curve.errors[0])
    if answered >= terms.min_answered:
        return errors > terms.alpha * answered
    return errors >= 1.0 and float(p_values(answered, errors - 1.0, terms.alpha)) > 1.0 - _SURPRISE
