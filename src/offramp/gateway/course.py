"""One call on its way: what is known of it so far, until it is recorded and counted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from offramp.core.decision import Routing
from offramp.record.exchange import new_call_id

if TYPE_CHECKING:
    from offramp.core.call import Dialect
    from offramp.core.standing import Standing
    from offramp.gateway.caller import Caller
    from offramp.gateway.wire import Asked
    from offramp.upstream.port import Headers

TEACHER = "teacher"
"""The route of a call that no specialist answers."""

NOBODY_ELSE = Routing()
"""The decision where nobody but the teacher could answer."""


class Course:
    """One call, from its arrival to its last byte.

    Attributes:
        asked: The request as it came.
        body: Its body as the teacher gets it.
        caller: Who asks.
        dialect: The API it is made in; None for what passes unrecorded.
        id: Id of the call in its response, its record and the log.
        started_at: Arrival, seconds since the epoch.
        routing: Who answers.
        standing: How urgent it is; None where nothing is scheduled.
        status: Status of the response; 0 until there is one.
        headers: Header fields of the response.
        pieces: The body sent so far, kept where it is to be recorded.
        first_s: Seconds until the first byte of the answer; 0 until then.
        latency_s: Seconds until the last byte; 0 until then.
        error: Class of the upstream's failure, "" where there was none.
        audit_of: Id of the specialist's call that this one audits; None where it is no audit.
        witnessed: Whether the tap was offered it.
        recorded: Whether the tap took it.
    """

    __slots__ = (
        "asked",
        "audit_of",
        "begun",
        "body",
        "caller",
        "dialect",
        "error",
        "first_s",
        "headers",
        "id",
        "latency_s",
        "pieces",
        "recorded",
        "routing",
        "standing",
        "started_at",
        "status",
        "witnessed",
    )

    def __init__(
        self,
        asked: Asked,
        caller: Caller,
        dialect: Dialect | None,
        *,
        started_at: float,
        routing: Routing = NOBODY_ELSE,
        audit_of: str | None = None,
    ) -> None:
        self.asked = asked
        self.body = asked.body
        self.caller = caller
        self.dialect = dialect
        self.id = new_call_id()
        self.started_at = started_at
        self.begun = time.perf_counter()
        self.routing = routing
        self.standing: Standing | None = None
        self.status = 0
        self.headers: Headers = ()
        self.pieces: list[bytes] = []
        self.first_s = 0.0
        self.latency_s = 0.0
        self.error = ""
        self.audit_of = audit_of
        self.witnessed = False
        self.recorded = False

    def begin(self, status: int, headers: Headers) -> None:
        """Note the head of the answer."""
        self.first_s = time.perf_counter() - self.begun
        self.status = status
        self.headers = headers

    def end(self) -> None:
        """Note the end of the answer."""
        self.latency_s = time.perf_counter() - self.begun
