"""What a request's header fields say about who asks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY_FIELD = b"x-offramp-key"
RECORD_FIELD = b"x-offramp-record"
WATCHED = frozenset((b"authorization", b"x-api-key", b"api-key", KEY_FIELD, RECORD_FIELD))
"""The header fields that matter here."""
_BEARER = b"bearer"
_OURS = b"ofk_"
_ANYWHERE = re.compile(rb"(?<![0-9A-Za-z_])ofk_")
_NO = (b"no", b"false", b"0", b"off")


class Shown(NamedTuple):
    """What a request shows.

    Attributes:
        token: The offramp key, ``b""`` where there is none.
        drop: Names of the fields that hold one, or are for offramp alone.
        quiet: Whether the client asks not to be recorded.
    """

    token: bytes
    drop: tuple[bytes, ...]
    quiet: bool


def read_fields(watched: Sequence[tuple[bytes, bytes]]) -> Shown:
    """Find the offramp key and the wish not to be recorded in the fields named in `WATCHED`.

    ``x-offramp-key`` goes before a key in the place of the provider's credential. Two different keys are
    none: it cannot be told whose request it is.
    """
    named: set[bytes] = set()
    others: set[bytes] = set()
    drop: list[bytes] = []
    quiet = False
    for name, value in watched:
        if name == RECORD_FIELD:
            quiet = quiet or value.strip().lower() in _NO
            drop.append(name)
        elif name == KEY_FIELD:
            named.add(_bare(value))
            drop.append(name)
        elif (bare := _bare(value)).startswith(_OURS):
            others.add(bare)
            drop.append(name)
        elif _ANYWHERE.search(value):
            # In a list, in quotes: it lets nobody in, and is not for the teacher all the same.
            drop.append(name)
    tokens = named or others
    return Shown(tokens.pop() if len(tokens) == 1 else b"", tuple(drop), quiet)


def _bare(value: bytes) -> bytes:
    """Return a credential without the name of its scheme, whatever stands between the two."""
    words = value.split()
    return words[1] if len(words) == 2 and words[0].lower() == _BEARER else value.strip()
