"""What is counted: independent units drawn from dependent calls.

Calls of one session are not independent, so a bound that counts them as if they were is no bound. Four
units are; each makes its own promise, and a certificate names it:

- *one call per session*: "on a call drawn uniformly from a session drawn uniformly". Where every session
  has one call, that is a share of all calls, and the exact binomial test applies;
- *every call of a session*: a share of all calls, whatever the lengths and the dependence. Sessions are
  bet on as a whole (``betting``);
- *one call per session, long sessions drawn more often*: the same promise from one call a session, kept
  with probability ``length / cap`` (rejection sampling). It costs units and allows the exact test;
- *one session*: "in at most alpha of the sessions where it answers, any of its answers disagrees".

A share of all calls has no bound while a session may be of any length: one endless session could hold most
of them. So the second and the third count a session as at most ``cap`` calls (those of a longer one weigh
less); the cap is chosen on validation and named in the certificate.
"""

from __future__ import annotations

import enum
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

Floats = NDArray[np.float64]
"""An array of 64-bit floats."""
Bools = NDArray[np.bool_]
"""An array of truth values."""
Indices = NDArray[np.intp]
"""An array of row numbers."""

_SHOWN = 3


class Unit(enum.StrEnum):
    """What one independent draw is; the value is the wording in the certificate."""

    CALL = "one call per session"
    EVERY = "every call of a session, sessions weighed by their calls"
    WEIGHTED = "one call per session, long sessions drawn more often"
    SESSION = "one session, in which any disagreement counts"


@dataclass(frozen=True, slots=True)
class ScoredCalls:
    """Calls with the confidence of a specialist and whether it disagreed with the teacher.

    Attributes:
        task: Task id of each call, length m.
        session: Session of each call, length m.
        call: Call id of each call, length m, no two equal.
        confidence: Confidence of the specialist, 0 to 1, shape (m,). A call that it cannot answer at
            all (out of distribution, invalid output) has confidence 0, which no threshold accepts.
        loss: True where its answer disagrees, shape (m,).
    """

    task: Sequence[str]
    session: Sequence[str]
    call: Sequence[str]
    confidence: Floats
    loss: Bools

    def __post_init__(self) -> None:
        lengths = {len(self.task), len(self.session), len(self.call), len(self.confidence), len(self.loss)}
        if len(lengths) != 1:
            raise BadInput(f"Columns of scored calls have lengths {sorted(lengths)}; they must be equal.")
        if not bool(np.all((self.confidence >= 0.0) & (self.confidence <= 1.0))):
            raise BadInput("A confidence is not within 0 to 1.", hint="Fit a calibrator on validation data.")
        if len(set(self.call)) != len(self.call):
            raise BadInput("Two scored calls have the same id; each call may count once.")

    def __len__(self) -> int:
        return len(self.call)

    def take(self, rows: Indices) -> ScoredCalls:
        """Return the calls of these rows, in their order."""
        return ScoredCalls(
            task=[self.task[row] for row in rows],
            session=[self.session[row] for row in rows],
            call=[self.call[row] for row in rows],
            confidence=self.confidence[rows],
            loss=self.loss[rows],
        )

    def of_task(self, task: str) -> ScoredCalls:
        """Return the calls of one task, in their order."""
        return self.take(np.flatnonzero(np.asarray([name == task for name in self.task], dtype=np.bool_)))


@dataclass(frozen=True, slots=True)
class Units:
    """What the threshold is tested on.

    Attributes:
        answer_at: A unit is answered at thresholds up to this, shape (n,); minus infinity: never.
        error_at: It disagrees at thresholds up to this, shape (n,), at most ``answer_at``.
        weight: How much it counts, shape (n,); all 1 for the independent draws of a calibration set.
    """

    answer_at: Floats
    error_at: Floats
    weight: Floats


@dataclass(frozen=True, slots=True)
class Drawing:
    """How units are drawn; all of it is fixed before calibration data are looked at.

    Attributes:
        unit: What one unit is.
        seed: Another seed draws other calls.
        cap: What a session counts as at most, for a share of all calls.
        deferred: Tasks whose calls are never answered; they keep their part in the draw.
        floors: By task, a confidence below which its calls are not answered: members that are held to a
            stricter threshold than their group.
    """

    unit: Unit = Unit.CALL
    seed: int = 0
    cap: int = 1
    deferred: frozenset[str] = frozenset()
    floors: Mapping[str, float] = field(default_factory=dict)

    def floor(self, task: str) -> float:
        """Return the confidence below which a task's calls are not answered; infinity where none is."""
        return np.inf if task in self.deferred else self.floors.get(task, 0.0)


def call_units(confidence: Floats, loss: Bools) -> Units:
    """Take every call as one unit of weight 1; for calls that are independent already."""
    answer_at = np.asarray(confidence, dtype=np.float64)
    error_at = np.where(np.asarray(loss, dtype=np.bool_), answer_at, -np.inf)
    return Units(answer_at, error_at, np.ones(len(answer_at)))


def calibration_units(calls: ScoredCalls, drawing: Drawing) -> Units:
    """Draw independent units.

    Draws depend on the seed and the call ids only: not on the order of rows, nor on other sessions.

    Returns:
        One unit per session (fewer for weighted draws), each of weight 1.
    """
    codes, lengths = session_codes(calls.session)
    every = answerable(calls, drawing)
    if drawing.unit is Unit.EVERY:
        raise BadInput("Whole sessions are no draws of one call; see sessions.session_counts.")
    if drawing.unit is Unit.SESSION:
        return _session_units(every, codes, len(lengths))
    rows = first_of_session(codes, priorities(calls.call, f"draw {drawing.seed}"))
    if drawing.unit is Unit.WEIGHTED:
        keep = priorities([calls.session[row] for row in rows], f"keep {drawing.seed}")
        rows = rows[keep * drawing.cap < lengths[codes[rows]]]
    return Units(every.answer_at[rows], every.error_at[rows], every.weight[rows])


def validation_units(calls: ScoredCalls, drawing: Drawing) -> Units:
    """Use every call, weighted so that the expectation is that of the draws and the sum the sessions.

    Nothing is promised from validation data, so all of it may inform the choice of thresholds; the
    weights keep ten calls of one session from looking like ten sessions.
    """
    codes, lengths = session_codes(calls.session)
    every = answerable(calls, drawing)
    if drawing.unit is Unit.SESSION:
        return _session_units(every, codes, len(lengths))
    if drawing.unit is not Unit.CALL:
        weight = np.minimum(1.0, drawing.cap / lengths)[codes]
        return Units(every.answer_at, every.error_at, weight * len(lengths) / max(float(weight.sum()), 1e-9))
    return Units(every.answer_at, every.error_at, 1.0 / lengths[codes])


def first_of_session(session: NDArray[np.integer], priority: Floats) -> Indices:
    """Return the row with the smallest priority of each session, in order of session number.

    With independent uniform priorities this is one uniformly drawn call per session.

    Args:
        session: Session number of each row, shape (m,).
        priority: Priority of each row, shape (m,).
    """
    order = np.lexsort((priority, session))
    ordered = np.asarray(session)[order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return np.asarray(order[first], dtype=np.intp)


def length_cap(calls: ScoredCalls, share: float = 0.95) -> int:
    """Return what a session is to count as at most: the length that few calls' sessions exceed.

    That is the longest session's length where it is at most twice the mean, and otherwise the length that
    the sessions which hold ``share`` of the calls do not exceed; 1 without calls.
    """
    _, lengths = session_codes(calls.session)
    if not len(lengths):
        return 1
    ordered = np.sort(lengths)
    held = np.cumsum(ordered) >= share * ordered.sum()
    longest = int(ordered[-1])
    return longest if longest <= 2.0 * float(lengths.mean()) else int(ordered[int(np.argmax(held))])


def natural_unit(cap: int) -> Unit:
    """Return the unit for a promise on a share of all calls where a session counts as at most ``cap``.

    With one call a session, drawing it is all there is to see, and the exact test loses nothing.
    """
    return Unit.CALL if cap == 1 else Unit.EVERY


def kept_share(calls: ScoredCalls, drawing: Drawing) -> float:
    """Return the share of sessions that give a unit; below 1 for weighted draws only."""
    _, lengths = session_codes(calls.session)
    weighted = drawing.unit is Unit.WEIGHTED and len(lengths)
    return float(np.minimum(1.0, lengths / drawing.cap).mean()) if weighted else 1.0


def mix(tasks: Sequence[str]) -> dict[str, float]:
    """Return each task's share of calls, summing to 1 (empty without calls).

    Args:
        tasks: Task id of each call; calibration calls or live ones, so that both sides count alike.
    """
    return {task: count / len(tasks) for task, count in sorted(Counter(tasks).items())}


def mix_distance(left: Mapping[str, float], right: Mapping[str, float]) -> float:
    """Return the total variation distance of two mixes, 0 (equal) to 1 (no task in common).

    A change of the *answered* calls' mix by this much changes a pooled risk by at most as much.
    """
    return sum(abs(left.get(task, 0.0) - right.get(task, 0.0)) for task in sorted({*left, *right})) / 2.0


def check_disjoint(parts: Mapping[str, Iterable[Hashable]], what: str = "session") -> None:
    """Check that no value is in two parts: run it on sessions, call ids and duplicate keys of a split.

    Args:
        parts: Values of each part, by the part's name.
        what: What a value is, for the message.

    Raises:
        BadInput: Some value is in two parts; the message names the parts and up to three values.
    """
    home: dict[Hashable, str] = {}
    leaks: dict[tuple[str, str], list[Hashable]] = {}
    for name, values in parts.items():
        for value in dict.fromkeys(values):
            owner = home.setdefault(value, name)
            if owner != name:
                leaks.setdefault((owner, name), []).append(value)
    if not leaks:
        return
    (left, right), found = next(iter(leaks.items()))
    shown = ", ".join(str(value) for value in found[:_SHOWN])
    raise BadInput(
        f"{len(found)} {what} value(s) are in both {left} and {right} ({shown}); none may be.",
        hint="Split by session, with near-duplicates on one side.",
    )


def answerable(calls: ScoredCalls, drawing: Drawing) -> Units:
    """Take every call as one unit of weight 1; those that the drawing holds back are never answered."""
    units = call_units(calls.confidence, calls.loss)
    floors = {task: drawing.floor(task) for task in {*calls.task}}
    never = calls.confidence < np.array([floors[task] for task in calls.task], dtype=np.float64)
    answer_at, error_at = (np.where(never, -np.inf, at) for at in (units.answer_at, units.error_at))
    return Units(answer_at, error_at, units.weight)


def _session_units(calls: Units, codes: Indices, sessions: int) -> Units:
    top, worst = np.full(sessions, -np.inf), np.full(sessions, -np.inf)
    np.maximum.at(top, codes, calls.answer_at)
    np.maximum.at(worst, codes, calls.error_at)
    return Units(top, worst, np.ones(sessions))


def session_codes(session: Sequence[str]) -> tuple[Indices, NDArray[np.int64]]:
    """Number the sessions; return each row's number and each session's length."""
    _, codes, lengths = np.unique(np.asarray(session, dtype=np.str_), return_inverse=True, return_counts=True)
    return np.asarray(codes, dtype=np.intp), np.asarray(lengths, dtype=np.int64)


def priorities(values: Sequence[str], salt: str) -> Floats:
    """Hash each value to a number in 0 to 1: uniform, and the same for whoever checks."""
    key = hashlib.blake2b(salt.encode(), digest_size=16).digest()
    raw = b"".join(hashlib.blake2b(value.encode(), digest_size=8, key=key).digest() for value in values)
    return np.frombuffer(raw, dtype="<u8").astype(np.float64) / 2.0**64
