"""Asking a language model over the chat-completions API, for specialists that are not in this process."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.errors import OfframpError
    from offramp.core.json import JsonObject


class Chat(Protocol):
    """A server of chat completions."""

    def ask(self, requests: Sequence[JsonObject]) -> list[JsonObject | OfframpError]:
        """Ask all at once and wait for all.

        Args:
            requests: Bodies of chat-completions requests.

        Returns:
            In the order of the requests: the response's body, or what went wrong with this one.
        """
        ...


@dataclass(frozen=True, slots=True)
class Token:
    """One token that a server generated.

    Attributes:
        text: Its text.
        logprob: Its natural-log probability, at most 0.
    """

    text: str
    logprob: float


def tokens_of(response: JsonObject) -> tuple[Token, ...]:
    """Read the tokens of a completion with their log-probabilities.

    Returns:
        Empty where the server gave none, or something else in their place.
    """
    choices = response.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    holder = choice.get("logprobs")
    content = holder.get("content") if isinstance(holder, dict) else None
    if not isinstance(content, list):
        return ()
    tokens = [_token(raw) for raw in content]
    whole = tuple(token for token in tokens if token is not None)
    return whole if len(whole) == len(tokens) else ()


def _token(raw: object) -> Token | None:
    if not isinstance(raw, dict):
        return None
    text, logprob = raw.get("token"), raw.get("logprob")
    if not isinstance(text, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float):
        return None
    # Some servers round to a little above 0; others say -9999 for "hardly".
    return None if math.isnan(logprob) else Token(text, min(0.0, max(float(logprob), -100.0)))
