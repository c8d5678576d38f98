"""Ends a process in the middle of what its store does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offramp.storage.sqlite import SqliteStore


def die_at_statement(store: SqliteStore, number: int) -> None:
    """End this process with code 9 before the store's next statement of that number, from 0 on."""
    left = number

    def count(statement: str) -> None:
        nonlocal left
        del statement
        left -= 1
        if left < 0:
            os._exit(9)

    store._database._connection.set_trace_callback(count)
