"""JSON as a type, and the canonical bytes that hashes and comparisons use."""

from __future__ import annotations

import hashlib
import json
from typing import Any

JsonObject = dict[str, Any]
"""A decoded JSON object. Values stay ``Any``: provider payloads are open by contract."""


def canonical(value: object) -> str:
    """Render a JSON value so that equal values give equal text (sorted keys, no spaces)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: object, *, size: int = 16) -> str:
    """Return a stable hexadecimal BLAKE2b hash of a JSON value, ``size`` bytes long."""
    # JSON may hold a lone surrogate, which plain UTF-8 refuses.
    raw = canonical(value).encode(errors="surrogatepass")
    return hashlib.blake2b(raw, digest_size=size).hexdigest()
