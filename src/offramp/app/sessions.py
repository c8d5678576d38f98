"""Which session is seen for the first time."""

from __future__ import annotations

from collections import OrderedDict


class FirstOfSession:
    """Remembers sessions, so that at most one audit of each enters a test.

    Args:
        most: Sessions remembered; the oldest is forgotten first.
    """

    def __init__(self, most: int = 100_000) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._most = most

    def __call__(self, session: str) -> bool:
        """Whether this session comes for the first time."""
        if session in self._seen:
            return False
        self._seen[session] = None
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
        return True
