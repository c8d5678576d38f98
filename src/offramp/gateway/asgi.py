"""The gateway behind any ASGI server; :mod:`offramp.gateway.front` is the faster way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.gateway.departure import Departure
from offramp.gateway.head import body_too_large
from offramp.gateway.wire import UNKNOWN, Asked, send_whole
from offramp.upstream.asgi import read_body, target_of

if TYPE_CHECKING:
    from offramp.gateway.front import Core
    from offramp.upstream.asgi import Message, Receive, Scope, Send
    from offramp.upstream.port import Headers


async def serve_asgi(core: Core, at_most: int, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one request.

    Args:
        core: Answers it.
        at_most: Largest body, in bytes.
        scope: As ASGI has it.
        receive: As ASGI has it.
        send: As ASGI has it.
    """
    target = target_of(scope)
    departure = Departure(receive)
    reply = _AsgiReply(send, departure)
    try:
        body = await read_body(receive, at_most=at_most)
    except BadInput:
        problem = body_too_large(at_most)
        fields, told = core.tell(target, problem)
        await send_whole(reply, problem.status, fields, told)
        return
    if body is None:
        core.gone()
        return
    client = scope.get("client")
    asked = Asked(scope["method"], target, scope["headers"], body, client[0] if client else "")
    async with departure:
        await core.answer(asked, reply)
    if departure.gone:
        core.gone()


class _AsgiReply:
    """The way back through an ASGI server."""

    __slots__ = ("_departure", "_head", "_send", "complete", "status")

    def __init__(self, send: Send, departure: Departure) -> None:
        self.status = 0
        self.complete = False
        self._head: Message | None = None
        self._send = send
        self._departure = departure

    def start(self, status: int, headers: Headers, length: int = UNKNOWN) -> None:
        """See :class:`offramp.gateway.wire.Reply`."""
        del length
        self.status = status
        self._head = {"type": "http.response.start", "status": status, "headers": headers}

    async def write(self, data: bytes, *, last: bool) -> None:
        """See :class:`offramp.gateway.wire.Reply`."""
        if last:
            # Before it is sent: the server reports the end of a response as a departure too.
            self._departure.complete()
        if self._head is not None:
            head, self._head = self._head, None
            await self._send(head)
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})
        self.complete = last

    def push(self, data: bytes) -> bool:
        """See :class:`offramp.gateway.wire.Reply`: an ASGI server is always waited for."""
        del data
        return False
