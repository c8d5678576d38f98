"""The gateway as an ASGI app: paths to their answers."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import offramp
from offramp.core.clock import Clock, SystemClock
from offramp.core.errors import BadInput
from offramp.gateway.audit import Auditor
from offramp.gateway.chat import TEACHER_ONLY, Chat
from offramp.gateway.counters import Counters, Metric
from offramp.gateway.departure import Departure
from offramp.gateway.teacher import Teacher
from offramp.gateway.wire import Asked
from offramp.gateway.witness import Witness
from offramp.record.pseudonym import Pseudonyms
from offramp.upstream.asgi import (
    Receive,
    Scope,
    Send,
    error_payload,
    read_body,
    send_body,
    send_json,
    target_of,
)
from offramp.upstream.port import header_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.core.decision import Router
    from offramp.core.json import JsonObject
    from offramp.gateway.wire import Reply
    from offramp.gateway.witness import Tap
    from offramp.upstream.port import Headers, Upstream

_BASE = "/v1"
_CHAT = "/chat/completions"
_TEXT: Headers = [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")]


@dataclass(frozen=True, slots=True)
class Limits:
    """How far the gateway goes.

    Attributes:
        body_bytes: Largest request body; a tool list with images reaches megabytes.
        audits_at_once: Most audits under way.
        audit_pauses_s: Pauses before each further try of an audit.
    """

    body_bytes: int = 64 << 20
    audits_at_once: int = 16
    audit_pauses_s: tuple[float, ...] = (1.0, 5.0)


class Gateway:
    """Passes ``/v1`` on to the teacher, routes and records chat calls, and tells how it is doing.

    ``GET /health``, ``GET /offramp/status`` and ``GET /metrics`` are its own; every path under ``/v1``
    goes to the teacher byte for byte. What the teacher says is never changed; header fields
    ``x-offramp-route``, ``-task``, ``-confidence`` and ``-reason`` are added.

    Args:
        upstream: The teacher; whoever made it closes it.
        router: Decides who answers a chat call; None: always the teacher.
        tap: Takes every complete chat call and returns at once; None records nothing.
        pseudonyms: Make pseudonyms of who asked; with a random key by default.
        status: What ``/offramp/status`` says.
        counters: What is counted; a fresh one by default.
        limits: How far it goes.
        clock: Time of each call.
    """

    def __init__(
        self,
        upstream: Upstream,
        *,
        router: Router | None = None,
        tap: Tap | None = None,
        pseudonyms: Pseudonyms | None = None,
        status: Callable[[], JsonObject] = dict,
        counters: Counters | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.counters = counters or Counters()
        self._upstream = upstream
        self._teacher = Teacher(upstream, self.counters)
        self._status = status
        self._keeps = tap is not None
        self._limits = limits or Limits()
        clock = clock or SystemClock()
        witness = Witness(tap, pseudonyms or Pseudonyms(secrets.token_bytes(32)), self.counters)
        self._auditor = None if router is None else self._audited_by(router, witness, clock)
        self._chat = Chat(self._teacher, router, self._auditor, witness, self.counters, clock)

    def _audited_by(self, router: Router, witness: Witness, clock: Clock) -> Auditor:
        return Auditor(
            self._upstream,
            router,
            witness,
            self.counters,
            clock=clock,
            pauses_s=self._limits.audit_pauses_s,
            at_once=self._limits.audits_at_once,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        target = target_of(scope)
        if target.startswith(_BASE + "/"):
            await self._forward(scope, target.removeprefix(_BASE), receive, send)
        else:
            await self._tell_about_itself(scope, send)

    async def aclose(self, grace_s: float = 10.0) -> None:
        """Let audits under way finish, for ``grace_s`` seconds at most."""
        if self._auditor is not None:
            await self._auditor.aclose(grace_s)

    async def _forward(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(receive, at_most=self._limits.body_bytes)
        except BadInput as error:
            refused = error_payload(str(error), kind="invalid_request_error", code="body_too_large")
            await send_json(send, 413, refused)
            return
        if body is None:
            self.counters.add(Metric.GONE)
            return
        client = scope.get("client")
        asked = Asked(scope["method"], path, scope["headers"], body, client[0] if client else "")
        departure = Departure(receive)
        async with departure:
            if asked.method == "POST" and path.partition("?")[0] == _CHAT:
                await self._chat.answer(asked, _AsgiReply(send, departure, kept=self._keeps))
            else:
                await self._pass_on(asked, _AsgiReply(send, departure, kept=False))
        if departure.gone:
            self.counters.add(Metric.GONE)

    async def _pass_on(self, asked: Asked, reply: Reply) -> None:
        await self._teacher.answer(asked, reply, extra=TEACHER_ONLY)
        if reply.complete:
            self.counters.add(Metric.PASSED, str(reply.status))

    async def _tell_about_itself(self, scope: Scope, send: Send) -> None:
        match scope["method"], scope["path"]:
            case "GET", "/health":
                await send_json(send, 200, {"status": "ok", "version": offramp.__version__})
            case "GET", "/offramp/status":
                await send_json(send, 200, self._status())
            case "GET", "/metrics":
                await send_body(send, 200, _TEXT, self.counters.render().encode())
            case method, path:
                host = (header_of(scope["headers"], b"host") or b"...").decode("latin-1")
                message = (
                    f"offramp has no {method} {path}. It serves /v1/... (the teacher's API), GET /health, "
                    f"GET /offramp/status and GET /metrics. Set the client's base URL to http://{host}/v1."
                )
                payload = error_payload(message, kind="invalid_request_error", code="not_found")
                await send_json(send, 404, payload)


class _AsgiReply:
    """The way back through an ASGI server."""

    __slots__ = ("_departure", "_kept", "_send", "complete", "headers", "pieces", "status")

    def __init__(self, send: Send, departure: Departure, *, kept: bool) -> None:
        self.status = 0
        self.headers: Headers = ()
        self.pieces: list[bytes] = []
        self.complete = False
        self._send = send
        self._departure = departure
        self._kept = kept

    async def start(self, status: int, headers: Headers) -> None:
        """See :class:`offramp.gateway.wire.Reply`."""
        self.status = status
        self.headers = headers
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes, *, last: bool) -> None:
        """See :class:`offramp.gateway.wire.Reply`."""
        if self._kept and data:
            self.pieces.append(data)
        if last:
            # Before it is sent: the server reports the end of a response as a departure too.
            self._departure.complete()
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})
        self.complete = last
