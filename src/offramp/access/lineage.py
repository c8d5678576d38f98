"""Which calls went into which dataset, and so into which specialist and certificate.

A dataset's document lists digests of the ids of its calls, keyed by the dataset: it answers whether a call
known by its id is in it, and names none. It is written before training starts, so that no specialist is ever
without.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.ladder import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from offramp.core.json import JsonObject
    from offramp.storage.port import Store

DATASET = "dataset"
"""Kind of the documents; the key is the hash that a specialist's card gives as its dataset."""

FITTED = ("train", "validation")
"""The parts that a specialist and its confidence are made of; calibration makes the certificate."""

_DIGEST = 8
_CARD = "specialist.json"


@dataclass(frozen=True, slots=True)
class Built:
    """What was built from some calls.

    Attributes:
        dataset: The dataset's hash.
        name: Its unit's name.
        tasks: Ids of its tasks.
        calls: How many of the calls are in each part.
    """

    dataset: str
    name: str
    tasks: tuple[str, ...]
    calls: Mapping[str, int]

    @property
    def fitted(self) -> int:
        """How many of the calls specialists were fitted on."""
        return sum(self.calls.get(part, 0) for part in FITTED)

    @property
    def certified(self) -> int:
        """How many of the calls the certificate was reckoned from."""
        return self.calls.get("calibration", 0)


@dataclass(frozen=True, slots=True)
class Folder:
    """A specialist on the disk.

    Attributes:
        id: Its id.
        kind: Its kind of candidate; by its name where the card is missing, for the words of an unfinished
            folder are words too.
        dataset: Hash of the dataset it was fitted on.
        files: Its files, relative to the folder of specialists.
    """

    id: str
    kind: str
    dataset: str
    files: tuple[str, ...]


def save(
    store: Store, dataset: str, name: str, tasks: Sequence[str], parts: Mapping[str, Iterable[str]]
) -> None:
    """Write down the calls of a dataset.

    Args:
        store: Where to.
        dataset: The dataset's hash.
        name: Name of its unit.
        tasks: Ids of its tasks.
        parts: Ids of its calls by part.
    """
    marked = {part: _join(_mark(dataset, number) for number in ids) for part, ids in parts.items()}
    store.put(DATASET, dataset, {"name": name, "tasks": list(tasks), "calls": marked, "erased": 0})


def built_from(store: Store, ids: Iterable[str]) -> list[Built]:
    """Find the datasets that hold any of some calls."""
    wanted = list(ids)
    found = []
    for dataset, value in store.documents(DATASET).items():
        marks = {_mark(dataset, number) for number in wanted}
        calls = {part: len(marks & _split(text)) for part, text in value["calls"].items()}
        if any(calls.values()):
            found.append(Built(dataset, value["name"], tuple(value["tasks"]), calls))
    return found


def forget(store: Store, ids: Iterable[str]) -> None:
    """Take calls that are gone out of the lists; how many there were stays."""
    wanted = list(ids)
    for dataset, value in store.documents(DATASET).items():
        marks = {_mark(dataset, number) for number in wanted}
        kept = {part: _split(text) - marks for part, text in value["calls"].items()}
        gone = sum(len(_split(value["calls"][part])) - len(left) for part, left in kept.items())
        if gone:
            calls = {part: _join(left) for part, left in kept.items()}
            store.put(DATASET, dataset, {**value, "calls": calls, "erased": value["erased"] + gone})


def folders(specialists: Path) -> list[Folder]:
    """List the specialists on the disk, those that never went live or were never finished included."""
    found = [_folder(path) for path in sorted(specialists.glob("*")) if path.is_dir()]
    return [folder for folder in found if folder.files]


def _folder(path: Path) -> Folder:
    files = tuple(str(file.relative_to(path.parent)) for file in sorted(path.rglob("*")) if file.is_file())
    card = _card(path / _CARD)
    kind = str(card.get("kind") or kind_of(path.name))
    return Folder(path.name, kind, str(card.get("dataset", "")), files)


def _card(path: Path) -> JsonObject:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _mark(dataset: str, number: str) -> str:
    return hashlib.blake2b(number.encode(), key=dataset.encode()[:64], digest_size=_DIGEST).hexdigest()


def _join(marks: Iterable[str]) -> str:
    return "".join(sorted(marks))


def _split(text: str) -> set[str]:
    step = 2 * _DIGEST
    return {text[at : at + step] for at in range(0, len(text), step)}
