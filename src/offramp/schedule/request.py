"""What the scheduler takes and gives: requests in, dispatches and refusals out."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from offramp.core.standing import CallClass

__all__ = ["CallClass", "Dispatch", "Event", "Reason", "Refused", "Request"]


class Reason(enum.StrEnum):
    """Why a request was refused."""

    FULL = "full"
    """As many of its class wait as may."""
    LATE = "late"
    """It cannot be answered before its deadline any more."""
    GONE = "gone"
    """No engine serves its model any more."""


class Request:
    """One request that asks for an engine.

    A plain class: one is made for every call.

    Args:
        id: Unique among those that have not ended.
        kind: Its class.
        model: What it asks for: an adapter's or a base's name, as engines have it.
        tenant: Who is to be treated fairly against whom.
        arrived: When the client asked, seconds on the scheduler's clock.
        deadline: When it is to be answered.
        device_s: Predicted device seconds: what its class is charged.
        service_s: Predicted seconds that it holds its slot.
        tokens: What its tenant is charged: tokens read, and twice those generated (the weights of the
            virtual token counter, arXiv 2401.00588).
    """

    __slots__ = ("arrived", "deadline", "device_s", "id", "kind", "model", "service_s", "tenant", "tokens")

    def __init__(  # noqa: PLR0913 - the facts of one request, each by its name
        self,
        id: int | str,  # noqa: A002
        kind: CallClass,
        model: str,
        *,
        tenant: str = "",
        arrived: float,
        deadline: float = float("inf"),
        device_s: float,
        service_s: float,
        tokens: float = 1.0,
    ) -> None:
        self.id = id
        self.kind = kind
        self.model = model
        self.tenant = tenant
        self.arrived = arrived
        self.deadline = deadline
        self.device_s = device_s
        self.service_s = service_s
        self.tokens = tokens


@dataclass(slots=True)
class Dispatch:
    """A request goes to an engine now.

    Attributes:
        request: It.
        engine: Name of the engine, one of whose slots it holds until it is completed or cancelled.
        surplus: Whether it goes by priority, beyond what its class is guaranteed.
        lent: Whether its slot is kept for another class and lent.
        loads: Whether the engine has to load its adapter first.
        evicts: The adapter that goes for it, "" where none does.
    """

    request: Request
    engine: str
    surplus: bool
    lent: bool
    loads: bool
    evicts: str = ""


@dataclass(slots=True)
class Refused:
    """A request that will not be answered.

    Attributes:
        request: It.
        reason: Why.
        retry_after_s: Seconds until another try may find room.
    """

    request: Request
    reason: Reason
    retry_after_s: float


Event = Dispatch | Refused
