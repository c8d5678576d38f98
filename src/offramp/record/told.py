"""The teacher's log-probabilities, kept as far as masking allows.

An answer spelt out token by token gets past every rule that reads texts. So what is kept of it is cut from
the *masked* answer: tokens that masking left alone keep the alternatives that the teacher gave for them, the
place at which it changed something is one token without any, and alternatives that hold something of what was
masked in this call, or would be masked by themselves, are dropped.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from offramp.core.json import JsonObject

    Redact = Callable[[Any], Any]

MOST_TOKENS = 2_048
"""Answers of more tokens are recorded without: no specialist gives so long ones."""
MOST_ALTERNATIVES = 20
"""As many as OpenAI's API gives."""
_WORD = re.compile(r"\w+")
_SHORTEST_PART = 2
"""So many letters in a row of what was masked tell something of it."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer as the teacher gave it.

    Attributes:
        text: Its text.
        logprob: Its natural-log probability.
        others: Alternatives with theirs, its own among them.
    """

    text: str
    logprob: float
    others: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What the teacher said beside one choice's text.

    Attributes:
        choice: Index in the list of choices.
        said: The choice's text, which the tokens spell.
        tokens: They.
    """

    choice: int
    said: str
    tokens: tuple[Token, ...]


def taken(response: JsonObject) -> tuple[JsonObject, list[Told]]:
    """Take the log-probabilities out of a response.

    Returns:
        The response without any, and what can be put back into it once it is masked (`put_back`): of each
        whole choice whose tokens spell its text.
    """
    found: list[Told] = []
    for name in ("choices", "partial"):
        choices = response.get(name)
        if not isinstance(choices, list) or not any(_has(choice) for choice in choices):
            continue
        if name == "choices":
            found = [told for place, one in enumerate(choices) if (told := _told(place, one)) is not None]
        response = response | {name: [_bare(choice) for choice in choices]}
    return response, found


def put_back(told: Sequence[Told], raw: JsonObject, masked: JsonObject, redact: Redact) -> JsonObject:
    """Put log-probabilities into a masked response.

    Args:
        told: What was taken out of it.
        raw: ``request`` and ``response`` before masking.
        masked: Both after it; they are not changed.
        redact: Masks a JSON value.

    Returns:
        The masked response with what gives nothing away.
    """
    response: JsonObject = masked["response"]
    if not told:
        return response
    gone = _words(raw) - _words({"request": masked["request"], "response": response})
    choices = list(response.get("choices") or ())
    for one in told:
        said = _said(choices[one.choice]) if one.choice < len(choices) else None
        if said is not None:
            content = _laid_over(one, said, gone, redact)
            choices[one.choice] = choices[one.choice] | {"logprobs": {"content": content}}
    return response | {"choices": choices}


def _words(value: object) -> frozenset[str]:
    return frozenset(word.lower() for text in _texts(value) for word in _WORD.findall(text))


def _texts(value: object) -> Iterator[str]:
    """Yield all texts of a JSON value however deep, keys and numbers too: those are masked as well."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += [*one, *one.values()]
        elif isinstance(one, list):
            left += one
        else:
            yield str(one)


def _laid_over(told: Told, masked: str, gone: frozenset[str], redact: Redact) -> list[JsonObject]:
    """Return the tokens of the masked text."""
    ends = list(accumulate(len(token.text) for token in told.tokens))
    starts = [0, *ends[:-1]]
    left, right = _changed(told.said, masked)
    before = sum(end <= left for end in ends)
    after = sum(start >= len(told.said) - right for start in starts) if masked != told.said else 0
    head, tail = told.tokens[:before], told.tokens[len(told.tokens) - after :] if after else ()
    allowed = _allowed((*head, *tail), gone, redact)
    middle = masked[ends[before - 1] if before else 0 : len(masked) - sum(len(t.text) for t in tail)]
    changed = [{"token": middle, "top_logprobs": []}] if middle else []
    return [*(_item(t, allowed) for t in head), *changed, *(_item(t, allowed) for t in tail)]


def _changed(said: str, masked: str) -> tuple[int, int]:
    """Return how many letters two texts share at their beginnings and at their ends, in whole words."""
    if said == masked:
        return len(said), 0
    shorter = min(len(said), len(masked))
    left = next((place for place in range(shorter) if said[place] != masked[place]), shorter)
    most = shorter - left
    right = next((place for place in range(most) if said[-1 - place] != masked[-1 - place]), most)
    # Part of a word that was masked tells of the word.
    while left and said[left - 1].isalnum():
        left -= 1
    while right and said[len(said) - right].isalnum():
        right -= 1
    return left, right


def _allowed(tokens: Iterable[Token], gone: frozenset[str], redact: Redact) -> frozenset[str]:
    """Return the alternatives that give nothing away."""
    texts = sorted({text for token in tokens for text, _ in token.others})
    masked = "\n".join(gone)
    kept = [text for text in texts if not _holds(text.strip().lower(), masked, gone)]
    return frozenset(text for text in kept if redact({"text": text}).value["text"] == text)


def _holds(text: str, masked: str, gone: frozenset[str]) -> bool:
    return (len(text) >= _SHORTEST_PART and text in masked) or any(w in gone for w in _WORD.findall(text))


def _item(token: Token, allowed: frozenset[str]) -> JsonObject:
    others = [{"token": text, "logprob": value} for text, value in token.others if text in allowed]
    return {"token": token.text, "logprob": token.logprob, "top_logprobs": others}


def _has(choice: object) -> bool:
    return isinstance(choice, dict) and "logprobs" in choice


def _bare(choice: Any) -> Any:
    return {k: v for k, v in choice.items() if k != "logprobs"} if isinstance(choice, dict) else choice


def _said(choice: object) -> str | None:
    message = choice.get("message") if isinstance(choice, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else None


def _told(place: int, choice: Any) -> Told | None:
    """Read the tokens of a choice; None where they lack, have no alternatives, or spell another text."""
    said = _said(choice)
    given = choice.get("logprobs") if isinstance(choice, dict) else None
    content = given.get("content") if isinstance(given, dict) else None
    if not said or not isinstance(content, list) or not 0 < len(content) <= MOST_TOKENS:
        return None
    tokens = tuple(token for token in map(_token, content) if token is not None)
    spelt = len(tokens) == len(content) and "".join(token.text for token in tokens) == said
    return Told(place, said, tokens) if spelt and any(token.others for token in tokens) else None


def _token(item: object) -> Token | None:
    pair = _pair(item)
    if pair is None or not isinstance(item, dict):
        return None
    others = item.get("top_logprobs")
    listed = others[:MOST_ALTERNATIVES] if isinstance(others, list) else ()
    return Token(*pair, tuple(other for other in map(_pair, listed) if other is not None))


def _pair(item: object) -> tuple[str, float] | None:
    if not isinstance(item, dict) or not isinstance(item.get("token"), str):
        return None
    value = item.get("logprob")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return item["token"], float(value)
