"""What a bound per call means for a whole session."""

from __future__ import annotations

from dataclasses import dataclass

from offramp.core.errors import BadInput


@dataclass(frozen=True, slots=True)
class SessionFigure:
    """How many sessions stay free of disagreement.

    Attributes:
        calls: Answered calls a session.
        independent: Share of sessions without a disagreement if calls disagree independently of one
            another: ``(1 - risk) ** calls`` (99 % a call is 82 % over 20 calls).
        guaranteed: The share whatever the dependence, by the union bound: ``1 - calls * risk``, at
            least 0.
    """

    calls: float
    independent: float
    guaranteed: float


def session_figure(risk: float, calls: float) -> SessionFigure:
    """Carry a risk per call over to sessions.

    Args:
        risk: Risk per answered call (its bound, for a figure that holds), 0 to 1.
        calls: Calls a session that the specialist *answers*, on average; deferred ones are the teacher's.

    Raises:
        BadInput: Either is out of range.
    """
    if not (0.0 <= risk <= 1.0 and calls >= 0.0):
        raise BadInput(f"risk is {risk} and calls {calls}; a risk is 0 to 1 and calls are 0 or more.")
    return SessionFigure(calls, float((1.0 - risk) ** calls), max(0.0, 1.0 - calls * risk))
