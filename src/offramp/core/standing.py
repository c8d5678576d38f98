"""How urgent a call is, and for whom: what a scheduler goes by."""

from __future__ import annotations

import enum


class CallClass(enum.IntEnum):
    """Why somebody waits, in the order in which classes get what nobody is guaranteed."""

    INTERACTIVE = 0
    """A small model answers, and somebody waits."""
    TOOL = 1
    """A small model answers an agent that works alone."""
    LLM = 2
    """What only the LLM can do; the reserve is kept for it."""
    BATCH = 3
    """Whenever there is room."""


class Standing:
    """One call among all that wait, from its arrival to its answer, whoever gives it.

    Args:
        kind: The class that its key or its header names; None leaves it to who answers.
        tenant: Who asks, as a pseudonym or a key's id.
        arrived: When it came, seconds on a monotonic clock.
        due: When its client wants it answered, on the same clock; None where it does not say.
        model: The model that it asks for.
        tools: Whether it offers tools.
        read: Tokens of the request, roughly.
        written: Most tokens of the answer, where it says; else 0.
    """

    __slots__ = ("arrived", "due", "kind", "model", "read", "tenant", "tools", "written")

    def __init__(
        self,
        *,
        arrived: float,
        kind: CallClass | None = None,
        tenant: str = "",
        due: float | None = None,
        model: str = "",
        tools: bool = False,
        read: int = 0,
        written: int = 0,
    ) -> None:
        self.kind = kind
        self.tenant = tenant
        self.arrived = arrived
        self.due = due
        self.model = model
        self.tools = tools
        self.read = read
        self.written = written

    def as_batch(self, arrived: float, model: str) -> Standing:
        """Return the standing of a call that asks a model the same, and for which nobody waits."""
        return Standing(
            arrived=arrived,
            kind=CallClass.BATCH,
            tenant=self.tenant,
            model=model,
            tools=self.tools,
            read=self.read,
            written=self.written,
        )
