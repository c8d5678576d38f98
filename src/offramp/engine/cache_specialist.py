"""The cache specialist: the answer the teacher gave last time to the same payload."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from offramp.core.errors import EngineError
from offramp.core.render import parse_completion, payload_of
from offramp.engine.specialist import Card, Considered, task_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from offramp.core.json import JsonObject
    from offramp.engine.specialist import TaskRequest

FILE = "cache.json"


class CacheSpecialist:
    """Answers exact repeats only.

    Args:
        card: What it is.
        entries: `cache_key` to (completion, times seen, share of those times that gave this completion).
    """

    def __init__(self, card: Card, entries: Mapping[str, tuple[str, int, float]]) -> None:
        self._card = card
        self._entries = dict(entries)

    @property
    def card(self) -> Card:
        """What it is."""
        return self._card

    def consider(self, items: Sequence[TaskRequest]) -> list[Considered]:
        """Look each item up; see `Specialist.consider`."""
        considered = []
        for item in items:
            task = task_of(self._card, item)
            completion, seen, share = self._entries.get(cache_key(item.task, item.request), ("", 0, 0.0))
            answer = parse_completion(task.output, completion) if seen else None
            considered.append(Considered(answer, (float(min(seen, 5)), share), 1.0))
        return considered

    def save(self, folder: Path) -> None:
        """Write into a folder; keys are hashes, answers are as recorded (masked)."""
        (folder / FILE).write_text(json.dumps(self._entries))
        # Last, because a folder with a card counts as whole.
        self._card.save(folder)

    @classmethod
    def load(cls, folder: Path) -> CacheSpecialist:
        """Read what `save` wrote.

        Raises:
            EngineError: The file is missing or broken.
        """
        try:
            entries = json.loads((folder / FILE).read_text())
        except (OSError, ValueError) as error:
            raise EngineError(f"{folder} holds no cache: {error}.", hint="offramp convert.") from error
        return cls(Card.load(folder), {key: tuple(entry) for key, entry in entries.items()})


def cache_key(task: str, request: JsonObject) -> str:
    """Hash a task and the payload of a request."""
    return hashlib.blake2b(f"{task}\0{payload_of(request)}".encode(), digest_size=16).hexdigest()
