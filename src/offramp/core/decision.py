"""What is decided for one call on its way through the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from offramp.core.call import Answer
    from offramp.core.json import JsonObject
    from offramp.core.standing import Standing


@dataclass(frozen=True, slots=True)
class Proposal:
    """A specialist's answer to one call.

    Attributes:
        answer: What it would answer; None where it has nothing valid to say.
        confidence: Calibrated probability of agreeing with the teacher, 0 to 1.
    """

    answer: Answer | None
    confidence: float


@dataclass(frozen=True, slots=True)
class Routing:
    """The decision for one call.

    Attributes:
        task: Id of the task the call was assigned to; None where it fits none.
        route: ``"teacher"`` or the id of the specialist that answers.
        reason: Why the teacher answers (``"no task"``, ``"not live"``, ``"below threshold"``, ...); ""
            where a specialist does.
        confidence: The specialist's confidence, None where it was not asked.
        answer: The specialist's answer, None where the teacher answers.
        audit: Whether the teacher is to be asked as well, after the client has its answer.
        model: The model that the teacher is asked for in place of the client's; None leaves it.
    """

    task: str | None = None
    route: str = "teacher"
    reason: str = ""
    confidence: float | None = None
    answer: Answer | None = None
    audit: bool = False
    model: str | None = None


class Router(Protocol):
    """Decides who answers; never raises: trouble means the teacher."""

    @property
    def idle(self) -> bool:
        """True while nothing is live, so that the gateway need not even parse the request."""
        ...

    async def route(self, request: JsonObject, standing: Standing | None = None) -> Routing:
        """Decide for one decoded chat-completions request.

        Args:
            request: The request.
            standing: How urgent it is; None where nothing is scheduled.
        """
        ...

    async def observe_audit(self, routing: Routing, request: JsonObject, teacher: JsonObject) -> None:
        """Take in what the teacher answered to an audited call (a chat-completion body).

        Raises:
            OfframpError: The answers could not be compared; the audit counts as none.
        """
        ...
