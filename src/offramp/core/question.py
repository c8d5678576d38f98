"""When two requests ask the same question."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import orjson

from offramp.core.json import canonical

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

_UNHEARD: Final = frozenset({"stream", "stream_options", "user", "metadata", "store", "safety_identifier"})
"""Fields of a request that tell who asks or how to send the answer, and nothing of what is asked."""


def question_of(request: JsonObject) -> int:
    """Return a 64-bit hash of all that decides the answer: equal where the same teacher is asked the same.

    Returns:
        0 for a request nested too deeply to be written, which is no question.
    """
    asked = {name: value for name, value in request.items() if name not in _UNHEARD}
    try:
        raw = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # integers beyond 64 bits and lone surrogates are legal JSON
        try:
            raw = canonical(asked).encode(errors="surrogatepass")
        except RecursionError:
            return 0
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest())
