"""Notices that a client leaves, and cancels the work done for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from offramp.upstream.asgi import Receive


class Departure:
    """Cancels the block it guards when the client leaves: an ASGI server does not do so itself.

    Use it as an asynchronous context manager once the request's body is read. The cancellation ends
    at the block; :attr:`gone` says that it came.

    Args:
        receive: The request's ``receive``.
    """

    __slots__ = ("_cancelling", "_complete", "_receive", "_task", "_watch", "gone")

    def __init__(self, receive: Receive) -> None:
        self.gone = False
        self._complete = False
        self._receive = receive

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task: asyncio.Task[object] = task
        self._cancelling = task.cancelling()
        self._watch = asyncio.create_task(self._wait())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._watch.cancel()
        if not self.gone:
            return False
        # As asyncio.timeout does: swallow our own cancellation, never somebody else's.
        ours = self._task.uncancel() <= self._cancelling
        return ours and kind is not None and issubclass(kind, asyncio.CancelledError)

    def complete(self) -> None:
        """Say that the last byte is on its way: servers report the end of a response as a departure too."""
        self._complete = True

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._complete:
            self.gone = True
            self._task.cancel()
