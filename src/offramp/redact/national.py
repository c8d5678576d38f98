"""Rules for numbers that states give to people: identity, tax, health insurance; with their checksums.

Surrogates have valid checksums and lie where the state issues none, which is also how they are recognised.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from offramp.redact import checksum
from offramp.redact.rule import EDGE, Found, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.redact.keyed import Keyed

Complete = "Callable[[str], str | None]"


def _bare(value: str) -> str:
    return re.sub(r"[\s./-]", "", value).upper()


def _lay(form: str, text: str) -> str:
    """Put the characters of ``text`` where ``form`` has letters or digits, in the case of ``form``."""
    rest = iter(text)
    made = "".join(next(rest, "") if char.isalnum() else char for char in form)
    return made.lower() if form.islower() else made


def number(
    name: str,
    pattern: str,
    *,
    complete: Callable[[str], str | None],
    mark: str,
    checks: int,
    context: str = "",
    hint: str = r"\d",
) -> Rule:
    """Make the rule for one kind of number.

    Args:
        name: What it is called in counts.
        pattern: Its form; the rule finds it at the edges of words.
        complete: Adds the check characters to a number without them; None where there is no such number.
        mark: First characters of surrogates, which no real number has.
        checks: How many check characters there are, at the end.
        context: What has to stand before it, where form and checksum alone do not tell; "" for nothing.
        hint: As of `Rule`.
    """

    def surrogate(found: Found, keyed: Keyed) -> str | None:
        value = _bare(found.value)
        if found.after[:1].isalnum() or complete(value[:-checks]) != value:
            return None
        if context and not re.search(context, found.before):
            return None
        if value.startswith(mark):
            return found.value
        body = value[len(mark) : -checks]
        for attempt in range(50):
            made = complete(mark + keyed.alike(name, f"{value}{attempt or ''}", body))
            if made is not None:
                return _lay(found.value, made.upper())
        return None

    return Rule(name, EDGE + rf"({pattern})", hint, surrogate, contextual=bool(context), shortest=8)


def _surrogate_nino(found: Found, keyed: Keyed) -> str | None:
    """Stand in a number with prefix QQ, which is kept for examples."""
    value = _bare(found.value)
    told = re.search(r"nino|national insurance|\bni (?:no|num)", found.before)
    if found.after[:1].isalnum() or not (told or " " in found.value):
        return None
    if value.startswith("QQ"):
        return found.value
    return _lay(found.value, "QQ" + keyed.digits("nino", value, 6) + value[-1])


UK_NINO = Rule(
    "uk_nino",
    EDGE + r"((?i:[A-CEGHJ-PQR-TW-Z][A-CEGHJ-NPQR-TW-Z]) ?\d{2} ?\d{2} ?\d{2} ?(?i:[A-D]))",
    r"[A-Za-z] ?\d\d ?\d\d ?\d\d ?[A-Da-d]",
    _surrogate_nino,
    contextual=True,
    shortest=9,
)

ELEVEN = r"\d{11}"

RULES: tuple[Rule, ...] = (
    UK_NINO,
    number("uk_nhs", r"\d{3}[ -]?\d{3}[ -]?\d{4}", complete=checksum.nhs, mark="999", checks=1,
           context=r"\bnhs\b", hint=r"(?i:nhs)"),
    number("fr_nir", r"(?:[1-478] ?\d\d ?(?:0[1-9]|1[0-2])|9 ?\d\d ?\d\d) ?\d\d ?\d{3} ?\d{3} ?\d\d",
           complete=checksum.nir, mark="9",
           checks=2, hint=r"\d ?\d{2} ?\d{2} ?\d{2} ?\d{3} ?\d{3} ?\d{2}"),
    number("it_codice_fiscale", r"(?i:[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z])",
           complete=checksum.codice_fiscale, mark="XXX", checks=1,
           hint=r"[A-Za-z]{6}\d\d[A-Za-z]\d\d[A-Za-z]\d"),
    number("es_dni", r"\d{8}-?[A-Z]", complete=checksum.dni, mark="00", checks=1, hint=r"\d{8}-?[A-Z]"),
    number("es_nie", r"[XYZ]-?\d{7}-?[A-Z]", complete=checksum.nie, mark="Z99", checks=1,
           hint=r"[XYZ]-?\d{7}-?[A-Z]"),
    number("de_tax_id", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", complete=checksum.tax_id, mark="0", checks=1,
           context=r"steuer|idnr|\btin\b|tax.?(?:id|number|no)", hint=r"(?i:steuer|idnr|tin\b|tax)"),
    number("pl_pesel", ELEVEN, complete=checksum.pesel, mark="0000", checks=1, context=r"pesel",
           hint=r"(?i:pesel)"),
    number("nl_bsn", r"\d{9}|\d{4}[. ]\d{2}[. ]\d{3}", complete=checksum.bsn, mark="00", checks=1,
           context=r"\bbsn\b|burgerservice|sofi", hint=r"(?i:bsn|burgerservice|sofi)"),
    number("br_cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}", complete=checksum.cpf, mark="000", checks=2,
           hint=r"\d{3}\.\d{3}\.\d{3}-\d\d"),
    number("br_cpf", ELEVEN, complete=checksum.cpf, mark="000", checks=2, context=r"\bcpf\b",
           hint=r"(?i:cpf)"),
    number("in_aadhaar", r"\d{4}[ -]\d{4}[ -]\d{4}|\d{12}", complete=checksum.verhoeff, mark="0", checks=1,
           context=r"aadh?aar|uidai", hint=r"(?i:aadh?aar|uidai)"),
    number("ch_ahv", r"756\.?\d{4}\.?\d{4}\.?\d{2}", complete=checksum.ean13, mark="756000", checks=1,
           hint=r"756\.?\d{4}"),
    number("ca_sin", r"\d{3}[ -]\d{3}[ -]\d{3}|\d{9}", complete=checksum.luhn, mark="0", checks=1,
           context=r"\bsin\b|social insurance", hint=r"(?i:\bsin\b|social insurance)"),
)  # fmt: skip
