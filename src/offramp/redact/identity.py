"""Rules for numbers that name a person or an account: cards, bank accounts, social security."""

from __future__ import annotations

import re

from offramp.redact.checksum import luhn_digit
from offramp.redact.keyed import Keyed, lay
from offramp.redact.rule import EDGE, Found, Rule

_TEST_RANGE = "400000"


def surrogate_card(found: Found, keyed: Keyed) -> str | None:
    """Stand in a Luhn-valid number of the range that payment providers keep for tests."""
    digits = re.sub(r"\D", "", found.value)
    if found.after[:1].isalnum() or luhn_digit(digits[:-1]) != digits[-1] or len(set(digits)) == 1:
        return None
    if not (_issued(digits) or re.search(r"card|\bcc\b|visa|payment", found.before)):
        return None
    if digits.startswith(_TEST_RANGE):
        return found.value
    body = _TEST_RANGE + keyed.digits("card", digits, len(digits) - len(_TEST_RANGE) - 1)
    return lay(found.value, body + luhn_digit(body))


def _issued(digits: str) -> bool:
    """Whether brand and length go together (milliseconds since 1970 begin with 1, and do not)."""
    if len(digits) == 15:
        return digits[:2] in ("34", "37")
    if len(digits) == 14:
        return digits[:2] in ("30", "36", "38", "39")
    return (len(digits) == 16 and digits[0] in "23456") or (len(digits) in (13, 19) and digits[0] in "46")


CARD = Rule(
    "credit_card",
    r"(?:^|[^0-9A-Za-z_.-]|\\[nrt])(\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{1,7}|\d{4}[ -]\d{6}[ -]\d{4,5}|\d{12,19})",
    r"\d{4}[ -]\d{4,6}[ -]\d|\d{12}",
    surrogate_card,
    contextual=True,
)


def iban_check(country: str, account: str) -> str:
    """Return the two check digits of an IBAN (ISO 13616, modulo 97)."""
    return f"{98 - _modulo97(account + country + '00'):02d}"


def _modulo97(text: str) -> int:
    return int("".join(str(int(char, 36)) for char in text)) % 97


def surrogate_iban(found: Found, keyed: Keyed) -> str | None:
    """Stand in a valid IBAN of the same country at a bank that does not exist (code 0000 or XXXX)."""
    plain = re.sub(r"\s", "", found.value).upper()
    for end in (len(plain), *range(len(plain) - 1, 14, -1)):
        if _modulo97(plain[4:end] + plain[:4]) == 1:
            break
    else:
        return None
    if end != len(plain) and " " not in found.value:
        return None
    iban = plain[:end]
    bank = "".join("0" if char.isdigit() else "X" for char in iban[4:8])
    if iban[4:8] == bank:
        return found.value
    account = bank + keyed.alike("iban", iban, iban[8:])
    made = iban[:2] + iban_check(iban[:2], account) + account
    made = made if found.value[:2].isupper() else made.lower()
    return _lay_all(found.value, made)


def _lay_all(form: str, text: str) -> str:
    """Lay ``text`` into ``form`` around its spaces; what is left of ``form`` stays."""
    rest = iter(text)
    return "".join(char if char.isspace() else next(rest, char) for char in form)


IBAN = Rule(
    "iban",
    EDGE + r"((?i:[A-Z]{2})\d{2}(?:[A-Za-z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)\b)",
    r"[A-Za-z]{2}\d\d(?:[A-Za-z0-9]{4}| )",
    surrogate_iban,
)


def surrogate_ssn(found: Found, keyed: Keyed) -> str | None:
    """Stand in a number with group 00, which is never issued."""
    digits = re.sub(r"\D", "", found.value)
    if found.after[:1].isalnum() or re.match(r"-\d", found.after):
        return None
    if "-" not in found.value and not re.search(r"\bssn\b|social.?security", found.before):
        return None  # without hyphens, nine digits are one only where the text says so
    if digits[3:5] == "00":
        return found.value
    drawn = keyed.digits("ssn", digits, 7)
    return lay(found.value, f"{1 + int(drawn[:3]) % 665:03d}00{drawn[3:]}")


SSN = Rule(
    "us_ssn",
    r"(?:^|[^0-9A-Za-z_.-]|\\[nrt])(\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4}|\d{9})",
    r"\d{3}[- ]\d\d[- ]\d{4}|\d{9}",
    surrogate_ssn,
    contextual=True,
)
