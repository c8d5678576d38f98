"""The rules in order, and what happens when several claim the same text: the first one wins."""

from __future__ import annotations

import bisect
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import re2

from offramp.redact import assigned, contact, document, identity, national, network, provider, secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from offramp.redact.keyed import Keyed
    from offramp.redact.rule import Rule

RULES: tuple[Rule, ...] = (
    secret.PRIVATE_KEY,
    secret.JWT,
    provider.API_KEY,
    provider.UNPREFIXED_KEY,
    secret.SLACK_HOOK,
    secret.BLOB,
    network.USERINFO,
    network.QUERY,
    secret.BEARER,
    assigned.HASH,
    assigned.ASSIGNED,
    assigned.MARKUP,
    assigned.SPOKEN,
    assigned.CONFIGURED,
    secret.AWS_SECRET,
    contact.EMAIL,
    identity.IBAN,
    identity.CARD,
    document.BIRTH,
    *national.RULES,
    identity.SSN,
    document.PAPER,
    network.IPV6,
    network.IPV4,
    contact.PHONE,
    contact.BARE_PHONE,
)
"""What is looked for, most telling first."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A text after the rules.

    Attributes:
        text: With surrogates in place.
        counts: Replacements by rule name.
        echoes: Values that only their surroundings gave away, with their surrogates: the same value may
            stand elsewhere in the call without such surroundings.
        pairs: Each value with what took its place; with itself where it was a surrogate already.
    """

    text: str
    counts: Counter[str] = field(default_factory=Counter)
    echoes: dict[str, str] = field(default_factory=dict)
    pairs: dict[str, str] = field(default_factory=dict)


class Chain:
    """Applies rules to one text in a single sweep: no rule sees another's surrogates.

    Args:
        keyed: Makes the surrogates.
        rules: In order of precedence.
    """

    def __init__(self, keyed: Keyed, rules: Sequence[Rule] = RULES) -> None:
        self._keyed = keyed
        self._rules = tuple(rules)
        # One automaton for all hints tells in one pass which rules are worth running at all.
        hinted = [index for index, rule in enumerate(self._rules) if rule.hint]
        self._unhinted = [index for index, rule in enumerate(self._rules) if not rule.hint]
        self._screen: Any = re2.Set.SearchSet()
        for index in hinted:
            self._screen.Add(self._rules[index].hint.encode())
        self._screen.Compile()
        self._hinted = hinted

    def _worth(self, raw: bytes, context: bytes) -> list[int]:
        """Return the indices of the rules that may find something, in order of precedence."""
        hits = self._screen.Match(context + raw)
        worth = [self._hinted[index] for index in hits] if hits else []
        size = len(raw)
        return sorted(i for i in (*worth, *self._unhinted) if size >= self._rules[i].shortest)

    def apply(self, text: str, name: str = "") -> Rewritten:
        """Replace what the rules find in ``text``; ``name`` is the JSON key it stands under."""
        return self.rewrite(text, name) or Rewritten(text)

    def rewrite(self, text: str, name: str = "") -> Rewritten | None:
        """Do the same; None where nothing is found, neither a value nor a surrogate."""
        raw = text.encode("utf-8", "surrogatepass")
        context = f"{name}: ".encode("utf-8", "surrogatepass") if name else b""
        worth = self._worth(raw, context)
        if not worth:
            return None
        result = Rewritten(text)
        edits: list[tuple[int, int, bytes]] = []
        for rule, start, end, value, made in self._claims(raw, context, worth):
            result.pairs[value] = made
            if made == value:
                continue
            edits.append((start, end, made.encode("utf-8", "replace")))
            result.counts[rule.name] += 1
            if rule.contextual:
                kept = _punctuation(value, made)
                result.echoes[value[: len(value) - kept]] = made[: len(made) - kept]
        if not edits:
            return result if result.pairs else None
        return Rewritten(_edit(raw, edits), result.counts, result.echoes, result.pairs)

    def _claims(
        self, raw: bytes, context: bytes, worth: Sequence[int]
    ) -> Iterator[tuple[Rule, int, int, str, str]]:
        """Yield what each rule claims; a surrogate already in place is claimed too, and so protected."""
        claimed: list[tuple[int, int]] = []
        for index in worth:
            rule = self._rules[index]
            for start, end, found in rule.find(raw, context):
                made = rule.surrogate(found, self._keyed)
                if made is not None and _claim(claimed, start, end):
                    yield rule, start, end, found.value, made


def _punctuation(value: str, made: str) -> int:
    """Count the characters that end a sentence after the value, and its surrogate, alike."""
    kept = 0
    while kept < len(value) and value[-kept - 1] in ".,:;!?)" and made.endswith(value[-kept - 1 :]):
        kept += 1
    return kept


def _claim(claimed: list[tuple[int, int]], start: int, end: int) -> bool:
    """Add a span to the sorted, disjoint ones, unless it overlaps one of them."""
    at = bisect.bisect_left(claimed, (start, end))
    if at and claimed[at - 1][1] > start:
        return False
    if at < len(claimed) and claimed[at][0] < end:
        return False
    claimed.insert(at, (start, end))
    return True


def _edit(raw: bytes, edits: list[tuple[int, int, bytes]]) -> str:
    parts: list[bytes] = []
    at = 0
    for start, end, made in sorted(edits):
        parts += (raw[at:start], made)
        at = end
    parts.append(raw[at:])
    return b"".join(parts).decode("utf-8", "surrogatepass")
