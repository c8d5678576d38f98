"""Keeping the LLM: the bottom of the ladder, and the price that every other candidate is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.errors import EngineError
from offramp.loop.candidates.candidate import Candidate
from offramp.loop.candidates.running import Running

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.engine.specialist import Card, Specialist
    from offramp.loop.candidates.running import Site
    from offramp.loop.workshop import Brief, Tools, Workshop


class KeepLlm(Candidate):
    """The teacher answers, as it does today."""

    kind = "keep_llm"

    def can(self, brief: Brief, workshop: Workshop) -> str:
        """There is nothing to make."""
        del brief, workshop
        return "the LLM answers already: there is nothing to make"

    def make(self, card: Card, folder: Path, brief: Brief, workshop: Workshop) -> Specialist:
        """See `can`.

        Raises:
            EngineError: Always.
        """
        raise EngineError(f"{card.id}: {self.can(brief, workshop)}", hint=f"Nothing belongs into {folder}.")

    def open(self, folder: Path, tools: Tools) -> Specialist:
        """No folder holds it.

        Raises:
            EngineError: Always.
        """
        del tools
        raise EngineError(f"{folder} names the LLM as its specialist.", hint="offramp convert.")

    def running(self, site: Site) -> Running:
        """What the provider bills, and how long its recorded answers took."""
        billed = (
            site.price.call(input_tokens=site.prompt, output_tokens=site.completion) if site.price else 0.0
        )
        basis = "median of the recorded answers" if site.latency is not None else "no latency was recorded"
        return Running(site.latency or 0.0, 0.0, billed, 0.0, 0, basis, measured=site.latency is not None)
