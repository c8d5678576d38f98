"""The cheaper specialist: another model at the same provider gets the request as it is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from offramp.core.call import answer_of
from offramp.core.errors import EngineError, OfframpError
from offramp.core.render import parse_completion, render_completion
from offramp.engine.chat import tokens_of
from offramp.engine.specialist import Card, Considered, task_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from offramp.core.call import Answer
    from offramp.core.json import JsonObject
    from offramp.engine.chat import Chat
    from offramp.engine.specialist import TaskRequest

SAMPLES = 2
"""Times that each call is asked: once greedily, once drawn, for the two agree where the model is sure."""

SECOND_TEMPERATURE = 1.0

# What asks for the same answer; the rest (stream, n, user, metadata, store ...) belongs to the client's call.
_KEPT = (
    "messages",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "response_format",
    "max_tokens",
    "max_completion_tokens",
    "stop",
)
_FEATURES = 7


class CheaperSpecialist:
    """Asks a cheaper model, and judges it by log-probabilities, a second sample and the answer's length.

    Args:
        card: What it is; ``base`` is the model's name, ``training["logprobs"]`` whether it gives any.
        chat: The provider.
    """

    def __init__(self, card: Card, chat: Chat) -> None:
        self._card = card
        self._chat = chat

    @property
    def card(self) -> Card:
        """What it is."""
        return self._card

    def consider(self, items: Sequence[TaskRequest]) -> list[Considered]:
        """Ask about each item, twice; see `Specialist.consider`.

        The features: log-probability of the whole answer, of its least sure token, and the mean, as such and
        the first as a probability (all 0 where the provider gives none); whether the second sample says the
        same, and has the task's form; the logarithm of the answer's characters.

        Raises:
            EngineError: The provider answered none of the items. Where some failed, those have no answer.
        """
        if not items:
            return []
        outputs = [task_of(self._card, item).output for item in items]
        logprobs = bool(self._card.training.get("logprobs"))
        first = [greedy(item.request, self._card.base, logprobs=logprobs) for item in items]
        second = [drawn(item.request, self._card.base) for item in items]
        replies = self._chat.ask([*first, *second])
        errors = [reply for reply in replies[: len(items)] if isinstance(reply, OfframpError)]
        if len(errors) == len(items):
            raise EngineError(f"{self._card.base} gave no answer: {errors[0]}", hint=errors[0].hint)
        said = [
            None if reply is None else render_completion(output, reply)
            for reply, output in zip(map(_answer, replies), outputs * SAMPLES, strict=True)
        ]
        considered = []
        for row, output in enumerate(outputs):
            text, again, reply = said[row], said[len(items) + row], replies[row]
            answer = None if text is None else parse_completion(output, text)
            considered.append(Considered(answer, _features(text, again, reply), 1.0))
        return considered

    def save(self, folder: Path) -> None:
        """Write the card, which is all there is."""
        self._card.save(folder)

    @classmethod
    def load(cls, folder: Path, chat: Chat) -> CheaperSpecialist:
        """Read what `save` wrote."""
        return cls(Card.load(folder), chat)


def greedy(request: JsonObject, model: str, *, logprobs: bool) -> JsonObject:
    """Return the request for another model, with the likeliest answer wanted."""
    body: JsonObject = {"model": model, **{key: request[key] for key in _KEPT if key in request}}
    body["temperature"] = 0
    return {**body, "logprobs": True} if logprobs else body


def drawn(request: JsonObject, model: str) -> JsonObject:
    """Return the request for another model, with a drawn answer wanted."""
    return {**greedy(request, model, logprobs=False), "temperature": SECOND_TEMPERATURE}


def _answer(reply: JsonObject | OfframpError) -> Answer | None:
    return None if isinstance(reply, OfframpError) else answer_of(reply)


def _features(text: str | None, again: str | None, reply: JsonObject | OfframpError) -> tuple[float, ...]:
    if text is None or isinstance(reply, OfframpError):
        return (0.0,) * _FEATURES
    logprobs = [token.logprob for token in tokens_of(reply)]
    total, least = sum(logprobs), min(logprobs, default=0.0)
    mean = total / len(logprobs) if logprobs else 0.0
    sure = math.exp(total) if logprobs else 0.0
    return (total, least, mean, sure, float(again == text), float(again is not None), math.log(1 + len(text)))
