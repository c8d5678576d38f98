"""Which language a prompt is written in, as far as its function words or its script tell."""

from __future__ import annotations

import re
from collections import Counter

MIN_WORDS = 3
"""Function words that must be found: fewer are names and borrowed words."""

_WORDS = {
    "en": "the and of to in is you are with for that this not your be from or if it must an by as on",
    "de": "der die das und ist du sie mit für nicht ein eine den dem zu auf oder wenn im des sind bitte nur",
    "fr": "le la les et est vous avec pour ne pas un une des du dans ou si sur que qui votre êtes aux",
    "es": "el la los las y es usted con para no un una de del en o si que su por eres al lo tu",
    "it": "il lo la gli e è sei con per non un una di del della in o se che tuo alla dei le",
    "pt": "o a os as e é você com para não um uma de do da em ou se que seu por dos das ao",
    "nl": "de het een en is je u met voor niet van in of als dat op zijn aan uit bij deze",
    "pl": "i w na z jest nie do się że to dla lub jeśli od po jesteś który oraz tylko przez",
    "sv": "och är du med för inte en ett av i eller om att på som den det till från din",
    "tr": "ve bir bu ile için değil sen olarak da de veya eğer ne mi gibi olan her",
}
_LANGUAGES = {language: frozenset(words.split()) for language, words in _WORDS.items()}
_SCRIPTS = {
    "script:cyrillic": re.compile(r"[\u0400-\u04ff]"),
    "script:greek": re.compile(r"[\u0370-\u03ff]"),
    "script:arabic": re.compile(r"[\u0600-\u06ff]"),
    "script:hebrew": re.compile(r"[\u0590-\u05ff]"),
    "script:devanagari": re.compile(r"[\u0900-\u097f]"),
    "script:kana": re.compile(r"[\u3040-\u30ff]"),
    "script:hangul": re.compile(r"[\uac00-\ud7af]"),
    "script:han": re.compile(r"[\u4e00-\u9fff]"),
}
_WORD = re.compile(r"[^\W\d_]+")


def language_of(text: str) -> str:
    """Return a language's code or a script's name, "" where neither is clear."""
    for script, letters in _SCRIPTS.items():
        if len(letters.findall(text)) * 3 > len("".join(_WORD.findall(text))):
            return script
    counted = Counter(word for word in _WORD.findall(text.casefold()))
    found = Counter(
        {language: sum(counted[word] for word in words) for language, words in _LANGUAGES.items()}
    )
    (best, count), (_, second) = found.most_common(2)
    # Neighbours share words: the winner needs half as many again.
    return best if count >= MIN_WORDS and count * 2 >= second * 3 else ""
