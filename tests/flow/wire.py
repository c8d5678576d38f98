"""Recorded exchanges, and a teacher that sends their bytes."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from offramp.upstream.asgi import Receive, Scope, Send, read_body

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from offramp.core.json import JsonObject

BUNDLED = Path(__file__).parents[1] / "data" / "wire"
CASE = "x-case"
_LARGEST_BODY = 64 << 20


@dataclass(frozen=True, slots=True)
class Recorded:
    """One exchange.

    Attributes:
        name: Its id.
        path: Path below ``/v1``.
        request: Body of the request.
        status: HTTP status.
        headers: Header fields of the response that matter.
        body: The response's bytes.
        stream: Whether they are server-sent events.
        response: The response's body; of a stream, what another program folded it into, None where none did.
    """

    name: str
    path: str
    request: JsonObject
    status: int
    headers: dict[str, str]
    body: bytes
    stream: bool
    response: JsonObject | None

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """Header fields as the teacher sends them."""
        kind = "text/event-stream; charset=utf-8" if self.stream else "application/json"
        fields = {"content-type": kind, **self.headers}
        if not self.stream:
            fields["content-length"] = str(len(self.body))
        return [(name.encode(), value.encode()) for name, value in fields.items()]


def recorded(paths: Iterable[Path]) -> Iterator[Recorded]:
    """Read exchanges from files and folders of files."""
    for path in paths:
        files = (
            sorted(path.glob("wire*.jsonl*")) or sorted(path.glob("*.jsonl*")) if path.is_dir() else [path]
        )
        for file in files:
            with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
                for number, line in enumerate(lines):
                    row = orjson.loads(line)
                    if _is_whole(row):
                        yield _exchange(row, f"{file.name}-{number}")


def _is_whole(row: JsonObject) -> bool:
    """Whether the answer's bytes are there: of some streams only the sum was kept."""
    return not row["request"].get("stream") or "raw_sse" in row["meta"] or row["meta"]["status"] >= 400


def _exchange(row: JsonObject, name: str) -> Recorded:
    meta: Any = row["meta"]
    raw = meta.get("raw_sse")
    headers = {
        "x-request-id": f"req-{name}",
        "openai-processing-ms": "417",
        "x-ratelimit-remaining-requests": "9999",
        "set-cookie": "__cf_bm=1; path=/; HttpOnly",
        **meta.get("headers", {}),
    }
    return Recorded(
        name=name,
        path=row.get("path", "/chat/completions"),
        request=row["request"],
        status=meta["status"],
        headers=headers,
        body=orjson.dumps(row["response"]) if raw is None else raw.encode(),
        stream=raw is not None,
        response=row["response"],
    )


class RecordedTeacher:
    """An ASGI app that sends the bytes of the exchange that the request's ``x-case`` names."""

    def __init__(self, exchanges: Iterable[Recorded]) -> None:
        self._exchanges = {exchange.name: exchange for exchange in exchanges}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await read_body(receive, at_most=_LARGEST_BODY)
        name = dict(scope["headers"])[CASE.encode()].decode()
        exchange = self._exchanges[name]
        await send({"type": "http.response.start", "status": exchange.status, "headers": exchange.fields})
        for piece in _pieces(exchange.body) if exchange.stream else [exchange.body]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _pieces(body: bytes) -> list[bytes]:
    """Cut a body into pieces that end anywhere, in the middle of an event or of a letter too."""
    size = 1 + len(body) // 7
    return [body[start : start + size] for start in range(0, len(body), size)]
