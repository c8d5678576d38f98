"""Surrogates of words that belong to names and places: consistent, of the same kind, in the same case.

A word that stands in a built-in list becomes another word of that list, by a cycle through the whole list
in an order that only the key gives: no two words become one, none stays itself. Any other word becomes a
made-up one. Mapping goes word by word, so that a first name alone is still a copy of the first name in a full
name.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from offramp.redact.recogniser import ADDRESS, ORGANISATION, PERSON, PLACE
from offramp.redact.words import listed, membership, sections

if TYPE_CHECKING:
    from offramp.redact.keyed import Keyed

MASKED = (PERSON, PLACE, ADDRESS, ORGANISATION)
"""Kinds that get surrogates. Dates, ages and titles stay: tasks reckon with them, and they name nobody."""

_STAY = ("generic", "title", "month")
_SHORTEST_NUMBER = 5
_LISTS = {
    PERSON: ("female", "male", "last", "city", "country", "region"),
    PLACE: ("city", "country", "region", "last", "female", "male"),
}
_PERSON = (
    """bar bel bor bran cal car cor dal dan del dor el fal fen gar gil hal har jor kal kel kes lan lor mal mar mer
    mil mor nal nor ol pel per ral ren ros sal sel sor tal tel tor val ver vin wal wen yor zan zel""",
    "a e i o an en in on ar er ir or al el il ol",
    """bant bell berg dane dell den dorn fell fen ford gan gard gren hurst kamp kin lane leigh len ley lin lock
    man mont more nard nell nick quist ric ridge rick rin rock row sen shaw son stam sted ston strom tell ten
    thal ton vard vell vik vin wald ward way well wick win wood worth""",
)
_PLACE = (
    """ald ash ban bel birk black brad brock bur cal carl chester col cor dan dun east elm fair fal fen glen gold
    grim had hart hazel hol inger kel kil lang lind mar mel mid mor nor oak ol pen raven red rose sel sil stan
    sten sut thorn tor ul wal wes whit win wol""",
    "a e i er en in el ing o ar or",
    """beck berg borough bourne bridge burg bury by cester combe dale den field ford gate ham haven heim holm
    hurst lach leigh ley lund marsh mere minster mouth ness port rath sea stad stead sted stoke stow ston
    thorpe ton vale ville wade wick worth""",
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
        if len(low) < 2 or not low.isalpha() or any(low in listed(name) for name in _STAY):
            return None
        return in_case(word, self._cycled(kind, low) or self._composed(kind, low))

    def _cycled(self, kind: str, word: str) -> str | None:
        if word not in membership():
            return None
        for name in _LISTS.get(kind, _LISTS[PLACE]):
            if word in listed(name):
                return self._cycles[name][word]
        return None

    @cached_property
    def _cycles(self) -> dict[str, dict[str, str]]:
        cycles = {}
        for name in _LISTS[PERSON]:
            order = sorted(sections()[name], key=lambda word: self._keyed.number(name, word, 1 << 128))
            cycles[name] = dict(zip(order, (*order[1:], order[0]), strict=True))
        return cycles

    def _composed(self, kind: str, word: str) -> str:
        parts = [syllables.split() for syllables in (_PERSON if kind == PERSON else _PLACE)]
        drawn = self._keyed.number("word", word, 1 << 64)
        made = ""
        for syllables in parts:
            drawn, at = divmod(drawn, len(syllables))
            made += syllables[at]
        return made


def in_case(form: str, word: str) -> str:
    """Write a lower-case word in the case of ``form``."""
    if form.islower() or not form[0].isupper():
        return word
    return word.upper() if form.isupper() else word.capitalize()
