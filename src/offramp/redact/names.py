"""Surrogates of words that belong to names and places: consistent, of the same kind, in the same case.

A word that stands in a built-in list becomes another word of that list, by a cycle through the whole list
in an order that only the key gives: no two words become one, none stays itself. Any other word becomes a
made-up one. Mapping goes word by word, so that a first name alone is still a copy of the first name in a full
name.
"""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING

from offramp.redact.recogniser import ADDRESS, ORGANISATION, PERSON, PLACE
from offramp.redact.words import listed, sections

if TYPE_CHECKING:
    from offramp.redact.keyed import Keyed

MASKED = (PERSON, PLACE, ADDRESS, ORGANISATION)
"""Kinds that get surrogates. Dates, ages and titles stay: tasks reckon with them, and they name nobody."""

_SHORTEST_NUMBER = 5
_LISTS = ("female", "male", "last", "city", "country", "region")
"""A word of several lists belongs to the first: Florence is always a name, whatever it is taken for."""

_SYLLABLES = (
    """bar bel bor bran cal car cor dal dan del dor el fal fen gar gil hal har jor kal kel kes lan lor
    mal mar mer mil mor nal nor ol pel per ral ren ros sal sel sor stan tal tel thor tor val ver vin
    wal wen yor zan zel""",
    """a e i o u ab eb ib ob ad ed id od ag eg ig og ak ek ik ok al el il ol ul am em im om an en in on
    un ar er ir or ur as es is os at et it ot av ev iv ov""",
    """bant beck bell berg borough bourne brook burg bury by combe dale dane dell den dorn fell fen field
    ford gan gard gate gren ham haven heim holm holt hurst kamp kin lane leigh len ley lin lock lund
    man marsh mere mont more mouth nard nell ness nick port quist ric ridge rick rin rock row sen shaw
    son stad stam sted stoke ston stow strom tell ten thal thorpe ton vale vard vell vik ville vin
    wade wald ward way well wick win wood worth""",
)


class Names:
    """Makes the surrogates.

    Args:
        keyed: Pseudorandom text under the store's key.
    """

    def __init__(self, keyed: Keyed) -> None:
        self._keyed = keyed

    def surrogate(self, kind: str, word: str) -> str | None:
        """Return the surrogate of one word (or number) of a name; None for what stays as it is."""
        if word.isdigit():
            if kind != ADDRESS or len(word) < _SHORTEST_NUMBER:
                return None  # house numbers tell nothing once the street has gone
            return self._keyed.digits("postal code", word, len(word))
        low = word.lower()
        if len(low) < 2 or not low.isalpha() or low in _staying():
            return None
        return in_case(word, self._cycles.get(low) or self._composed(low))

    @cached_property
    def _cycles(self) -> dict[str, str]:
        cycles: dict[str, str] = {}
        for name in _LISTS:
            words = [word for word in sections()[name] if word not in cycles and word not in _staying()]
            order = sorted(words, key=lambda word: self._keyed.number("order", word, 1 << 128))
            cycles.update(zip(order, (*order[1:], *order[:1]), strict=True))
        return cycles

    def _composed(self, word: str) -> str:
        drawn = self._keyed.number("word", word, 1 << 64)
        made = ""
        for listed_syllables in _SYLLABLES:
            syllables = listed_syllables.split()
            drawn, at = divmod(drawn, len(syllables))
            made += syllables[at]
        return made


@cache
def _staying() -> frozenset[str]:
    return frozenset().union(*(listed(name) for name in ("generic", "title", "month")))


def in_case(form: str, word: str) -> str:
    """Write a lower-case word in the case of ``form``."""
    if form.islower() or not form[0].isupper():
        return word
    return word.upper() if form.isupper() else word.capitalize()
