"""Passes a call on to the teacher, and its response back: same status, same bytes, as they come."""

from __future__ import annotations

import logging
from math import ceil
from types import MappingProxyType
from typing import TYPE_CHECKING

from offramp.app.dispatch import Place
from offramp.core.errors import (
    BadInput,
    Busy,
    OfframpError,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from offramp.gateway.counters import Metric
from offramp.gateway.problem import Problem, told
from offramp.gateway.splice import splice_model
from offramp.gateway.wire import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from offramp.app.engines import Engines
    from offramp.app.queues import Queue
    from offramp.core.standing import Standing
    from offramp.dialect import Form
    from offramp.gateway.counters import Counters
    from offramp.gateway.course import Course
    from offramp.gateway.wire import Reply
    from offramp.gateway.witness import Witness
    from offramp.upstream.port import Headers, Upstream, UpstreamResponse

_log = logging.getLogger("offramp.gateway")

_BASE = len("/v1")
_ENGINES_TRIED = 3
_SENT_AWAY = MappingProxyType(
    {"full": (429, "queue_full"), "late": (503, "deadline_unreachable"), "gone": (503, "engine_gone")}
)
# The first class that fits gives status and code.
_ANSWERS: Mapping[type[OfframpError], tuple[int, str]] = MappingProxyType(
    {
        BadInput: (400, "malformed_request"),
        UpstreamTimeout: (504, "upstream_timeout"),
        UpstreamError: (502, "upstream_error"),
    }
)


class Teacher:
    """The teacher, as the client sees it.

    Args:
        upstream: The way to it.
        form: How its API tells errors.
        witness: Takes each answer before its last byte is sent.
        counters: Where its failures are counted.
        queue: Where calls with a standing wait for their turn; None lets all in at once.
        engines: Local engines, which answer in its place for the models that they serve.
    """

    def __init__(
        self,
        upstream: Upstream,
        form: Form,
        witness: Witness,
        counters: Counters,
        queue: Queue | None = None,
        engines: Engines | None = None,
    ) -> None:
        self._queue = queue
        self._engines = engines
        self._upstream = upstream
        self._freely = Place(upstream)
        self.form = form
        self._witness = witness
        self._counters = counters

    async def answer(self, course: Course, reply: Reply, *, extra: Headers) -> None:
        """Let the teacher answer the client.

        Where it does not, the client is told; where it breaks off, the client's own response breaks off
        at the same byte (``reply.complete`` stays false).

        Args:
            course: The call.
            reply: The way back to the client.
            extra: Header fields to add to the response.
        """
        try:
            for left in reversed(range(_ENGINES_TRIED)):
                place = await self.place(course.standing)
                answered = False
                try:
                    await self._ask_at(place, course, reply, extra, again=left > 0)
                    answered = reply.complete and not course.error
                except UpstreamUnreachable as error:
                    # Nothing was sent: another engine can be asked the same.
                    _log.warning("%s", error, extra={"call": course.id, "error": type(error).__name__})
                    place.lose()
                    continue
                finally:
                    place.leave(answered=answered)
                return
        except Busy as error:
            course.error = type(error).__name__
            await self._send_away(error, course, reply, extra)

    async def place(self, standing: Standing | None) -> Place:
        """Wait for the turn of a call, at a local engine that serves its model or at the teacher.

        Args:
            standing: The call's; None lets it in at once.

        Raises:
            Busy: There is no room, or no time.
        """
        if standing is not None:
            if self._engines is not None and self._engines.serves(standing.model):
                return await self._engines.enter(standing)
            if self._queue is not None:
                return Place(self._upstream, await self._queue.enter(standing))
        return self._freely

    async def _ask_at(
        self, place: Place, course: Course, reply: Reply, extra: Headers, *, again: bool
    ) -> None:
        if place.model is not None:
            course.body = splice_model(course.asked.body, place.model)
        if place.small:
            # A small model's answers must not be what its successor learns from.
            course.caller.trainable = False
        engine = place.engine
        if engine:
            extra = [*extra, (b"x-offramp-engine", engine.encode("ascii", "replace"))]
        await self._ask(place.upstream, course, reply, extra, again=again and bool(engine))

    async def _send_away(self, error: Busy, course: Course, reply: Reply, extra: Headers) -> None:
        """Say when to come back."""
        status, code = _SENT_AWAY[error.reason]
        problem = Problem(status, str(error), code, retry_after=max(1, ceil(error.retry_after_s)))
        fields, body = told(problem, self.form)
        await self.say(course, reply, status, [*fields, *extra], body)

    async def _ask(
        self, upstream: Upstream, course: Course, reply: Reply, extra: Headers, *, again: bool = False
    ) -> None:
        """Ask, and tell the client what went wrong; ``again`` raises where no connection was made."""
        asked = course.asked
        try:
            response = await upstream.send(
                asked.method, asked.target[_BASE:], course.caller.forward, course.body
            )
            try:
                await self._relay(response, course, reply, extra)
            finally:
                await response.aclose()
        except (UpstreamError, BadInput) as error:
            if again and isinstance(error, UpstreamUnreachable):
                raise
            course.error = type(error).__name__
            self._counters.add(Metric.ERRORS, course.error)
            if not reply.status:
                await self._tell(error, course, reply, extra)
            _log.warning("%s", error, extra={"call": course.id, "error": course.error})

    async def _relay(self, response: UpstreamResponse, course: Course, reply: Reply, extra: Headers) -> None:
        """Hold the head until the first piece of the body is here: until then an error can still be told."""
        headers = response.headers
        length = left = _length(headers)
        kept = course.pieces if course.caller.record else None
        begun = False
        async for piece in response:
            left -= len(piece)
            if not begun:
                begun = True
                course.begin(response.status, headers)
                reply.start(response.status, [*headers, *extra], length)
            if kept is not None:
                kept.append(piece)
            if left == 0:
                self._finish(course)
                await reply.write(piece, last=True)
                return
            await reply.write(piece, last=False)
            if length == UNKNOWN:
                # Only a body that says how long it is has a last piece, which is recorded before it is sent.
                response.pour(reply.push if kept is None else _keeping(kept, reply.push))
        if not begun:
            course.begin(response.status, headers)
            reply.start(response.status, [*headers, *extra], length)
        self._finish(course)
        await reply.write(b"", last=True)

    def _finish(self, course: Course) -> None:
        """Record before the last byte is sent: what the client has in full cannot be lost any more."""
        course.end()
        self._witness.take(course, complete=True)

    async def _tell(
        self, error: UpstreamError | BadInput, course: Course, reply: Reply, extra: Headers
    ) -> None:
        """Tell the client in the form its library knows: 504 for a teacher that is too slow, else 502."""
        status, code = next(answer for kind, answer in _ANSWERS.items() if isinstance(error, kind))
        fields, body = told(Problem(status, str(error), code), self.form)
        await self.say(course, reply, status, [*fields, *extra], body)

    async def say(self, course: Course, reply: Reply, status: int, headers: Headers, body: bytes) -> None:
        """Answer a call with a whole body of offramp's own."""
        fields = [*headers, (b"content-length", b"%d" % len(body))]
        course.begin(status, fields)
        if course.caller.record:
            course.pieces.append(body)
        reply.start(status, fields, len(body))
        self._finish(course)
        await reply.write(body, last=True)


def _keeping(kept: list[bytes], push: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
    """Keep what is pushed; what is not comes again."""

    def take(piece: bytes) -> bool:
        if not push(piece):
            return False
        kept.append(piece)
        return True

    return take


def _length(headers: Headers) -> int:
    for name, value in headers:
        if name == b"content-length":
            return int(value) if value.strip().isdigit() else UNKNOWN
    return UNKNOWN
