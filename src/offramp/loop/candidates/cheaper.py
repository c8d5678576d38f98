"""A cheaper LLM at the same provider: nothing to train, nothing to keep, billed by the token."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from offramp.core.call import Dialect
from offramp.core.errors import EngineError, OfframpError
from offramp.engine.chat import tokens_of
from offramp.engine.cheaper_specialist import SAMPLES, CheaperSpecialist, greedy
from offramp.loop.candidates.candidate import Candidate
from offramp.loop.candidates.running import Running

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.engine.chat import Chat
    from offramp.engine.specialist import Card, Specialist
    from offramp.loop.candidates.running import Site
    from offramp.loop.workshop import Brief, Tools, Workshop

# Assumptions about a hosted model of the smaller kind, until the answers are timed.
_FIRST_TOKEN_S = 0.5
_TOKENS_PER_S = 80.0


class Cheaper(Candidate):
    """Sends each call on, under another model's name."""

    kind = "cheaper"

    def base(self, workshop: Workshop) -> str:
        """See `Candidate.base`."""
        return workshop.cheaper.model

    def can(self, brief: Brief, workshop: Workshop) -> str:
        """See `Candidate.can`: a model has to be named, other than the teacher, behind the same API."""
        model = workshop.cheaper.model
        if not model or workshop.cheaper.chat is None:
            return "no cheaper model is named: set train.cheaper to one of your provider's"
        teachers = Counter(str(row.call.request.get("model") or "") for row in brief.train)
        if teachers.most_common(1)[0][0] == model:
            return f"the teacher is {model} itself"
        if any(row.call.dialect is Dialect.MESSAGES for row in brief.train):
            return "its calls go to the Anthropic API; only the OpenAI-compatible one is asked"
        return ""

    def make(self, card: Card, folder: Path, brief: Brief, workshop: Workshop) -> Specialist:
        """Ask one training call, to see whether the model answers and gives log-probabilities.

        Raises:
            OfframpError: It does not answer; the message is the provider's.
        """
        chat = workshop.cheaper.opened()
        logprobs = _gives_logprobs(chat, card.base, brief)
        specialist = CheaperSpecialist(replace(card, training={"logprobs": logprobs}), chat)
        specialist.save(folder)
        return specialist

    def open(self, folder: Path, tools: Tools) -> Specialist:
        """See `Candidate.open`."""
        return CheaperSpecialist.load(folder, tools.cheaper.opened())

    def running(self, site: Site) -> Running:
        """What the provider bills for the samples, and a guess at how long the slower one takes."""
        once = site.price.call(input_tokens=site.prompt, output_tokens=site.completion) if site.price else 0.0
        basis = f"assumed: {_FIRST_TOKEN_S} s and {_TOKENS_PER_S:.0f} tokens/s"
        if site.price is None:
            basis += "; its price is not known"
        seconds = _FIRST_TOKEN_S + site.completion / _TOKENS_PER_S
        return Running(seconds, 0.0, SAMPLES * once, 0.0, 0, basis)


def _gives_logprobs(chat: Chat, model: str, brief: Brief) -> bool:
    """Ask one call with log-probabilities, and again without where the model refuses them.

    Raises:
        EngineError: It answers neither.
    """
    request = brief.train[0].call.request
    (reply,) = chat.ask([greedy(request, model, logprobs=True)])
    if not isinstance(reply, OfframpError):
        return bool(tokens_of(reply))
    (reply,) = chat.ask([greedy(request, model, logprobs=False)])
    if isinstance(reply, OfframpError):
        raise EngineError(f"{model} gave no answer: {reply}", hint=reply.hint)
    return False
