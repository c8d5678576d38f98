"""From one ring into the store: groups of calls, again and again until they are in."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offramp.core.errors import DiskFull, StorageError
from offramp.record.backlog import Backlog
from offramp.record.exchange import decode
from offramp.record.group import Group
from offramp.record.heap import give_back_heap
from offramp.record.ring import BLOCK
from offramp.record.stats import Losses
from offramp.record.trial import survives

if TYPE_CHECKING:
    from offramp.core.call import Call
    from offramp.record.backlog import Record
    from offramp.record.folder import Claim
    from offramp.record.ledger import Stored
    from offramp.record.ring import Ring
    from offramp.record.writer import Writer

_log = logging.getLogger("offramp.record")

_PARSING, _STORING = 1, 2
_ALONE_AFTER, _SKIP_AFTER = 2, 8
_PROBE_AFTER = 3
_RETRY_S, _RETRY_MOST_S = 0.1, 5.0
_NOTE_S = 1.0
_FORGET_AFTER = 4 * BLOCK


@dataclass(frozen=True, slots=True)
class Pace:
    """How a recorder takes its work.

    Attributes:
        calls: Most calls of a group.
        size: Bytes at which a group is full.
        commit_s: Longest wait of a call for its group.
        idle_s: Longest pause between two looks at an empty ring.
        patience_s: Seconds that a recorder without a gateway waits for a store that takes nothing.
    """

    calls: int = 32
    size: int = 1 << 20
    commit_s: float = 0.05
    idle_s: float = 0.02
    patience_s: float = 60.0


class Drain:
    """Moves the exchanges of one ring into the store.

    What the store does not take stays in the ring and is tried again. What cannot be parsed is counted and
    passed over. What killed the recorder is first tried in a process of its own.

    Args:
        ring: The ring.
        claim: The right to read it.
        key: Opens its key.
        writer: Parses and stores.
        pace: Sizes and times.

    Raises:
        WrongKey: The key does not open the ring.
    """

    def __init__(self, ring: Ring, claim: Claim, key: bytes, writer: Writer, pace: Pace) -> None:
        self.ring = ring
        self.path = ring.path
        self._claim = claim
        self._backlog = Backlog(ring, key)
        self._names = ring.names
        self._writer = writer
        self._pace = pace
        self._group = Group()
        self._turn = -1
        self._tries = 0
        self._retry_at = 0.0
        self._noted = Losses()
        self._note_at = 0.0
        self._forgotten = ring.stored.read().tail
        self._suspect, self._deaths = ring.inquest()
        self._count_earlier()

    def _count_earlier(self) -> None:
        """Tell whoever looks at the ring what was lost before it was made."""
        with contextlib.suppress(StorageError):
            before = self._writer.losses(but=self.path.name)
            stored = self.ring.stored.read()
            self._set(replace(stored, earlier_dropped=before.dropped, earlier_failed=before.failed))

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do at present."""
        return self._group.last is None and self._backlog.empty

    @property
    def quiet(self) -> bool:
        """Whether there was nothing to do at the last step, and nothing has come since."""
        return self._group.last is None and self.ring.taken.turn == self._turn

    @property
    def behind(self) -> bool:
        """Whether the ring holds more, and the store takes it."""
        return not self._retry_at and not self._backlog.empty

    def pause_s(self, now: float) -> float | None:
        """Return the seconds until the group is due, None where there is none, or the store is given time."""
        if self._group.last is None or self._retry_at > now:
            return None
        return max(0.0, self._group.since / 1e9 + self._pace.commit_s - now)

    def step(self, *, hurry: bool = False) -> bool:
        """Take what is there into the group, and store it where it is due.

        Args:
            hurry: Wait for no others.

        Returns:
            Whether anything moved.
        """
        if self._retry_at > time.monotonic():
            return False
        self._turn = self.ring.taken.turn
        moved = self._fill()
        if self._group.last is not None and (hurry or self._due()):
            self._store()
            moved = True
        self._note_losses()
        return moved

    def _due(self) -> bool:
        full = len(self._group.calls) >= self._most or self._group.size >= self._pace.size
        return full or self.pause_s(time.monotonic()) == 0.0

    @property
    def _most(self) -> int:
        """Calls per group: one, where a group of this beginning has killed the recorder again and again."""
        return 1 if self._storing_kills and self._deaths >= _ALONE_AFTER else self._pace.calls

    @property
    def _storing_kills(self) -> bool:
        return self._suspect & 7 == _STORING

    def _fill(self) -> bool:
        moved = False
        while len(self._group.calls) < self._most and self._group.size < self._pace.size:
            record = self._backlog.next()
            if record is None:
                break
            self._group.take(record, self._call(record))
            moved = True
        return moved

    def _call(self, record: Record) -> Call | None:
        """Parse a record; None where that cannot be done."""
        if reason := self._unfit(record):
            self._tell(reason)
            return None
        self.ring.enter(record.position | _PARSING)
        try:
            return self._parsed(record)
        except Exception as failure:  # noqa: BLE001 - one strange exchange must not cost the others
            # The message could quote the exchange; its class cannot.
            self._tell(f"An exchange could not be parsed ({type(failure).__name__}).")
            return None
        finally:
            self.ring.enter(0)

    def _unfit(self, record: Record) -> str:
        """Say why a record is not to be touched, "" where it may be."""
        if record.frame is None:
            return "A record of the ring cannot be read."
        if record.position | _STORING == self._suspect and self._deaths >= _SKIP_AFTER:
            return "An exchange ends the recorder when it is stored; it was left out."
        if record.position | _PARSING == self._suspect and not survives(lambda: self._parsed(record)):
            return "An exchange ends the recorder; it was left out."
        return ""

    def _parsed(self, record: Record) -> Call:
        assert record.frame is not None
        return self._writer.parse(decode(record.frame, self._names))

    def _tell(self, error: str) -> None:
        _log.error(error)
        self.ring.recorder_error = error

    def _store(self) -> None:
        self.ring.enter(self._group.first | _STORING)
        try:
            self._writer.store(self._group.calls)
        except StorageError as error:
            self._stall(error)
        except Exception as error:  # noqa: BLE001 - one strange call must not cost the others
            _log.error("A group could not be stored (%s)", type(error).__name__)
            self._store_singly()
        else:
            self._settle()
        finally:
            self.ring.enter(0)

    def _stall(self, error: StorageError) -> None:
        """Keep everything where it is, and try again later."""
        self._tries += 1
        if self._tries >= _PROBE_AFTER and self._refuses(error):
            self._store_singly()
        else:
            self._wait(error)

    def _wait(self, error: StorageError) -> None:
        wait = min(_RETRY_S * 2.0**self._tries, _RETRY_MOST_S)
        self._retry_at = time.monotonic() + wait
        if self._tries == 1:
            _log.error("Calls wait for the store: %s", error)
        self.ring.recorder_error = str(error)
        self._set(replace(self.ring.stored.read(), stalled=1))

    def _store_singly(self) -> None:
        """Find the calls that the store refuses although it works."""
        for call in list(self._group.calls):
            try:
                self._writer.store([call])
            except Exception as error:  # noqa: BLE001 - what is wrong with one is not with the next
                if isinstance(error, StorageError) and not self._refuses(error):
                    self._wait(error)
                    return
                self._tell(f"A call could not be stored ({type(error).__name__}).")
                self._group.calls.remove(call)
                self._group.failed += 1
        self._settle()

    def _refuses(self, error: StorageError) -> bool:
        """Whether it is this call that the store does not take, not any."""
        return not isinstance(error, DiskFull) and self._writer.works(self.path.name, self._lost())

    def _settle(self) -> None:
        """Move the tail: from here on the store answers for these calls."""
        group, before = self._group, self.ring.stored.read()
        assert group.last is not None
        after = replace(
            before,
            tail=group.last.end,
            place=group.last.place,
            written=before.written + len(group.calls),
            failed=before.failed + group.failed,
            side_bytes=before.side_bytes + group.side_bytes,
            stalled=0,
        )
        self._set(after)
        if after.tail - self._forgotten > _FORGET_AFTER:
            # A block that was read stays in this process's memory, and a backlog has many.
            self._forgotten = after.tail
            self.ring.forget()
            give_back_heap()
        for sequence in group.beside:
            self.ring.side(sequence).unlink(missing_ok=True)
        if self._tries:
            _log.warning("The store takes calls again")
        if self._storing_kills:
            self._suspect = 0  # it is behind us
        self._tries, self._retry_at = 0, 0.0
        self._group = Group()

    def _set(self, state: Stored) -> None:
        self.ring.stored.set(replace(state, beat=time.monotonic_ns()))

    def _note_losses(self) -> None:
        now = time.monotonic()
        if now < self._note_at:
            return
        self._note_at = now + _NOTE_S
        self._set(self.ring.stored.read())
        lost = self._lost()
        if lost != self._noted:
            with contextlib.suppress(StorageError):
                self._writer.note_losses(self.path.name, lost)
                self._noted = lost

    def _lost(self) -> Losses:
        taken, stored = self.ring.taken.read(), self.ring.stored.read()
        return Losses(taken.dropped, stored.failed + taken.refused)

    def retire(self) -> bool:
        """Remove a ring that nobody fills any more; False where its losses could not be noted yet."""
        lost = self._lost()
        if lost != self._noted:
            try:
                self._writer.note_losses(self.path.name, lost)
            except StorageError:
                return False
        self._claim.remove()
        self.ring.close()
        return True

    def leave(self) -> None:
        """Let go of the ring, and leave in it what is not stored."""
        self._claim.release()
        self.ring.close()
