"""What the recorder process does besides recording: spans for a collector, and the store's upkeep."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from offramp.core.errors import OfframpError
from offramp.interchange.genai import span_of
from offramp.record.folder import ring_folders
from offramp.record.process import Writer
from offramp.record.stats import losses, read_stats
from offramp.storage.port import Retention

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offramp.app.build import App
    from offramp.config import RecordSettings
    from offramp.core.call import Call
    from offramp.core.json import JsonObject
    from offramp.record.parse import Parser
    from offramp.storage.port import Store
    from offramp.telemetry import SpanSender

__all__ = ["Janitor", "TellingWriter", "alarm_of", "recording_of"]

_log = logging.getLogger("offramp.record")

UPKEEP_S = 600.0
_FIRST_S = 5.0
_LATE_S = 60.0


def recording_of(app: App) -> JsonObject:
    """Say how recording goes, from any process: what waits, what was lost, what stands in the way."""
    settings = app.settings
    stats = read_stats(ring_folders(settings.home, settings.record.ring_folder))
    known = losses(app.store)
    return {
        "waiting": stats.waiting,
        "lag_s": stats.lag_s,
        "stalled": stats.stalled,
        "lost": max(known.dropped + known.failed, stats.lost),
        "error": stats.error,
    }


def alarm_of(recording: JsonObject) -> str:
    """Say in a sentence what is wrong with recording, "" where nothing is."""
    if recording["stalled"]:
        return f"Nothing is being stored; {recording['waiting']} calls wait. {recording['error']}"
    if recording["lost"]:
        return f"{recording['lost']} calls were not recorded. {recording['error']}".strip()
    # An old trouble that is over is no alarm; calls that nobody fetches are.
    return str(recording["error"]) if recording["waiting"] and recording["lag_s"] > _LATE_S else ""


class TellingWriter(Writer):
    """A writer that tells a collector of every call it has stored.

    Args:
        store: Where calls go.
        parser: Makes calls of exchanges.
        spans: Takes spans at once; they hold no text of a call.
    """

    def __init__(self, store: Store, parser: Parser, spans: SpanSender) -> None:
        super().__init__(store, parser)
        self._spans = spans

    def store(self, calls: Sequence[Call]) -> None:
        """See :meth:`Writer.store`."""
        super().store(calls)
        self._spans.put(span_of(call, content=False) for call in calls)

    def close(self) -> None:
        """See :meth:`Writer.close`."""
        self._spans.close()
        super().close()


class Janitor:
    """Keeps the store bounded, in a thread and over a connection of its own.

    Args:
        open_store: Opens the store.
        settings: How long, and how much of it, calls are kept.
        every_s: Seconds between two rounds.
    """

    def __init__(
        self, open_store: Callable[[], Store], settings: RecordSettings, *, every_s: float = UPKEEP_S
    ) -> None:
        self._open_store = open_store
        self._retention = Retention(days=settings.retain_days, max_bytes=settings.max_bytes)
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin; the first round comes a few seconds later."""
        self._thread.start()

    def stop(self) -> None:
        """End; a round under way may be left half-done, which the next one mends."""
        self._ended.set()

    def _run(self) -> None:
        pause = min(_FIRST_S, self._every_s)
        while not self._ended.wait(pause):
            pause = self._every_s
            try:
                self._round()
            except OfframpError as error:
                _log.error("The store's upkeep failed: %s", error)

    def _round(self) -> None:
        store = self._open_store()
        try:
            done = store.upkeep(self._retention)
        finally:
            store.close()
        if done.expired or done.evicted:
            _log.info("Removed %d calls for their age, %d for the store's size", done.expired, done.evicted)
