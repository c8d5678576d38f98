"""OpenAI's embeddings: recorded for their cost, never answered by a specialist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.call import Dialect
from offramp.dialect.codec import encode
from offramp.dialect.fields import objects
from offramp.dialect.form import JSON, Folded, Form, broken, openai_error

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

_BYTES_PER_NUMBER = 4


def _same(body: JsonObject) -> JsonObject:
    return body


def _chat_response(response: JsonObject) -> JsonObject:
    """Leave the vectors out: they are large, and a text can be guessed from its vector."""
    if not isinstance(response.get("data"), list):
        return response
    rows = objects(response["data"])
    sizes = {_size(row.get("embedding")) for row in rows}
    return response | {"data": {"shape": [len(rows), max(sizes, default=0)]}}


def _size(vector: object) -> int:
    if isinstance(vector, list):
        return len(vector)
    # Base64 of 32-bit numbers.
    return len(vector.rstrip("=")) * 3 // 4 // _BYTES_PER_NUMBER if isinstance(vector, str) else 0


def _beyond(_request: JsonObject) -> str:
    return "embeddings"


def _render(completion: JsonObject, _request: JsonObject) -> tuple[bytes, bytes]:
    return JSON, encode(completion)


def _fold(_stream: bytes) -> Folded:
    return broken([])


EMBEDDINGS = Form(
    dialect=Dialect.EMBEDDINGS,
    path="/embeddings",
    to_chat=_same,
    chat_response=_chat_response,
    beyond=_beyond,
    render=_render,
    fold=_fold,
    error=openai_error,
)
"""``POST /v1/embeddings``."""
