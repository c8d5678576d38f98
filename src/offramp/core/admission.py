"""Who may do what: what a guard says of a request, before anything is done with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_Headers = Sequence[tuple[bytes, bytes]]

CALL = "call"
"""The action of a request under ``/v1``."""


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that may go on.

    Attributes:
        who: Pseudonym of who asked; "" lets the gateway make one of the credential or the address.
        record: Whether it may be recorded.
        trainable: Whether it may be trained on.
        drop: Names (lower case) of header fields that the teacher must not see: offramp's own key.
    """

    who: str = ""
    record: bool = True
    trainable: bool = True
    drop: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that goes no further.

    Attributes:
        status: HTTP status: 401, 403 or 429.
        message: What is missing and what to do.
        retry_after: Seconds after which it may be tried again; 0 says nothing of it.
    """

    status: int
    message: str
    retry_after: float = 0.0


class Guard(Protocol):
    """Decides in memory, at once, on every request; never raises."""

    def admit(
        self, method: str, path: str, headers: _Headers, client: str, action: str = CALL
    ) -> Admission | Refusal:
        """Decide on one request.

        Args:
            method: HTTP method.
            path: Path as written, query left out: ``/v1/chat/completions``, ``/offramp/status``.
            headers: Header fields, names in lower case.
            client: The client's address, "" where unknown.
            action: What is to be done: :data:`CALL`, or the action of an endpoint of offramp's own.
        """
        ...


class OpenGuard:
    """Admits everybody to everything."""

    _admitted = Admission()

    def admit(
        self,
        method: str,  # noqa: ARG002 - the guard's contract
        path: str,  # noqa: ARG002 - the guard's contract
        headers: _Headers,  # noqa: ARG002 - the guard's contract
        client: str,  # noqa: ARG002 - the guard's contract
        action: str = CALL,  # noqa: ARG002 - the guard's contract
    ) -> Admission | Refusal:
        """Admit."""
        return self._admitted
