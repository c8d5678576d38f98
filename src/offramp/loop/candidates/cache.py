"""The exact cache: the answer that the teacher gave most often to the same payload."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from offramp.core.errors import OfframpError
from offramp.engine.cache_specialist import CacheSpecialist, cache_key
from offramp.loop.candidates.candidate import Candidate
from offramp.loop.candidates.running import CHARACTERS_PER_TOKEN, computed
from offramp.loop.candidates.said import answers_kept

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.engine.specialist import Card, Specialist
    from offramp.loop.candidates.running import Running, Site
    from offramp.loop.workshop import Brief, Tools, Workshop

_LOOKUP_S = 12e-6
"""Rendering and hashing a payload in Python, on any CPU; measured, see docs/candidates.md."""
_ENTRY_BYTES = 400


class Cache(Candidate):
    """Answers exact repeats only."""

    kind = "cache"
    keeps_words = True
    effort = 2e-4

    def make(self, card: Card, folder: Path, brief: Brief, workshop: Workshop) -> Specialist:
        """Count the answers to each payload; see `Candidate.make`.

        Raises:
            OfframpError: No answer was given to enough askers.
        """
        seen: dict[str, Counter[str]] = {}
        kept: set[tuple[str, str]] = set()
        for row, may_be_said in zip(
            brief.train, answers_kept(brief.train, workshop.min_origins), strict=True
        ):
            key = cache_key(row.task, row.call.request)
            seen.setdefault(key, Counter())[row.example.completion] += 1
            if may_be_said:
                kept.add((key, row.example.completion))
        entries = {}
        for key, completions in seen.items():
            (best, times), total = completions.most_common(1)[0], completions.total()
            if (key, best) in kept:
                entries[key] = (best, total, times / total)
        if not entries:
            raise OfframpError(f"no answer was given to {workshop.min_origins} askers")
        specialist = CacheSpecialist(card, entries)
        specialist.save(folder)
        return specialist

    def open(self, folder: Path, tools: Tools) -> Specialist:
        """See `Candidate.open`."""
        del tools
        return CacheSpecialist.load(folder)

    def running(self, site: Site) -> Running:
        """A look-up, and an entry per training call."""
        entry = _ENTRY_BYTES + site.completion * CHARACTERS_PER_TOKEN
        return computed(site, _LOOKUP_S, site.calls * entry, "one look-up")
