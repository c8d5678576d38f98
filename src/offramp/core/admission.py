"""Who may do what: what a guard says of a request, before anything is done with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Admission:
    """What is known of a request that may go on.

    Attributes:
        who: Keyed pseudonym of who asked; "" lets the gateway make one of the credential or the address.
        record: Whether the call may be recorded.
        trainable: Whether the call may be trained on.
        drop: Names (lower case) of header fields that must not reach the teacher.
        models: Models that may be asked for; empty means all. See :meth:`Guard.refuses`.
        key: Id of the offramp key that came with it, "" where none did.
    """

    who: str = ""
    record: bool = True
    trainable: bool = True
    drop: tuple[bytes, ...] = ()
    models: tuple[str, ...] = ()
    key: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request may not go on.

    Attributes:
        status: 401 (who?), 403 (not you) or 429 (not so often).
        message: What was received, what is allowed and what to do.
        retry_after: Seconds until another try can succeed; 0 where none can.
    """

    status: int
    message: str
    retry_after: int = 0


class Guard(Protocol):
    """Decides in memory, at once, on every request; never raises."""

    def admit(self, method: str, path: str, headers: _Headers, client: str = "") -> Admission | Refusal:
        """Say whether a request may go on.

        Args:
            method: HTTP method.
            path: Path without its query: ``/v1/chat/completions``, ``/offramp/status``.
            headers: Header fields, names in lower case.
            client: Address of the client, "" where unknown.
        """
        ...

    def refuses(self, admission: Admission, model: str) -> Refusal | None:
        """Say whether a call may not ask for a model; asked where ``admission.models`` is not empty."""
        ...


class OpenGuard:
    """Admits everybody to everything."""

    _admitted = Admission()

    def admit(self, method: str, path: str, headers: _Headers, client: str = "") -> Admission | Refusal:
        """Admit."""
        del method, path, headers, client
        return self._admitted

    def refuses(self, admission: Admission, model: str) -> Refusal | None:
        """Refuse nothing."""
        del admission, model
        return None
