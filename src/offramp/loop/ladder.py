"""The ladder: trains each kind of candidate for a unit and measures it on validation calls."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from offramp.core.call import OutputType
from offramp.core.errors import OfframpError
from offramp.core.json import digest
from offramp.core.render import payload_of
from offramp.engine.cache_specialist import CacheSpecialist, cache_key
from offramp.engine.generative_specialist import ADAPTER, GenerativeSpecialist
from offramp.engine.label_specialist import OTHER, LabelSpecialist
from offramp.engine.specialist import Card, Neighbours, TaskCard, with_task
from offramp.train.classifier import train_classifier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from offramp.core.dataset import Dataset, Item
    from offramp.core.json import JsonObject
    from offramp.core.model import Example
    from offramp.engine.classifier import LinearClassifier
    from offramp.engine.embedder import Embedder
    from offramp.engine.port import Engine
    from offramp.engine.specialist import Specialist
    from offramp.select import Unit

LEAST_RECURRING = 0.2
"""Share of training calls whose whole answer recurs, below which answers are no labels."""

LEAST_SEEN = 3
"""Answers seen fewer times in training are no class of their own."""


class TrainAdapter(Protocol):
    """Trains an adapter on examples; wired to peft in the app, to a fake in tests."""

    def __call__(self, train: Sequence[Example], validation: Sequence[Example], out: Path, /) -> JsonObject:
        """Write the adapter to ``out`` and return the run's figures."""
        ...


@dataclass(frozen=True, slots=True)
class Workshop:
    """What candidates are made with.

    Attributes:
        folder: One folder per specialist goes here.
        embedder: The encoder.
        engine: The engine that runs adapters; made on first use, for it loads a base.
        train_adapter: The training method.
        base: Name of the base, for the card.
        clock: Seconds since the epoch.
    """

    folder: Path
    embedder: Embedder
    engine: Callable[[], Engine]
    train_adapter: TrainAdapter
    base: str
    clock: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class Brief:
    """What one specialist is to be trained for.

    Attributes:
        unit: Its tasks.
        dataset: Their calls.
    """

    unit: Unit
    dataset: Dataset

    @property
    def train(self) -> Sequence[Item]:
        """Training calls."""
        return self.dataset.parts["train"]

    @property
    def cards(self) -> dict[str, TaskCard]:
        """What a specialist has to know of each task."""
        facts = self.dataset.facts
        return {task.id: TaskCard(task.slug, task.output, facts[task.id]) for task in self.unit.tasks}

    @property
    def fingerprint(self) -> str:
        """Hash of the ids of the calls it is fitted on, those its confidence is fitted on included.

        A specialist of one id has one confidence: another one would void the threshold of its certificate.
        """
        fitted = (self.train, self.dataset.parts["validation"], self.dataset.repeats["validation"])
        return digest([[item.call.id for item in items] for items in fitted])


def make(kind: str, brief: Brief, workshop: Workshop) -> Specialist:
    """Train one kind of candidate, or open the one that the same data made before.

    Raises:
        OfframpError: The kind cannot do this task; the message says why.
    """
    card = _card(kind, brief, workshop)
    folder = workshop.folder / card.id
    if (folder / "specialist.json").exists():
        return open_specialist(folder, workshop.embedder, workshop.engine)
    folder.mkdir(parents=True, exist_ok=True)
    return _MAKERS[kind](card, folder, brief, workshop)


def open_specialist(folder: Path, embedder: Embedder, engine: Callable[[], Engine]) -> Specialist:
    """Open a specialist's folder, whatever its kind.

    Raises:
        EngineError: The folder holds none.
    """
    kind = Card.load(folder).kind
    if kind == "cache":
        return CacheSpecialist.load(folder)
    if kind == "classifier":
        return LabelSpecialist.load(folder, embedder)
    return GenerativeSpecialist.load(folder, engine(), embedder)


def _card(kind: str, brief: Brief, workshop: Workshop) -> Card:
    versions = sorted(task.version for task in brief.unit.tasks)
    base = workshop.base if kind == "lora" else ""
    identity = digest([kind, versions, brief.fingerprint, base], size=5)
    return Card(f"{kind}-{identity}", kind, brief.cards, base, brief.fingerprint, workshop.clock())


def _cache(card: Card, folder: Path, brief: Brief, workshop: Workshop) -> Specialist:
    del workshop
    seen: dict[str, Counter[str]] = {}
    for row in brief.train:
        key = cache_key(row.task, row.call.request)
        seen.setdefault(key, Counter())[row.example.completion] += 1
    entries = {}
    for key, completions in seen.items():
        (best, times), total = completions.most_common(1)[0], completions.total()
        entries[key] = (best, total, times / total)
    specialist = CacheSpecialist(card, entries)
    specialist.save(folder)
    return specialist


def _classifier(card: Card, folder: Path, brief: Brief, workshop: Workshop) -> Specialist:
    completions = [row.example.completion for row in brief.train]
    counts = Counter(completions)
    labels = [text if counts[text] >= LEAST_SEEN else OTHER for text in completions]
    recurring = 1.0 - labels.count(OTHER) / len(labels)
    if recurring < LEAST_RECURRING:
        raise OfframpError(f"only {recurring:.0%} of the answers recur word for word: they are no labels")
    vectors, inputs = _inputs(card, brief, workshop)
    specialist = LabelSpecialist(
        card, train_classifier(inputs, labels), Neighbours(vectors), workshop.embedder
    )
    specialist.save(folder)
    return specialist


def _lora(card: Card, folder: Path, brief: Brief, workshop: Workshop) -> Specialist:
    if brief.unit.output is OutputType.LABEL:
        raise OfframpError("answers are labels: a classifier costs less and does the same")
    opinion, vectors = _opinion(card, brief, workshop)
    train, validation = (
        [item.example for item in brief.dataset.parts[part]] for part in ("train", "validation")
    )
    figures = workshop.train_adapter(train, validation, folder / ADAPTER)
    card = Card(card.id, card.kind, card.tasks, card.base, card.dataset, card.created, figures)
    engine = workshop.engine()
    engine.load(card.id, folder / ADAPTER)
    specialist = GenerativeSpecialist(card, engine, opinion, Neighbours(vectors), workshop.embedder)
    specialist.save(folder)
    return specialist


def _opinion(card: Card, brief: Brief, workshop: Workshop) -> tuple[LinearClassifier, NDArray[np.float32]]:
    """Train the classifier of tool names that seconds, or doubts, what is generated."""
    vectors, inputs = _inputs(card, brief, workshop)
    names = [row.example.completion.partition(" ")[0] for row in brief.train]
    return train_classifier(inputs, names), vectors


def _inputs(card: Card, brief: Brief, workshop: Workshop) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    vectors = workshop.embedder.embed([payload_of(row.call.request) for row in brief.train])
    return vectors, with_task(vectors, [row.task for row in brief.train], tuple(card.tasks))


_MAKERS = {"cache": _cache, "classifier": _classifier, "lora": _lora}
