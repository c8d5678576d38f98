"""Rules for what only the words before it give away: licences, passports, patient numbers, dates of birth."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from offramp.redact.keyed import lay
from offramp.redact.rule import EDGE, Found, Rule

if TYPE_CHECKING:
    from offramp.redact.keyed import Keyed

_BETWEEN = r"[^a-z0-9]{0,4}(?:(?:id|number|no|num|nr|#|is|was|card|code|:)\b[^a-z0-9]{0,4}){0,4}$"
_PAPERS = re.compile(
    r"(?:driv(?:er|ing|ers)(?:['\u2019]?s)?[\s_-]*licen[cs]e|\bdl|passport|\bmrn|medical[\s_-]*record|patient[\s_-]*id"
    r"|health[\s_-]*(?:insurance|plan|card)|insurance[\s_-]*(?:policy|member)|member[\s_-]*id|medicare|medicaid"
    r"|green[\s_-]*card|alien[\s_-]*(?:registration)?|residence[\s_-]*permit|national[\s_-]*id|identity[\s_-]*card)"
    + _BETWEEN
)


def _surrogate_paper(found: Found, keyed: Keyed) -> str | None:
    """Stand in digits that begin with 00."""
    digits = re.sub(r"\D", "", found.value)
    if len(digits) < 5 or found.after[:1].isalnum() or not _PAPERS.search(found.before):
        return None
    if digits.startswith("00"):
        return found.value
    return lay(found.value, "00" + keyed.digits("paper", found.value.upper(), len(digits) - 2))


PAPER = Rule(
    "document_id",
    EDGE + r"([A-Za-z]{0,3}-?\d[\d-]{4,16}\d?[A-Za-z]{0,2}|[A-Za-z]\d{3}-\d{4}-\d{4})",
    r"(?i:licen[cs]e|\bdl\b|passport|\bmrn|medical|patient|insurance|health|member|medica|green|alien|permit|national"
    r"|identity)",
    _surrogate_paper,
    contextual=True,
    shortest=5,
)

_BORN = re.compile(
    r"(?:\bborn(?: on)?|birth[\s_-]*da(?:te|y)|date[\s_-]*of[\s_-]*birth|\bd\.?o\.?b\.?)"
    r"[^a-z0-9]{0,4}(?:is|was|on|:)?[^a-z0-9]{0,4}$"
)
_YEARS = 3
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip


def _surrogate_birth(found: Found, keyed: Keyed) -> str | None:
    """Stand in another day of a year nearby, in the same form."""
    if not _BORN.search(found.before):
        return None
    value = found.value
    day, month = 1 + keyed.number("birth day", value, 28), keyed.number("birth month", value, 12)
    year = re.search(r"(?:19|20)\d\d", value)
    if year is None:
        return None
    drawn = str(int(year.group()) - _YEARS + keyed.number("birth year", value, 2 * _YEARS + 1))
    if re.search(r"[A-Za-z]{3,9}", value):
        return _in_words(value, year.group(), drawn, day, _MONTHS[month])
    # The month leads in 1995-07-14 and where slashes are used, 7/14/1995; else the day does.
    leads = value.startswith(year.group()) or re.match(r"\d{1,2}/", value)
    parts = iter((f"{month + 1:02d}", f"{day:02d}") if leads else (f"{day:02d}", f"{month + 1:02d}"))
    return re.sub(r"\d{4}|\d{1,2}", lambda m: drawn if len(m.group()) == 4 else next(parts), value)


def _in_words(value: str, year: str, drawn: str, day: int, month: str) -> str:
    """Replace the parts of ``July 14, 1995`` and the like, each in its place."""

    def part(match: re.Match[str]) -> str:
        text = match.group()
        if text == year:
            return drawn
        if text.isdecimal():
            return str(day)
        return month if len(text) > 3 else month[:3]

    return re.sub(r"\d+|[A-Za-z]{3,9}", part, value)


_NAMED_MONTH = r"(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"

BIRTH = Rule(
    "date_of_birth",
    EDGE + r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}"
    rf"|{_NAMED_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?\.? {_NAMED_MONTH}\.?,? \d{{4}})",
    r"(?i:\bborn|birth|d\.?o\.?b)",
    _surrogate_birth,
    contextual=True,
    shortest=8,
)
