"""Requests with their responses, verbatim: offramp's own form, and that of most logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.call import Call, Dialect
from offramp.interchange.values import checked, iso, messages_in, time_in, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.json import JsonObject

_TIMES = ("ts", "timestamp", "created_at", "time")
_SESSIONS = ("session", "session_id")
_ORIGINS = ("origin", "client_id", "user_id")


class Pairs:
    """``{"request": {...}, "response": {...}}``, with what else is known beside them."""

    name = "pairs"
    title = "request/response pairs, verbatim bodies"

    def recognises(self, row: JsonObject) -> bool:
        """See :class:`offramp.interchange.port.Format`."""
        return "request" in row and "response" in row and "messages" not in row

    def read(self, row: JsonObject, number: int) -> Iterator[Call]:
        """See :class:`offramp.interchange.port.Format`."""
        request, response = row["request"], row["response"]
        dialect = Dialect(row.get("dialect") or Dialect.CHAT)
        if "dialect" not in row:
            # What offramp recorded may be no conversation: a client can send anything.
            messages_in(request["messages"], "request.messages")
            checked(response)
        elif not isinstance(response, dict):
            raise TypeError("response has to be an object")
        counted, meta = response.get("usage"), row.get("meta") or {}
        usage = counted if isinstance(counted, dict) else {}
        at = time_in(row, _TIMES)
        yield Call(
            id=str(row.get("id") or ""),
            at=float(number) if at is None else at,
            session=_first(row, _SESSIONS),
            origin=_first(row, _ORIGINS),
            request=request,
            response=response,
            status=int(row.get("status") or meta.get("status") or 200),
            stream=bool(row.get("stream", request.get("stream", False))),
            latency_s=float(row.get("latency_s") or 0.0),
            usage=usage_of(usage.get("prompt_tokens"), usage.get("completion_tokens"), request, response),
            route=str(row.get("route") or "teacher"),
            dialect=dialect,
            trainable=bool(row.get("trainable", True)),
        )

    def write(self, call: Call) -> JsonObject:
        """See :class:`offramp.interchange.port.Format`."""
        return {
            "id": call.id,
            "ts": iso(call.at),
            "session": call.session,
            "origin": call.origin,
            "status": call.status,
            "stream": call.stream,
            "latency_s": call.latency_s,
            "route": call.route,
            "dialect": call.dialect.value,
            "trainable": call.trainable,
            "request": call.request,
            "response": call.response,
        }


def _first(row: JsonObject, keys: tuple[str, ...]) -> str:
    return next((str(row[key]) for key in keys if row.get(key)), "")
