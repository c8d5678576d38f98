"""A small model as it is, shown the nearest training calls: no training, and only as good as the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.askers import masked, shared, words
from offramp.core.errors import EngineError
from offramp.core.render import payload_of
from offramp.engine.chat_engine import ChatEngine
from offramp.engine.prompted_specialist import SHOWN, PromptedSpecialist, Shown
from offramp.engine.specialist import Card
from offramp.loop.candidates.candidate import Candidate
from offramp.loop.candidates.running import (
    CHARACTERS_PER_TOKEN,
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

    from offramp.engine.port import Engine
    from offramp.engine.specialist import Specialist
    from offramp.loop.candidates.running import Running, Site
    from offramp.loop.workshop import Brief, Tools, Workshop


class Prompted(Candidate):
    """Retrieves examples for each call; asks the server's model where one is configured, else the base."""

    kind = "prompted"
    keeps_words = True

    def base(self, workshop: Workshop) -> str:
        """See `Candidate.base`."""
        return workshop.server.model or workshop.base

    def make(self, card: Card, folder: Path, brief: Brief, workshop: Workshop) -> Specialist:
        """Keep the training calls with their vectors, and of their words those that enough askers used.

        See `Candidate.make`.
        """
        payloads = [payload_of(row.call.request) for row in brief.train]
        used = [
            words(f"{payload} {row.example.completion}")
            for row, payload in zip(brief.train, payloads, strict=True)
        ]
        kept = shared(brief.train, used, workshop.min_origins)
        examples = [
            Shown(row.task, masked(payload, row.task, kept), masked(row.example.completion, row.task, kept))
            for row, payload in zip(brief.train, payloads, strict=True)
        ]
        vectors = workshop.embedder.embed(payloads)
        engine = _engine(card, workshop.tools)
        specialist = PromptedSpecialist(card, engine, examples, vectors, workshop.embedder)
        specialist.save(folder)
        return specialist

    def open(self, folder: Path, tools: Tools) -> Specialist:
        """See `Candidate.open`.

        Raises:
            EngineError: It was measured on another base than the one that is configured.
        """
        return PromptedSpecialist.load(folder, _engine(Card.load(folder), tools), tools.embedder())

    def running(self, site: Site) -> Running:
        """The base reads the examples with the payload, and writes the answer."""
        if site.base is None:
            return unknown(site, "the base's shape is not known")
        prompt = SHOWN * (site.payload + site.completion) + site.payload
        seconds = base_seconds(site, site.base, prompt=prompt, adapter=False)
        held = base_bytes(site, site.base, context=prompt + site.completion, ranks=[])
        texts = site.calls * (site.payload + site.completion) * CHARACTERS_PER_TOKEN
        return computed(
            site,
            seconds + encoder_seconds(site) + nearest_seconds(site),
            held + encoder_bytes(site) + texts,
            f"{site.base.name} reads {prompt} tokens and writes {site.completion}",
        )


def _engine(card: Card, tools: Tools) -> Engine:
    if tools.server.model and card.base == tools.server.model:
        return ChatEngine(tools.server.opened(), card.base)
    if tools.base and card.base != tools.base:
        raise EngineError(
            f"{card.id} was measured on {card.base!r}; configured is {tools.base!r}.",
            hint="Configure that model again, or convert anew.",
        )
    return tools.engine()
