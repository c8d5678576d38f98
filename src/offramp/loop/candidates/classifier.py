"""The classical classifier: softmax regression on sentence embeddings over whole answers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from offramp.core.askers import shared
from offramp.core.call import OutputType
from offramp.core.render import payload_of
from offramp.engine.label_specialist import OTHER, LabelSpecialist
from offramp.engine.specialist import Neighbours, with_task
from offramp.loop.candidates.candidate import Candidate
from offramp.loop.candidates.running import computed, encoder_bytes, encoder_seconds, nearest_seconds
from offramp.train.classifier import train_classifier

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from offramp.engine.classifier import LinearClassifier
    from offramp.engine.specialist import Card, Specialist
    from offramp.loop.candidates.running import Running, Site
    from offramp.loop.workshop import Brief, Tools, Workshop

LEAST_RECURRING = 0.2
"""Share of training calls whose whole answer recurs, below which answers are no labels."""

LEAST_SEEN = 3
"""Answers seen fewer times in training are no class of their own, nor are those given to too few askers."""

_RARE = " "
"""The class, in a second opinion, of what too few askers were told: no name, for names hold no space."""


class Classifier(Candidate):
    """A call's whole answer is a class."""

    kind = "classifier"
    keeps_words = True
    effort = 0.01

    def can(self, brief: Brief, workshop: Workshop) -> str:
        """See `Candidate.can`: answers have to recur."""
        labels = _labels(brief, workshop.min_origins)
        recurring = 1.0 - labels.count(OTHER) / len(labels) if labels else 0.0
        if recurring < LEAST_RECURRING:
            return f"only {recurring:.0%} of the answers recur word for word: they are no labels"
        return ""

    def make(self, card: Card, folder: Path, brief: Brief, workshop: Workshop) -> Specialist:
        """Fit the classifier; see `Candidate.make`."""
        vectors, inputs = inputs_of(card, brief, workshop)
        classifier = train_classifier(inputs, _labels(brief, workshop.min_origins))
        specialist = LabelSpecialist(card, classifier, Neighbours(vectors), workshop.embedder)
        specialist.save(folder)
        return specialist

    def open(self, folder: Path, tools: Tools) -> Specialist:
        """See `Candidate.open`."""
        return LabelSpecialist.load(folder, tools.embedder())

    def running(self, site: Site) -> Running:
        """One pass of the encoder; the classes cost next to nothing beside the nearest training call."""
        seconds = encoder_seconds(site) + nearest_seconds(site)
        return computed(site, seconds, encoder_bytes(site), "one pass of the encoder")


def _labels(brief: Brief, min_origins: int) -> list[str]:
    completions = [row.example.completion for row in brief.train]
    counts = Counter(completions)
    kept = {text for _, text in shared(brief.train, ([text] for text in completions), min_origins)}
    return [text if counts[text] >= LEAST_SEEN and text in kept else OTHER for text in completions]


def opinion_of(card: Card, brief: Brief, workshop: Workshop) -> tuple[LinearClassifier, NDArray[np.float32]]:
    """Train the classifier of tool names that seconds, or doubts, what is generated.

    Returns:
        The classifier, and the vectors of the training payloads, shape (calls, dimensions).
    """
    vectors, inputs = inputs_of(card, brief, workshop)
    names = [row.example.completion.partition(" ")[0] for row in brief.train]
    if brief.unit.output is not OutputType.TOOL_CALL:
        # Labels, or beginnings of JSON: it never says them, but they would stand in its file.
        kept = shared(brief.train, ([name] for name in names), workshop.min_origins)
        names = [
            name if (row.task, name) in kept else _RARE for row, name in zip(brief.train, names, strict=True)
        ]
    return train_classifier(inputs, names), vectors


def inputs_of(
    card: Card, brief: Brief, workshop: Workshop
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embed the training payloads.

    Returns:
        Their vectors, shape (calls, dimensions), and the same with the task where there are several.
    """
    vectors = workshop.embedder.embed([payload_of(row.call.request) for row in brief.train])
    return vectors, with_task(vectors, [row.task for row in brief.train], tuple(card.tasks))
