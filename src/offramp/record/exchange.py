"""What the gateway hands over of one call, and how it travels to the recorder process."""

from __future__ import annotations

import os
import random
import struct
import time
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING

import orjson

from offramp.core.call import Dialect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.json import JsonObject

_SIZES = struct.Struct(">II")
_DRAWS = random.Random()  # noqa: S311 - ids are no secrets; seeded by the system, and anew in every fork
os.register_at_fork(after_in_child=_DRAWS.seed)


def new_call_id() -> str:
    """Return a unique id that sorts by the time of its creation (milliseconds, then 64 random bits).

    It is no secret, and one is made for every call: the system's generator would cost a system call each.
    """
    return f"{time.time_ns() // 1_000_000:012x}-{_DRAWS.getrandbits(64):016x}"


# Not frozen, as an exception: that costs two microseconds of every call's way through the gateway.
@dataclass(slots=True)
class Exchange:
    """One call as it went over the wire; parsed, redacted and pseudonymised before it is stored.

    Attributes:
        request: Body of the request.
        response: Body of the response as sent: JSON, or the whole event stream.
        started_at: Arrival, seconds since the epoch.
        latency_s: Seconds from the request's last byte to the response's last byte.
        status: HTTP status of the response.
        content_type: Content type of the response.
        content_encoding: Content encoding of the response, "" where it was sent plain.
        stream: Whether the client asked for server-sent events.
        complete: False where client or teacher broke off.
        who: Keyed pseudonym of the credential, or of the client's address where none was sent.
        run: Keyed pseudonym of the session that the client named in a header, "" where it named none.
        route: Who answered: ``"teacher"`` or a specialist's id.
        meta: Facts to keep beside the call (task, confidence, audit).
        dialect: The API it was made in.
        trainable: Whether it may be trained on.
        id: Id that the call will have. Writing the same exchange twice stores it once.
    """

    request: bytes
    response: bytes
    started_at: float
    latency_s: float = 0.0
    status: int = 200
    content_type: str = "application/json"
    content_encoding: str = ""
    stream: bool = False
    complete: bool = True
    who: str = ""
    run: str = ""
    route: str = "teacher"
    meta: JsonObject = field(default_factory=dict)
    dialect: Dialect = Dialect.CHAT
    trainable: bool = True
    id: str = field(default_factory=new_call_id)

    @property
    def size(self) -> int:
        """Bytes of both bodies."""
        return len(self.request) + len(self.response)


_BODIES = ("request", "response")
FACTS = tuple(item.name for item in fields(Exchange) if item.name not in _BODIES)
"""Names of an exchange's fields but for its bodies, in the order in which a frame carries them."""

_facts_of = attrgetter(*FACTS)


def encode(exchange: Exchange) -> bytes:
    """Return the exchange's frame: two sizes, the facts as a JSON array, the request, the response.

    Raises:
        TypeError: A fact that JSON cannot carry.
    """
    # An array, not an object: half the time, and the ring names the fields once.
    facts = orjson.dumps(_facts_of(exchange))
    request = exchange.request
    return b"".join((_SIZES.pack(len(facts), len(request)), facts, request, exchange.response))


def decode(frame: bytes, names: Sequence[str] = FACTS) -> Exchange:
    """Read a frame.

    Args:
        frame: As :func:`encode` made it.
        names: The facts it carries; another version's may differ: unknown ones are left, absent ones have
            their default.

    Raises:
        ValueError: It is no frame.
    """
    try:
        facts_size, request_size = _SIZES.unpack_from(frame)
        start = _SIZES.size + facts_size
        facts = zip(names, orjson.loads(frame[_SIZES.size : start]), strict=True)
        known = {name: value for name, value in facts if name in FACTS}
        exchange = Exchange(frame[start : start + request_size], frame[start + request_size :], **known)
        exchange.dialect = Dialect(exchange.dialect)
    except (struct.error, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{len(frame)} bytes are no frame ({type(error).__name__})") from error
    return exchange
