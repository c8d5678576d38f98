"""Every error offramp raises on purpose.

::

    OfframpError
    ├── UserError              the input or the situation; exit code 2
    │   ├── BadInput           a file, a flag, a payload
    │   ├── BadSetting         a settings value
    │   ├── NotFound           a task, a file, a model that is not there
    │   ├── AddressInUse       a port that another process holds
    │   └── MissingExtra       an optional dependency that is not installed
    ├── StorageError           the database or the disk; exit code 3
    │   ├── DiskFull
    │   ├── WrongKey           the encryption key does not open this store
    │   └── SchemaTooNew       written by a later offramp
    ├── UpstreamError          the teacher could not be reached or broke off; exit code 4
    │   ├── UpstreamUnreachable
    │   └── UpstreamTimeout
    └── EngineError            a specialist could not answer; the call defers; exit code 5
        └── Busy               its queue is full, or it could not answer in time

A class says whether trying again can help (``retryable``); an instance carries ``hint``: the one
thing to do about it. The message says what was received and what is allowed.
"""

from __future__ import annotations

from typing import ClassVar


class OfframpError(Exception):
    """Base of all deliberate errors.

    Args:
        message: What was received and what is allowed.
        hint: What to do, as a command or a setting where there is one.
    """

    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UserError(OfframpError):
    """The input or the situation is at fault, not offramp."""

    exit_code: ClassVar[int] = 2


class BadInput(UserError):
    """A file, a flag or a payload is not what it has to be."""


class NameTaken(BadInput):
    """A name that has to be one's own is another's already."""


class BadSetting(UserError):
    """A settings value is not allowed."""


class NotFound(UserError):
    """A task, a file or a model is not there."""


class AddressInUse(UserError):
    """Another process listens on the address."""

    retryable: ClassVar[bool] = True


class MissingExtra(UserError):
    """An optional dependency is not installed."""


class StorageError(OfframpError):
    """The database or the disk failed."""

    exit_code: ClassVar[int] = 3


class DiskFull(StorageError):
    """No space left where the store lives."""

    retryable: ClassVar[bool] = True


class WrongKey(StorageError):
    """The encryption key does not open this store."""


class SchemaTooNew(StorageError):
    """The store was written by a later version of offramp."""


class UpstreamError(OfframpError):
    """The teacher could not be reached, or broke off."""

    exit_code: ClassVar[int] = 4


class UpstreamUnreachable(UpstreamError):
    """No connection could be made, so the teacher cannot have started to answer."""

    retryable: ClassVar[bool] = True


class UpstreamTimeout(UpstreamError):
    """The teacher did not answer in time."""

    retryable: ClassVar[bool] = True


class EngineError(OfframpError):
    """A specialist could not answer; the call defers to the teacher."""

    exit_code: ClassVar[int] = 5


class Busy(EngineError):
    """An engine has no room for a call.

    Args:
        message: What was received and what is allowed.
        hint: What to do.
        reason: ``full`` (too many wait), ``late`` (the deadline is out of reach) or ``gone`` (no engine
            serves the model any more).
        retry_after_s: Seconds until another try may find room.
    """

    retryable: ClassVar[bool] = True

    def __init__(
        self, message: str, *, hint: str = "", reason: str = "full", retry_after_s: float = 0.0
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.retry_after_s = retry_after_s
