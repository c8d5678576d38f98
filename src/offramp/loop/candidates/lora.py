"""An adapter on a small base that generates the answer, seconded by a classifier of tool names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from offramp.core.call import OutputType
from offramp.core.errors import EngineError
from offramp.engine.generative_specialist import ADAPTER, GenerativeSpecialist
from offramp.engine.specialist import Neighbours
from offramp.loop.candidates.candidate import Candidate
from offramp.loop.candidates.classifier import opinion_of
from offramp.loop.candidates.running import (
    base_bytes,
    base_seconds,
    computed,
    encoder_bytes,
    encoder_seconds,
    nearest_seconds,
    unknown,
)

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.core.json import JsonObject
    from offramp.engine.specialist import Card, Specialist
    from offramp.loop.candidates.running import Running, Site
    from offramp.loop.workshop import Brief, Tools, Workshop

RANK = 64
"""Rank of an adapter in the cost model: the default of `offramp.train.run.LoraOptions`."""


class Lora(Candidate):
    """Trains an adapter with the workshop's training method for its kind."""

    kind = "lora"
    keeps_words = True
    effort = 0.1

    def base(self, workshop: Workshop) -> str:
        """See `Candidate.base`."""
        return workshop.base

    def recipe(self, workshop: Workshop) -> JsonObject:
        """See `Candidate.recipe`: what the training method does, and what its second opinion keeps."""
        return {**super().recipe(workshop), **workshop.recipe()}

    def can(self, brief: Brief, workshop: Workshop) -> str:
        """See `Candidate.can`."""
        if brief.unit.output is OutputType.LABEL:
            return "answers are labels: a classifier costs less and does the same"
        if workshop.trainer(self.kind) is None:
            return f"no training method of kind {self.kind} is set up"
        return ""

    def make(self, card: Card, folder: Path, brief: Brief, workshop: Workshop) -> Specialist:
        """Train adapter and second opinion; see `Candidate.make`."""
        train_adapter = workshop.trainer(self.kind)
        if train_adapter is None:
            raise EngineError(self.can(brief, workshop))
        opinion, vectors = opinion_of(card, brief, workshop)
        train, validation = (
            [item.example for item in brief.dataset.parts[part]] for part in ("train", "validation")
        )
        figures = train_adapter(train, validation, folder / ADAPTER)
        engine = workshop.engine()
        engine.load(card.id, folder / ADAPTER)
        specialist = GenerativeSpecialist(
            replace(card, training=figures), engine, opinion, Neighbours(vectors), workshop.embedder
        )
        specialist.save(folder)
        return specialist

    def open(self, folder: Path, tools: Tools) -> Specialist:
        """See `Candidate.open`."""
        return GenerativeSpecialist.load(folder, tools.engine(), tools.embedder())

    def running(self, site: Site) -> Running:
        """The base reads the payload and writes the answer, the encoder reads the payload."""
        if site.base is None:
            return unknown(site, "the base's shape is not known")
        seconds = base_seconds(site, site.base, prompt=site.payload, adapter=True)
        held = base_bytes(site, site.base, context=site.payload + site.completion, ranks=[RANK])
        return computed(
            site,
            seconds + encoder_seconds(site) + nearest_seconds(site),
            held + encoder_bytes(site),
            f"{site.base.name} reads {site.payload} tokens and writes {site.completion}",
        )
