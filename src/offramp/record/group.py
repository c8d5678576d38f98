"""What is stored at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offramp.core.call import Call
    from offramp.record.backlog import Record


@dataclass(slots=True)
class Group:
    """Calls on their way into the store, together.

    Attributes:
        calls: The calls.
        failed: Exchanges between them that were lost.
        size: Bytes of the frames they came in.
        first: Position of the first record.
        since: When that was put in (ns of the monotonic clock).
        last: The last record, None while the group is empty.
        beside: Numbers of the records that have a file beside the ring.
        side_bytes: Bytes of those.
    """

    calls: list[Call] = field(default_factory=list)
    failed: int = 0
    size: int = 0
    since: int = 0
    first: int = 0
    last: Record | None = None
    beside: list[int] = field(default_factory=list)
    side_bytes: int = 0

    def take(self, record: Record, call: Call | None) -> None:
        """Add a record and the call that it is, None where it is lost."""
        if self.last is None:
            self.first, self.since = record.position, record.since
        self.size += len(record.frame or b"")
        self.last = record
        if record.sequence:
            self.beside.append(record.sequence)
            self.side_bytes += record.side_bytes
        if call is None:
            self.failed += record.calls
        else:
            self.calls.append(call)
