"""Rules for how a person is reached: e-mail addresses and phone numbers."""

from __future__ import annotations

import re

from offramp.redact.keyed import Keyed, is_word, lay
from offramp.redact.rule import EDGE, ESCAPE, Found, Rule

_DOMAIN = "example.org"
_LOCAL_SYLLABLES = 7
_SCP_USERS = ("git",)


def surrogate_email(found: Found, keyed: Keyed) -> str | None:
    """Stand in an address at example.org, with a dot where the local part had one."""
    local, _, domain = found.value.lower().rpartition("@")
    if domain == _DOMAIN and is_word(local.replace(".", ""), _LOCAL_SYLLABLES):
        return found.value
    if local in _SCP_USERS and found.after.startswith(":"):
        return None  # git@host:repository names no person
    word = keyed.word("email", f"{local}@{domain}", _LOCAL_SYLLABLES)
    return f"{word[:6]}.{word[6:]}@{_DOMAIN}" if "." in local else f"{word}@{_DOMAIN}"


_LETTER = "0-9A-Za-zÀ-ɏ"

EMAIL = Rule(
    "email",
    rf"{ESCAPE}?((?:[{_LETTER}_][{_LETTER}.!#$%&*+/=?^_{{|}}~'-]*)@"
    rf"(?:[{_LETTER}](?:[{_LETTER}-]*[{_LETTER}])?\.)+[A-Za-zÀ-ɏ]{{2,24}})",
    r"@",
    surrogate_email,
)


def surrogate_phone(found: Found, keyed: Keyed, least: int = 7) -> str | None:
    """Lay digits of a number that cannot be dialled into the same format.

    The stand-ins lie where no plan assigns numbers: area code 555 (North America), country code 999
    (elsewhere), and the prefixes 000 and 00 for national and local numbers.
    """
    if _CONTINUES.match(found.after) or _CONTINUED.search(found.before) or _DATE.search(found.value):
        return None
    number, extension = _split_extension(found.value)
    digits = re.sub(r"\D", "", number)
    if not least <= len(digits) <= 15:
        return None
    mark, rest = _plan(number, digits)
    if digits.startswith(mark):
        return found.value
    free = len(digits) - len(mark)
    made = mark + _exchange(keyed.digits("phone", rest, free), mark)
    return lay(number, made) + lay(extension, keyed.digits("extension", rest + extension, len(extension)))


def _plan(number: str, digits: str) -> tuple[str, str]:
    """Return the surrogate's leading digits, and the digits that identify the number."""
    dialled = digits.startswith("00") and len(digits) > 9
    zeros = "00" if dialled and not number.startswith("+") else ""
    rest = digits.removeprefix(zeros)
    if len(rest) == 11 and rest.startswith("1"):
        return zeros + "1555", rest[1:]
    if number.startswith("+") or (zeros and not rest.startswith("0")):
        return zeros + "999", rest
    if len(digits) == 10 and not digits.startswith("0"):
        return "555", digits
    return ("000" if len(digits) > 9 else "00"), digits


def _exchange(digits: str, mark: str) -> str:
    """Exchange codes of North America begin with 2 to 9."""
    return str(2 + int(digits[0]) % 8) + digits[1:] if mark.endswith("555") else digits


def _split_extension(value: str) -> tuple[str, str]:
    cut = re.search(r"\s?(?:x|ext)", value, re.IGNORECASE)
    return (value[: cut.start()], value[cut.start() :]) if cut else (value, "")


_CONTINUES = re.compile(r"\w|[-./:]\d")
"""What follows digits that are only the beginning of something longer: an id, a version, a range."""

_CONTINUED = re.compile(r"\d[:,]$")
_DATE = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d[-./ ][01]?\d[-./ ][0-3]?\d|[0-3]?\d[-./ ][0-3]?\d[-./ ](?:19|20)\d\d)(?!\d)"
)

_TAIL = r"(?: ?(?:x|ext\.?) ?\d{1,5})?"

_SHAPES = (
    r"(?:"
    r"\+[1-9]\d{0,2}(?:[ .-]?\(?\d{1,5}\)?){2,6}"
    r"|00[1-9]\d{0,2}(?:[ .-]\(?\d{1,9}\)?){2,6}"
    r"|(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[.-]\d{4}"
    r"|\(0\d{1,4}\) ?\d{2,4}(?:[ .-]\d{2,4}){1,3}"
    r"|0\d{1,4}(?:[ .-]\d{2,4}){3,4}"
    r"|0\d{1,4}[ .-]\d{3,4}[ .-]\d{3,4}"
    r"|0\d{2,4}[ -]\d{6,8}|0\d-\d{8}"
    r")"
)

PHONE = Rule(
    "phone",
    # Nothing that continues a number, an id or an amount may stand before it.
    r"(?:^|[^0-9A-Za-z_./#$€£+-]|" + ESCAPE + r")(" + _SHAPES + _TAIL + r")",
    r"\d[ .()-]{1,2}\d\d|\+\d{5}",
    surrogate_phone,
)

_CONTEXT = re.compile(
    r"(?:phone|\btel\b|telephone|mobile|\bcell\b|\bfax\b|\bdesk\b|\bsms\b|whatsapp"
    r"|\bcall (?:me|us|him|her|them)\b"
    r"|(?:call|reach|text|answering|message)\w* .{0,20}\b(?:at|on|to|registered)\b)[^0-9]{0,24}$"
    r"|\b(?:call|dial) \(?$"
)


def surrogate_bare_phone(found: Found, keyed: Keyed) -> str | None:
    """Digits of no telling shape are a phone number where the words before them say so."""
    if not (_CONTEXT.search(found.before) or re.match(r"[-\s]*(?:office|fax)\b", found.after, re.IGNORECASE)):
        return None
    return surrogate_phone(found, keyed, least=6)


BARE_PHONE = Rule(
    "phone",
    EDGE + r"(\(?\d{1,4}\)?(?:[ .-]\d{2,7}){1,5}" + _TAIL + r"|\d{7,14})",
    r"\d[ .()-]{1,2}\d\d|\d{7}",
    surrogate_bare_phone,
    contextual=True,
)
