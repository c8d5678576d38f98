"""What a candidate is made for, and what with."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from offramp.core.askers import MIN_ORIGINS
from offramp.core.errors import EngineError
from offramp.core.json import digest
from offramp.engine.embedder import packaged_model
from offramp.engine.specialist import TaskCard
from offramp.select import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from offramp.certify.agreement import Judge
    from offramp.core.dataset import Dataset, Item
    from offramp.core.json import JsonObject
    from offramp.core.model import Example
    from offramp.engine.chat import Chat
    from offramp.engine.embedder import Embedder
    from offramp.engine.port import Engine
    from offramp.loop.candidates.running import Site
    from offramp.loop.judge import Judging
    from offramp.select import Trial, Unit


class TrainAdapter(Protocol):
    """Trains a model on examples; wired to a method of `train` in the app, to a fake in tests."""

    def __call__(self, train: Sequence[Example], validation: Sequence[Example], out: Path, /) -> JsonObject:
        """Write what was trained to ``out`` and return the run's figures."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A model that is asked over HTTP as it is.

    Attributes:
        model: Its name there; "" where none is configured.
        chat: The server.
    """

    model: str = ""
    chat: Callable[[], Chat] | None = None

    def opened(self) -> Chat:
        """Return the server.

        Raises:
            EngineError: None is configured.
        """
        if self.chat is None:
            raise EngineError("No server is configured for this specialist.", hint="See docs/candidates.md.")
        return self.chat()


@dataclass(frozen=True, slots=True)
class Tools:
    """What a specialist's folder is opened with; each is made on first use, for it loads a model.

    Attributes:
        embedder: The encoder.
        engine: The engine that runs adapters.
        base: Name of the base it runs them on; "" where that need not be checked.
        server: The OpenAI-compatible server whose model prompted specialists may ask in its place.
        cheaper: The provider's cheaper model.
        encoder: Directory of the encoder that students are fine-tuned from.
    """

    embedder: Callable[[], Embedder]
    engine: Callable[[], Engine]
    base: str = ""
    server: Asked = Asked()
    cheaper: Asked = Asked()
    encoder: Callable[[], Path] = packaged_model


@dataclass(frozen=True, slots=True)
class Workshop:
    """What candidates are made with.

    Attributes:
        folder: One folder per specialist goes here.
        embedder: The encoder.
        engine: The engine that runs adapters; made on first use, for it loads a base.
        train_adapter: The training method of ``lora``.
        base: Name of the base, for the card.
        clock: Seconds since the epoch.
        kinds: Kinds of candidates that a night tries, in any order.
        trainers: Training methods of other kinds that train, by kind.
        server: The OpenAI-compatible server whose model is prompted in the base's place.
        cheaper: The provider's cheaper model.
        site: Describes where specialists are to run by some calls, for what they cost; None where that is
            nobody's question.
        say: Told what is going on while something trains, a line at a time.
        threads: Threads that training may use.
        seed: Seed of everything drawn in training.
        denies: Says why a kind is not to be tried on a unit, given what was tried on it; "" where it is.
        encoder: Directory of the encoder that an extractive student is fine-tuned from, None for none.
        recipe: Tells what decides what ``train_adapter`` makes: method, options, seeds, the base's weights.
        min_origins: Distinct askers whose calls must hold what a specialist keeps and can say.
        judging: The judge of answers that only a judge can compare, None for none.
    """

    folder: Path
    embedder: Embedder
    engine: Callable[[], Engine]
    train_adapter: TrainAdapter
    base: str
    clock: Callable[[], float] = time.time
    kinds: Sequence[str] = KINDS
    trainers: Mapping[str, TrainAdapter] = field(default_factory=dict)
    server: Asked = Asked()
    cheaper: Asked = Asked()
    site: Callable[[Sequence[Item]], Site] | None = None
    say: Callable[[str], None] = lambda _: None
    threads: int = 1
    seed: int = 0
    denies: Callable[[str, Brief, Sequence[Trial]], str] = lambda *_: ""
    encoder: Path | None = None
    recipe: Callable[[], JsonObject] = dict
    min_origins: int = MIN_ORIGINS
    judging: Judging | None = None

    @property
    def judge(self) -> Judge | None:
        """Who decides where the measure is a judge."""
        return None if self.judging is None else self.judging.judge

    @property
    def tools(self) -> Tools:
        """What the specialists made here are opened with."""
        return Tools(
            lambda: self.embedder,
            self.engine,
            base=self.base,
            server=self.server,
            cheaper=self.cheaper,
            encoder=lambda: self.encoder or packaged_model(),
        )

    def trainer(self, kind: str) -> TrainAdapter | None:
        """Return the training method of a kind, None where it has none here."""
        return self.trainers.get(kind, self.train_adapter if kind == "lora" else None)


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
        measure = self.unit.measure
        return {t.id: TaskCard(t.slug, t.output, facts[t.id], measure) for t in self.unit.tasks}

    @property
    def fingerprint(self) -> str:
        """Hash of the ids of the calls it is fitted on, those its confidence is fitted on included.

        A specialist of one id has one confidence: another one would void the threshold of its certificate.
        """
        fitted = (self.train, self.dataset.parts["validation"], self.dataset.repeats["validation"])
        return digest([[item.call.id for item in items] for items in fitted])
