"""What a call's key, header fields and body say of its urgency."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from offramp.core.standing import CallClass, Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from offramp.core.json import JsonObject
    from offramp.gateway.caller import Caller
    from offramp.gateway.wire import Asked

_BYTES_PER_TOKEN = 4
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_DIGITS = 9
_NAMES = {kind.name.lower().encode(): kind for kind in CallClass}


class Standings:
    """Reads the standing of each call.

    A key's class goes before what the header says: a client does not choose its way past its operator.

    Args:
        class_header: Header field that names the class.
        deadline_header: Header field with the milliseconds until the answer is wanted.
        keys: Class of the calls of a key, by its id.
        clock: Monotonic seconds, the dispatchers' too.
    """

    def __init__(
        self,
        *,
        class_header: str = "x-offramp-class",
        deadline_header: str = "x-offramp-deadline-ms",
        keys: Mapping[str, CallClass] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._class_header = class_header.lower().encode()
        self._deadline_header = deadline_header.lower().encode()
        self._keys = keys or {}
        self._clock = clock

    def of(self, asked: Asked, caller: Caller, request: JsonObject | None) -> Standing:
        """Return a call's standing.

        Args:
            asked: The call as it came.
            caller: Who asks.
            request: Its body, decoded; None where it cannot be.
        """
        now = self._clock()
        kind, due = self._keys.get(caller.key), None
        for name, value in asked.headers:
            if name == self._class_header and kind is None:
                kind = _NAMES.get(value.strip().lower())
            elif name == self._deadline_header:
                due = _due(now, value)
        facts = request or {}
        model = facts.get("model")
        return Standing(
            arrived=now,
            kind=kind,
            tenant=caller.key or caller.who or asked.client,
            due=due,
            model=model if isinstance(model, str) else "",
            tools=bool(facts.get("tools")),
            read=len(asked.body) // _BYTES_PER_TOKEN,
            written=next((n for name in _LIMITS if isinstance(n := facts.get(name), int) and n > 0), 0),
        )

    def now(self) -> float:
        """Return the time on the clock of standings."""
        return self._clock()


def _due(now: float, value: bytes) -> float | None:
    text = value.strip()
    # A wish that cannot be read is no reason to refuse the call.
    if not text.isdigit() or len(text) > _DIGITS:
        return None
    return now + int(text) / 1000.0
