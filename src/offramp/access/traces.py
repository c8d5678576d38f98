"""What a person's value leaves behind in a store: itself, its surrogates, and its pseudonyms."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from offramp.core.errors import BadInput
from offramp.core.json import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from offramp.core.call import Call

SHORTEST = 4
"""A shorter value stands in too many calls that are not its owner's."""

_IN_TEXT = (
    "{}",
    "My e-mail is {}",
    "Call me at {}",
    "My name is {}.",
    "I live in {}.",
    "card {}",
    "ssn {}",
    "password: {}",
    "Authorization: Bearer {}",
    "https://user:{}@host.example/",
)
_FIELDS = ("email", "phone", "name", "password", "api_key", "token", "ip", "card", "ssn", "iban", "address")
_NAMED = ("prompt_cache_key", "api_key", "session_key", "session_token")
_KINDS = ("user", "who", "run", "conversation", "response")
_DIGITS = re.compile(r"[\d .()+/-]+\Z")
_LEAST_DIGITS = 7
_LEAST_BYTES = 6


@dataclass(frozen=True, slots=True)
class Traces:
    """What to look for.

    Attributes:
        raw: The value as given, and as it is written elsewhere.
        surrogates: What stands in masked bodies in its place.
        pseudonyms: What stands for it as an identity.
        pseudonym: Makes pseudonyms, for those that depend on a call as well.
    """

    raw: tuple[str, ...]
    surrogates: tuple[str, ...]
    pseudonyms: tuple[str, ...]
    pseudonym: Callable[..., str]
    _pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compile the search of bodies."""
        needles = {
            needle for text in (*self.raw, *self.surrogates, *self.pseudonyms) for needle in _spelt(text)
        }
        longest_first = sorted(needles, key=len, reverse=True)
        pattern = r"(?<![^\W_])(?:" + "|".join(longest_first) + r")(?![^\W_])"
        object.__setattr__(self, "_pattern", re.compile(pattern, re.IGNORECASE))

    def reason(self, call: Call) -> str:
        """Say by what a call is this person's, "" where it is not: the strongest of several."""
        if call.id in self.raw:
            return "id"
        if call.origin in self._origins(call):
            return "origin"
        if call.session in self._sessions(call):
            return "session"
        return self.of_text(canonical([call.request, call.response, call.meta]))

    def of_text(self, text: str) -> str:
        """Say which kind of trace a text holds, "" where none."""
        match = self._pattern.search(text)
        if match is None:
            return ""
        found = match.group().lower()
        for kind, listed in (("pseudonym", self.pseudonyms), ("surrogate", self.surrogates)):
            if any(re.fullmatch(spelt, found, re.IGNORECASE) for one in listed for spelt in _spelt(one)):
                return kind
        return "value"

    def _origins(self, call: Call) -> set[str]:
        """The origins that the value gives, as who asked or as the user that they named."""
        whos = [name for name in self.pseudonyms if name.startswith("who-")]
        origins = {self.pseudonym("origin", who, "") for who in whos} | set(self.raw)
        asked = str(call.meta.get("who") or "")
        if asked in whos:
            origins.add(call.origin)
        return origins | {self.pseudonym("origin", asked, value) for value in self.raw}

    def _sessions(self, call: Call) -> set[str]:
        named = (*self.raw, *(name for name in self.pseudonyms if name.startswith("run-")))
        return {self.pseudonym("session", call.origin, name) for name in named} | set(self.raw)

    def needles(self) -> dict[bytes, str]:
        """Return what no file may hold, by its bytes, with the kind of trace it is.

        Everything is looked for as it is and as JSON, a URL, hexadecimal digits or base64 would write it;
        what is shorter than six bytes is left out, for it stands in any large file by chance.
        """
        kinds = (("value", self.raw), ("surrogate", self.surrogates), ("pseudonym", self.pseudonyms))
        return {
            form: kind
            for kind, listed in kinds
            for text in listed
            for form in forms(text)
            if len(form) >= _LEAST_BYTES
        }


def trace(value: str, redact: Callable[[Any], Any], pseudonym: Callable[..., str]) -> Traces:
    """Work out what a value leaves behind.

    Args:
        value: An e-mail address, a number, a name, a user or session id, a key, an address: as it was sent.
        redact: Masks a JSON value under the store's key; returns the value of the same shape.
        pseudonym: Makes the store's pseudonyms: a kind, then values.

    Raises:
        BadInput: The value is too short to be looked for.
    """
    value = value.strip()
    if len(value) < SHORTEST:
        raise BadInput(
            f"The subject {value!r} has {len(value)} characters; at least {SHORTEST} are needed to tell "
            "its calls from others.",
            hint="Give the whole address, number, name or id.",
        )
    raw = tuple(dict.fromkeys((value, value.lower(), *_numbers(value))))
    pseudonyms = sorted(set(_pseudonyms(raw, pseudonym)))
    # A field may be named so that masking takes the pseudonym in it for a secret.
    twice = {redact({name: made})[name] for name in _NAMED for made in pseudonyms if made.startswith("user-")}
    surrogates = {*_surrogates(raw, redact), *twice} - {*raw, *pseudonyms}
    return Traces(raw, tuple(sorted(surrogates)), tuple(pseudonyms), pseudonym)


def _numbers(value: str) -> Iterator[str]:
    """Write a number in other ways: bare, and without the country's code where that is North America's."""
    digits = re.sub(r"\D", "", value)
    if not _DIGITS.match(value) or len(digits) < _LEAST_DIGITS or value.count(".") == 3:
        return
    yield digits
    national = digits[1:] if len(digits) == 11 and digits[0] == "1" else digits
    if len(national) == 10:
        area, exchange, line = national[:3], national[3:6], national[6:]
        yield from (f"({area}) {exchange}-{line}", f"+1 {area} {exchange} {line}", national)


def _surrogates(values: Iterable[str], redact: Callable[[Any], Any]) -> Iterator[str]:
    for value in values:
        for frame in _IN_TEXT:
            before, _, after = frame.partition("{}")
            made = redact({"content": frame.format(value)})["content"]
            if made.startswith(before) and made.endswith(after) and len(made) > len(before) + len(after):
                yield made[len(before) : len(made) - len(after)]
        for name in _FIELDS:
            made = redact({name: value})[name]
            if isinstance(made, str) and made:
                yield made


def _pseudonyms(values: Iterable[str], pseudonym: Callable[..., str]) -> Iterator[str]:
    for value in values:
        yield from (pseudonym(kind, value) for kind in _KINDS)
        # Who asked is a credential as its header field held it, or else an address.
        for credential in (value, f"Bearer {value}", f"bearer {value}"):
            yield pseudonym("who", credential, "")
        yield pseudonym("who", "", value)
        if value.startswith("ofk_"):
            yield pseudonym("who", value.split("_")[1], "")


def _spelt(text: str) -> tuple[str, ...]:
    """Return patterns of a value as bodies may spell it: numbers in any grouping, text escaped."""
    digits = re.sub(r"\D", "", text)
    if _DIGITS.match(text) and len(digits) >= _LEAST_DIGITS:
        return (r"[ .()/-]{0,3}".join(digits),)
    spellings = {
        text,
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        quote(text, safe=""),
    }
    return tuple(re.escape(spelling) for spelling in sorted(spellings))


def forms(text: str) -> set[bytes]:
    """Return the bytes that a text may be written as: plain, in JSON, in a URL, hexadecimal, base64."""
    plain = text.encode("utf-8", "surrogatepass")
    made = {plain, json.dumps(text)[1:-1].encode(), quote(text, safe="").encode(), plain.hex().encode()}
    made.add(plain.hex().upper().encode())
    for shift in range(3):
        # Where a text stands in a longer one decides how base64 cuts it; its edges depend on what is around.
        encoded = base64.b64encode(b"\0" * shift + plain)
        start, end = (0, 2, 3)[shift], len(encoded) - (0, 4, 4)[-len(b"\0" * shift + plain) % 3]
        if end - start >= 8:
            made |= {encoded[start:end], encoded[start:end].replace(b"+", b"-").replace(b"/", b"_")}
    return made
