"""The bundled traffic as sessions in order of time, cut into a seen and an unseen part."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from offramp.config import ASSETS

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.core.json import JsonObject

TRAFFIC = ASSETS / "traffic"
SEEN_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded call of the sample.

    Attributes:
        id: Id in the published data set.
        ts: Arrival, ISO 8601.
        session: The session it belongs to.
        request: Request body, as bytes of JSON: decoded only while it is sent.
        response: The recorded answer's message.
        call_site: Hidden truth, for scoring only.
    """

    id: str
    ts: str
    session: str
    request: bytes
    response: JsonObject
    call_site: str


def files() -> list[Path]:
    """The bundled files."""
    return sorted(TRAFFIC.glob("*.jsonl.gz"))


def load(limit: int | None = None) -> list[list[Recorded]]:
    """Read all sessions, ordered by their first call.

    Args:
        limit: Keep about this many calls, every n-th session, so that a small run has all sources.
    """
    sessions: dict[str, list[Recorded]] = {}
    for path in files():
        with gzip.open(path, "rb") as file:
            for line in file:
                row = orjson.loads(line)
                sessions.setdefault(row["session"], []).append(
                    Recorded(
                        id=row["id"],
                        ts=row["ts"],
                        session=row["session"],
                        request=orjson.dumps(row["request"]),
                        response=row["response"]["choices"][0]["message"],
                        call_site=row["meta"]["call_site"],
                    )
                )
    ordered = sorted(sessions.values(), key=lambda calls: calls[0].ts)
    total = sum(map(len, ordered))
    if limit is None or limit >= total:
        return ordered
    step = total / limit
    return [ordered[int(i * step)] for i in range(int(len(ordered) / step))]


def cut(sessions: list[list[Recorded]]) -> tuple[list[list[Recorded]], list[list[Recorded]]]:
    """Part sessions by time: those in which the first three quarters of the calls fall, and the rest."""
    budget = SEEN_SHARE * sum(map(len, sessions))
    for number, session in enumerate(sessions):
        budget -= len(session)
        if budget < 0:
            return sessions[:number], sessions[number:]
    return sessions, []
