"""What the recorder process does besides recording."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from offramp.app.recording import Janitor, TellingWriter, alarm_of
from offramp.config import RecordSettings
from offramp.core.call import Call
from offramp.core.errors import StorageError
from offramp.record.parse import Parser
from offramp.redact.redactor import Redactor
from offramp.storage.port import Retention, Upkeep
from offramp.telemetry import SpanSender
from offramp.testing.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from offramp.core.json import JsonObject

CALL = Call(
    "c-1",
    1_700_000_000.0,
    "session-1",
    "origin-1",
    {"model": "m", "messages": [{"role": "user", "content": "the plan"}]},
    {"choices": [{"message": {"role": "assistant", "content": "the answer"}, "finish_reason": "stop"}]},
)


class Kept(SpanSender):
    """Keeps spans instead of sending them."""

    def __init__(self) -> None:
        self.spans: list[JsonObject] = []
        self.closed = False

    def put(self, spans: Iterable[JsonObject]) -> None:
        self.spans += spans

    def close(self, timeout_s: float = 0.0) -> None:
        self.closed = True


class Failing(MemoryStore):
    """Takes nothing."""

    def append(self, calls: Any) -> None:
        raise StorageError("no")


def parser() -> Parser:
    return Parser(Redactor(b"k" * 32).redact, b"p" * 32)


def test_a_stored_call_becomes_a_span_without_its_text() -> None:
    spans = Kept()
    writer = TellingWriter(MemoryStore(), parser(), spans)
    writer.store([CALL])
    writer.close()
    (span,) = spans.spans
    told = json.dumps(span)
    assert "c-1" in told
    assert span["name"] == "chat m"
    assert "the plan" not in told
    assert "the answer" not in told
    assert spans.closed


def test_a_call_that_is_not_stored_is_not_told_of() -> None:
    spans = Kept()
    with pytest.raises(StorageError):
        TellingWriter(Failing(), parser(), spans).store([CALL])
    assert spans.spans == []


class Tidied(MemoryStore):
    """Remembers what upkeep it was asked for; the first time it fails."""

    def __init__(self, asked: list[Retention], twice: threading.Event) -> None:
        super().__init__()
        self.asked = asked
        self.twice = twice

    def upkeep(self, retention: Retention = Retention(), *, now: float | None = None) -> Upkeep:  # noqa: B008
        self.asked.append(retention)
        if len(self.asked) == 1:
            raise StorageError("locked")
        self.twice.set()
        return Upkeep()


def test_the_janitor_goes_on_after_a_failure() -> None:
    asked: list[Retention] = []
    twice = threading.Event()
    settings = RecordSettings(retain_days=7.0, max_bytes=1000)
    janitor = Janitor(lambda: Tidied(asked, twice), settings, every_s=0.01)
    janitor.start()
    assert twice.wait(10.0)
    janitor.stop()
    assert asked[0] == Retention(7.0, 1000)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, ""),
        ({"error": "it ended once"}, ""),
        ({"waiting": 3, "lag_s": 100.0, "error": "nobody fetches them"}, "nobody fetches them"),
        ({"lost": 2, "error": "the ring was full"}, "2 calls were not recorded. the ring was full"),
        (
            {"stalled": True, "waiting": 5, "error": "disk full"},
            "Nothing is being stored; 5 calls wait. disk full",
        ),
    ],
)
def test_an_alarm_is_raised_where_something_is_wrong_now(state: JsonObject, said: str) -> None:
    fine: JsonObject = {"waiting": 0, "lag_s": 0.0, "stalled": False, "lost": 0, "error": ""}
    assert alarm_of(fine | state) == said
