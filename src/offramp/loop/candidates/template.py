"""Templates: fixed answers with slots that regular expressions fill from the request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from offramp.core.errors import OfframpError
from offramp.core.render import payload_of
from offramp.engine.template_specialist import TemplateSpecialist
from offramp.loop.candidates.candidate import Candidate
from offramp.loop.candidates.running import CHARACTERS_PER_TOKEN, computed
from offramp.loop.candidates.said import answers_kept
from offramp.train.template import MOST_RULES, Lesson, learn_templates

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.engine.specialist import Card, Specialist
    from offramp.loop.candidates.running import Running, Site
    from offramp.loop.workshop import Brief, Tools, Workshop

# Measured, see docs/candidates.md: one search of RE2 from Python, and its speed over the text.
_SEARCH_S = 2.5e-6
_CHARACTER_S = 5e-9
_RULES_PER_CALL = 0.1
_RULE_BYTES = 8_000


class Template(Candidate):
    """Learns patterns over requests from training calls."""

    kind = "template"
    keeps_words = True
    effort = 2e-3

    def make(self, card: Card, folder: Path, brief: Brief, workshop: Workshop) -> Specialist:
        """Learn the rules; see `Candidate.make`.

        Raises:
            OfframpError: No pattern tells the answers.
        """
        kept = answers_kept(brief.train, workshop.min_origins)
        rules = learn_templates(
            [
                Lesson(
                    row.task,
                    row.call.session or row.call.id,
                    payload_of(row.call.request),
                    completion,
                    kept=may,
                )
                for row, may in zip(brief.train, kept, strict=True)
                if (completion := row.example.completion)
            ]
        )
        if not rules:
            raise OfframpError("no pattern over the requests tells the answers")
        training = {"rules": len(rules), "with_slots": sum(rule.slots > 0 for rule in rules)}
        specialist = TemplateSpecialist(replace(card, training=training), rules)
        specialist.save(folder)
        return specialist

    def open(self, folder: Path, tools: Tools) -> Specialist:
        """See `Candidate.open`."""
        del tools
        return TemplateSpecialist.load(folder)

    def running(self, site: Site) -> Running:
        """A search for every rule of the call's task; how many there will be is a guess before training."""
        rules = min(MOST_RULES, 1 + round(site.calls / site.tasks * _RULES_PER_CALL))
        search = _SEARCH_S + site.payload * CHARACTERS_PER_TOKEN * _CHARACTER_S
        held = site.tasks * rules * _RULE_BYTES
        return computed(site, rules * search, held, f"{rules} searches of the request")
