"""Traffic of any size: the same call sites, with payloads and sessions that nobody has seen."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from offramp.core.call import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.discover.traffic import Labelled

    from offramp.core.call import Call
    from offramp.core.json import JsonObject

EXCHANGED = 0.3
"""Share of a payload's words that are exchanged for other payload words of the same call site."""

_WORD = re.compile(r"\S+")


def grow(base: Sequence[Labelled], count: int, *, seed: int = 0) -> Iterator[Call]:
    """Yield calls one by one; nothing but the base is kept in memory.

    A word that half of a site's messages share is taken as its prompt and left alone; of the others
    three in ten are exchanged, so that hardly two messages are alike.

    Args:
        base: Calls to start from.
        count: How many to yield.
        seed: Seed of the exchange.
    """
    rng = random.Random(seed)
    fixed, payload = _vocabularies(base)
    for number in range(count):
        source = base[number % len(base)]
        site = source.site or source.file
        round_ = number // len(base)
        request = _reworded(source.call.request, fixed[site], payload[site], rng)
        yield replace(
            source.call,
            id=f"{number:08d}",
            at=source.call.at + 7 * 86_400.0 * round_,
            session=f"{source.call.session}#{round_}",
            origin=f"{source.call.origin}#{round_}",
            request=request,
        )


def _vocabularies(base: Sequence[Labelled]) -> tuple[dict[str, set[str]], dict[str, list[str]]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    messages: Counter[str] = Counter()
    for item in base:
        site = item.site or item.file
        messages[site] += 1
        counts[site].update({word for text in _user_texts(item.call.request) for word in text.split()})
    fixed = {site: {w for w, n in found.items() if n * 2 > messages[site]} for site, found in counts.items()}
    payload = {site: sorted(found.keys() - fixed[site]) for site, found in counts.items()}
    return defaultdict(set, fixed), defaultdict(list, payload)


def _user_texts(request: JsonObject) -> list[str]:
    messages = request.get("messages") or []
    return [text_of(m.get("content")) for m in messages if m.get("role") == "user"]


def _reworded(request: JsonObject, fixed: set[str], payload: list[str], rng: random.Random) -> JsonObject:
    messages = list(request.get("messages") or [])
    users = [index for index, message in enumerate(messages) if message.get("role") == "user"]
    if not users or not payload:
        return request

    def exchanged(found: re.Match[str]) -> str:
        word = found.group()
        return word if word in fixed or rng.random() > EXCHANGED else rng.choice(payload)

    # The first message opens a dialogue and the last one asks: both are new, the ones between are history.
    for index in {users[0], users[-1]}:
        content = text_of(messages[index].get("content"))
        messages[index] = {**messages[index], "content": _WORD.sub(exchanged, content)}
    return {**request, "messages": messages}
