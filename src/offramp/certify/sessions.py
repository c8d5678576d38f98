"""Scored calls as whole sessions: what each has answered at each threshold, and the sequence of tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from offramp.certify.betting import Expected, SessionCounts, rejects
from offramp.certify.threshold import Curve, before_failure, shrunk_risk
from offramp.certify.units import answerable, priorities, session_codes

if TYPE_CHECKING:
    from offramp.certify.units import Drawing, Floats, Indices, ScoredCalls

CHUNK: Final = 16
"""Thresholds that are tested at a time; the loosest ones are mostly never reached."""
_SHRINK: Final = 30.0
"""Sessions of independent calls that validation's own variance is mixed with."""
_LEAST_CLUMP: Final = 0.7


@dataclass(frozen=True, slots=True)
class Sessions:
    """Calls by session, as numbers.

    Attributes:
        place: Place of each call's session in the order in which they are bet on, shape (m,).
        answer_at: A call is answered at thresholds up to this, shape (m,); minus infinity: never.
        error_at: It disagrees at thresholds up to this, shape (m,), at most ``answer_at``.
        weight: How much each call counts, shape (m,); less than 1 in sessions longer than the cap.
        count: Number of sessions.
        cap: What a session counts as at most; fixed without these calls.
    """

    place: Indices
    answer_at: Floats
    error_at: Floats
    weight: Floats
    count: int
    cap: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What calls say about each threshold.

    Attributes:
        curve: Answered calls and disagreements, sessions longer than the cap weighed down to it.
        expected: What to expect of a session at each threshold.
        sessions: How many there are.
    """

    curve: Curve
    expected: Expected
    sessions: int


def by_session(calls: ScoredCalls, drawing: Drawing) -> Sessions:
    """Put sessions in an order that depends on the seed and their ids only, and weigh their calls."""
    codes, lengths = session_codes(calls.session)
    units = answerable(calls, drawing)
    order = np.argsort(priorities(sorted({*calls.session}), f"order {drawing.seed}"), kind="stable")
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    weight = np.minimum(1.0, drawing.cap / np.maximum(lengths, 1))[codes]
    return Sessions(place[codes], units.answer_at, units.error_at, weight, len(lengths), drawing.cap)


def session_counts(sessions: Sessions, thresholds: Floats) -> SessionCounts:
    """Count each session's answered calls and disagreements at each threshold.

    Args:
        sessions: Calls by session.
        thresholds: Falling, shape (t,).

    Returns:
        Counts of shape (t, sessions).
    """
    answered = _tally(sessions, sessions.answer_at, thresholds)
    errors = _tally(sessions, sessions.error_at, thresholds)
    return SessionCounts(answered, errors, float(sessions.cap))


def see(sessions: Sessions, thresholds: Floats) -> Seen:
    """Sum up what calls say about each threshold.

    Args:
        sessions: Calls by session.
        thresholds: Falling, shape (t,).
    """
    counts = session_counts(sessions, thresholds)
    n = float(sessions.weight.sum())
    curve = Curve(thresholds, counts.answered.sum(axis=-1), counts.errors.sum(axis=-1), n)
    return Seen(curve, _expected(curve, counts), sessions.count)


def passes(sessions: Sessions, grid: tuple[Floats, Expected], promise: tuple[float, float]) -> int:
    """Test thresholds in turn, all at one delta; return how many passed before the first failure.

    Args:
        sessions: Calibration calls by session.
        grid: Thresholds, falling, shape (t,), and what validation expects at each.
        promise: Risk to certify and delta.
    """
    thresholds, expected = grid
    for at in range(0, len(thresholds), CHUNK):
        chunk = slice(at, at + CHUNK)
        passed = rejects(session_counts(sessions, thresholds[chunk]), expected.at(chunk), *promise)
        if not bool(passed.all()):
            return at + before_failure(passed)
    return len(thresholds)


def _tally(sessions: Sessions, scores: Floats, thresholds: Floats) -> Floats:
    """Sum the weight of calls at or above each threshold by session, shape (t, sessions)."""
    width = len(thresholds) + 1
    first = np.searchsorted(-thresholds, -scores, side="left")
    cells = np.bincount(
        sessions.place * width + first, weights=sessions.weight, minlength=sessions.count * width
    )
    return np.asarray(np.cumsum(cells.reshape(-1, width), axis=1).T[:-1], dtype=np.float64)


def _expected(curve: Curve, counts: SessionCounts) -> Expected:
    """Set the variance of a session's gain, E[(risk a - k)^2], beside that of independent calls."""
    sessions = counts.answered.shape[-1]
    risk, mean = shrunk_risk(curve), curve.answered / max(sessions, 1)
    alone = np.maximum(risk * (1.0 - risk) * mean, 1e-12)
    spread = np.square(risk[:, None] * counts.answered - counts.errors).sum(axis=-1)
    clump = (spread / alone + _SHRINK) / (sessions + _SHRINK)
    return Expected(mean, np.maximum(clump, _LEAST_CLUMP))
