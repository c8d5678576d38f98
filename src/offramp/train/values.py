"""Words and values of every slot type in the generated text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.engine.nano import NANO_BASE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from random import Random

_CONSONANTS = "bcdfghjklmnpqrstvwxyz"
_VOWELS = "aeiou"


def read_words(path: Path = NANO_BASE / "words.txt") -> dict[str, tuple[str, ...]]:
    """Read ``[type] word|word|...`` lines."""
    words: dict[str, tuple[str, ...]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        head, _, body = line.partition("] ")
        words[head.strip("[")] = tuple(body.split("|"))
    return words


class Values:
    """Draws a value for each slot type: from the word lists, by pattern, or made up.

    Args:
        rng: The only source of chance.
        lexicon: Further words for values that have no type, for instance all frequent English ones.
    """

    def __init__(self, rng: Random, lexicon: Sequence[str] = ()) -> None:
        self._rng = rng
        self._lexicon = lexicon
        self.words = read_words()
        self._patterns: dict[str, Callable[[], str]] = {
            "time": self._time, "date": self._date, "number": self._number, "duration": self._duration,
            "money": self._money, "place": self._place, "person": self._person, "song": self._phrase,
            "phrase": self._phrase, "message": self._message, "math": self._math, "email": self._email,
            "phone": lambda: "-".join(self._digits(3) for _ in range(3)), "digits": lambda: self._digits(4),
            "id": lambda: rng.choice(("", "#", "A-", "INC", "t")) + self._digits(rng.randint(2, 6)),
            "code": lambda: rng.choice(("v", "ba", "LH", "r", "x")) + self._digits(rng.randint(1, 4)),
        }  # fmt: skip

    def draw(self, kind: str) -> str:
        """Draw one value of a type; one in five is made of invented or unrelated words."""
        if self._rng.random() < 0.2 and kind not in {"time", "date", "number", "math"}:
            return self._unrelated()
        pattern = self._patterns.get(kind)
        if pattern is None:
            return self._pick(kind)
        return pattern()

    def invent(self) -> str:
        """Return a pronounceable word that is in no list."""
        rng = self._rng
        syllables = (rng.choice(_CONSONANTS) + rng.choice(_VOWELS) for _ in range(rng.randint(1, 3)))
        ending: str = rng.choice(["", *_CONSONANTS])
        return "".join(syllables) + ending

    def any_word(self) -> str:
        """Return a word of any list, of the lexicon, or an invented one."""
        form = self._rng.random()
        if form < 0.3:
            return self.invent()
        if form < 0.75 and self._lexicon:
            return self._rng.choice(self._lexicon)
        return self._pick(self._rng.choice(tuple(self.words))).split()[0]

    def _pick(self, kind: str) -> str:
        return self._rng.choice(self.words[kind])

    def _digits(self, count: int) -> str:
        return "".join(self._rng.choice("0123456789") for _ in range(count))

    def _unrelated(self) -> str:
        return " ".join(self.any_word() for _ in range(self._rng.choice((1, 1, 1, 2, 2, 3, 4))))

    def _number(self) -> str:
        return str(self._rng.randint(1, 200)) if self._rng.random() < 0.6 else self._pick("num")

    def _duration(self) -> str:
        return f"{self._number()} {self._pick('unit')}"

    def _money(self) -> str:
        return (
            f"${self._number()}" if self._rng.random() < 0.4 else f"{self._number()} {self._pick('currency')}"
        )

    def _math(self) -> str:
        return f"{self._number()} {self._pick('mathop')} {self._number()}"

    def _email(self) -> str:
        return f"{self._pick('first')}@{self._pick('company').replace(' ', '')}.com"

    def _person(self) -> str:
        form = self._rng.random()
        if form < 0.15:
            return f"{self.invent()} {self.invent()}"
        return self._pick("first") if form < 0.65 else f"{self._pick('first')} {self._pick('last')}"

    def _place(self) -> str:
        form = self._rng.random()
        if form < 0.15:
            return f"{self._pick('city')} {self._pick('state')}"
        return self._pick("city" if form < 0.55 else "venue" if form < 0.85 else "state")

    def _phrase(self) -> str:
        forms = (
            ("adj", "noun"),
            ("verbing", "noun"),
            ("noun",),
            ("adj",),
            ("noun", "noun"),
            ("adj", "adj", "noun"),
        )
        words = [self._pick(kind) for kind in self._rng.choice(forms)]
        start = self._rng.choice(("", "", "the ", "my ", "a "))
        return start + self._rng.choice((" ", " ", " of the ", " in the ", " and ")).join(words)

    def _message(self) -> str:
        return self._pick("msg") if self._rng.random() < 0.7 else f"{self._phrase()} {self._unrelated()}"

    def _time(self) -> str:
        rng = self._rng
        hour, minute = self._pick("hour"), self._pick("minute")
        clock = f"{rng.randint(1, 12)}:{rng.randint(0, 59):02d}"
        half = rng.choice((" am", " pm", "am", "pm", " a.m.", " p.m."))
        digits = str(rng.randint(1, 12))
        return rng.choice((
            f"{hour}{rng.choice((' am', ' pm'))}", f"{hour} {minute}", f"{hour} o'clock", f"half past {hour}",
            f"quarter to {hour}", clock, clock + half, digits + half, digits + half, f"{hour} in the morning",
            f"{hour} {minute} pm", f"{hour} am", self._pick("daypart"), f"{hour} this evening", "noon", hour,
        ))  # fmt: skip

    def _date(self) -> str:
        rng = self._rng
        day, month, nth = self._pick("weekday"), self._pick("month"), self._pick("ordinal")
        return rng.choice((
            day, day, f"next {day}", f"this {day}", f"{day} {self._pick('daypart')}", f"{month} {nth}",
            f"the {nth} of {month}", f"{nth} {month}", f"{month} {rng.randint(1, 28)}",
            self._pick("dayword"), self._pick("dayword"),
            self._pick("dayword"), f"the {nth}",
            f"{rng.randint(1, 12)}/{rng.randint(1, 28)}", month, f"next {month}",
            f"{day} the {nth}",
            f"in {self._pick('num')} days",
            f"{rng.randint(2019, 2031)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
        ))  # fmt: skip
