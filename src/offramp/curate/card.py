"""The dataset card: what is in a dataset, where it came from, what was left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from offramp.core.json import digest
from offramp.curate.split import session_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from offramp.core.dataset import Item
    from offramp.core.json import JsonObject
    from offramp.core.task import Task
    from offramp.curate.dedupe import Duplicates
    from offramp.curate.split import Leakage, Shares

SCHEMA = 1

TERMS = (
    "The answers are a provider's model's. The provider's terms on training with its outputs apply; keep "
    "specialists trained on them private unless those terms allow otherwise."
)


def describe(
    tasks: Sequence[Task],
    parts: Mapping[str, Sequence[Item]],
    repeats: Mapping[str, Sequence[Item]],
    *,
    dropped: Mapping[str, int],
    duplicates: Duplicates,
    leakage: Leakage,
    shares: Shares,
    terms: str,
) -> JsonObject:
    """Return the card as a JSON object; equal for equal datasets, whatever the order of the calls.

    Args:
        tasks: The tasks in the dataset.
        parts: Items by part.
        repeats: By part, what was set apart as a repeat of an earlier part.
        dropped: Calls that were left out, by reason.
        duplicates: Repetition among the kept calls.
        leakage: Result of the leakage check.
        shares: Shares that were asked for.
        terms: Licence and terms that bind whoever uses the data.
    """
    teachers = Counter(
        str(item.call.response.get("model") or item.call.request.get("model") or "unknown")
        for items in (*parts.values(), *repeats.values())
        for item in items
    )
    return {
        "schema": SCHEMA,
        "tasks": [{"id": t.id, "version": t.version, "name": t.name, "output": str(t.output)} for t in tasks],
        "parts": {name: _part(items) for name, items in parts.items()},
        "repeats": {name: len(items) for name, items in repeats.items()},
        "dropped": dict(sorted(dropped.items())),
        "duplicates": asdict(duplicates),
        "leakage": asdict(leakage),
        "shares": shares.of_parts(),
        "teachers": dict(sorted(teachers.items())),
        "terms": terms,
    }


def _part(items: Sequence[Item]) -> JsonObject:
    times = [item.call.at for item in items]
    return {
        "calls": len(items),
        "sessions": len({session_of(item) for item in items}),
        "by_task": dict(sorted(Counter(item.task for item in items).items())),
        "first_at": min(times, default=None),
        "last_at": max(times, default=None),
        "calls_hash": digest(sorted(item.call.id for item in items)),
    }
