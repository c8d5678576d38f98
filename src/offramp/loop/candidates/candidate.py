"""One kind of candidate: the interface that all of them stand behind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.core.json import JsonObject
    from offramp.engine.specialist import Card, Specialist
    from offramp.loop.candidates.running import Running, Site
    from offramp.loop.workshop import Brief, Tools, Workshop


class Candidate(ABC):
    """One way to answer tasks: whether it can, how it is made and opened, what a call costs.

    Attributes:
        kind: Its name in `offramp.core.ladder.LADDER`.
        effort: Seconds of one core for each call of a dataset that making and measuring it takes, about:
            what a time budget reckons with before anything was measured.
        keeps_words: Whether it keeps words of answers, which enough askers must have been told.
    """

    kind: ClassVar[str]
    effort: ClassVar[float] = 0.1
    keeps_words: ClassVar[bool] = False

    def base(self, workshop: Workshop) -> str:
        """Name the model that it stands on; with another one it is another specialist. "" for none."""
        del workshop
        return ""

    def recipe(self, workshop: Workshop) -> JsonObject:
        """Tell what else decides what it becomes: method, options, seeds. With another it is another."""
        return {"min_origins": workshop.min_origins} if self.keeps_words else {}

    def can(self, brief: Brief, workshop: Workshop) -> str:
        """Say why this kind cannot do these tasks; "" where it may be tried. Cheap: nothing is trained."""
        del brief, workshop
        return ""

    @abstractmethod
    def make(self, card: Card, folder: Path, brief: Brief, workshop: Workshop) -> Specialist:
        """Train it and write its folder, the card last: a folder with a card counts as whole.

        Args:
            card: What it is to be; figures of the training may be added.
            folder: Its folder, which exists.
            brief: The tasks and their calls. Only training calls are learned from; validation calls may
                decide when to stop.
            workshop: What it is made with.

        Raises:
            OfframpError: Training showed that it cannot do these tasks; the message says why.
        """

    @abstractmethod
    def open(self, folder: Path, tools: Tools) -> Specialist:
        """Open what `make` wrote.

        Raises:
            EngineError: A file is missing or broken.
        """

    @abstractmethod
    def running(self, site: Site) -> Running:
        """Model what one call costs somewhere, before anything was measured."""
