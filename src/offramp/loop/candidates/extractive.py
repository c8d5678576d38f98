"""A pretrained encoder that names the tool and points at its arguments, seconded by a classifier."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from offramp.core.call import OutputType
from offramp.core.errors import EngineError
from offramp.engine.extractive_specialist import STUDENT, ExtractiveSpecialist
from offramp.engine.extractive_student import fingerprint
from offramp.engine.specialist import Neighbours
from offramp.loop.candidates.candidate import Candidate
from offramp.loop.candidates.classifier import opinion_of
from offramp.loop.candidates.running import computed, encoder_bytes, encoder_seconds, nearest_seconds
from offramp.train.extractive import ExtractiveOptions, experience_of, train_extractive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from offramp.core.json import JsonObject
    from offramp.engine.specialist import Card, Specialist
    from offramp.loop.candidates.running import Running, Site
    from offramp.loop.workshop import Brief, Tools, Workshop
    from offramp.train.progress import Progress

_FORMS = frozenset({OutputType.TOOL_CALL, OutputType.JSON, OutputType.LABEL})
LEAST_CALLS = 50
"""Training calls below which nothing is learned about where arguments stand."""

SAID_EVERY = 100
"""Steps between two lines about a run."""


class Extractive(Candidate):
    """Fine-tunes the encoder that the other candidates only read."""

    kind = "extractive"
    effort = 0.03

    def base(self, workshop: Workshop) -> str:
        """See `Candidate.base`: the encoder, by its weights."""
        return fingerprint(workshop.encoder) if workshop.encoder else ""

    def recipe(self, workshop: Workshop) -> JsonObject:
        """See `Candidate.recipe`."""
        return asdict(_options(workshop, threads=1))

    def can(self, brief: Brief, workshop: Workshop) -> str:
        """See `Candidate.can`."""
        if workshop.encoder is None:
            return "no encoder is set up to be fine-tuned"
        if brief.unit.output not in _FORMS:
            return "answers are free text: there is nothing to point at"
        if len(brief.train) < LEAST_CALLS:
            return f"{len(brief.train)} training calls; it needs {LEAST_CALLS}"
        return ""

    def make(self, card: Card, folder: Path, brief: Brief, workshop: Workshop) -> Specialist:
        """Fine-tune the encoder, fit the second opinion; see `Candidate.make`."""
        if workshop.encoder is None:
            raise EngineError(self.can(brief, workshop))
        opinion, vectors = opinion_of(card, brief, workshop)
        result = train_extractive(
            (brief.train, brief.dataset.parts["validation"]),
            card.tasks,
            encoder=workshop.encoder,
            out=folder / STUDENT,
            options=_options(workshop, threads=workshop.threads),
            on_progress=_telling(workshop),
        )
        specialist = ExtractiveSpecialist(
            replace(card, training=result.figures),
            result.student,
            experience_of(result.student, brief.train, card),
            opinion,
            Neighbours(vectors),
            workshop.embedder,
        )
        specialist.save(folder)
        return specialist

    def open(self, folder: Path, tools: Tools) -> Specialist:
        """See `Candidate.open`."""
        return ExtractiveSpecialist.load(folder, tools.embedder(), tools.encoder())

    def running(self, site: Site) -> Running:
        """Two passes of the encoder: as it was pretrained for the second opinion, and fine-tuned."""
        seconds = 2 * (encoder_seconds(site) + nearest_seconds(site))
        return computed(site, seconds, 2 * encoder_bytes(site), "two passes of the encoder")


def _options(workshop: Workshop, *, threads: int) -> ExtractiveOptions:
    return ExtractiveOptions(threads=threads, seed=workshop.seed, min_origins=workshop.min_origins)


def _telling(workshop: Workshop) -> Callable[[Progress], None]:
    def tell(progress: Progress) -> None:
        if progress.step % SAID_EVERY == 0:
            workshop.say(f"    {progress.line()}")

    return tell
