"""Check characters of national numbers: each function completes a number, None where it cannot be one."""

from __future__ import annotations

import string

_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_ODD = dict(
    zip(
        string.digits + string.ascii_uppercase,
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12,
         14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip
"""Values of characters at odd places of a codice fiscale (D.M. 23 December 1976)."""


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def _is_number(text: str, length: int) -> bool:
    return len(text) == length and text.isdecimal() and text.isascii()


def luhn_digit(digits: str) -> str:
    """Return the check digit that makes ``digits`` valid under Luhn's rule (ISO/IEC 7812)."""
    total = 0
    for place, char in enumerate(reversed(digits)):
        doubled = int(char) * 2 if place % 2 == 0 else int(char)
        total += doubled - 9 if doubled > 9 else doubled
    return str(-total % 10)


def luhn(body: str) -> str | None:
    """Complete a Canadian social insurance number."""
    return body + luhn_digit(body) if _is_number(body, 8) else None


def nhs(body: str) -> str | None:
    """Complete an NHS number (modulo 11)."""
    if not _is_number(body, 9):
        return None
    check = -_weighted(body, tuple(range(10, 1, -1))) % 11
    return None if check == 10 else f"{body}{check}"


def nir(body: str) -> str | None:
    """Complete a French social security number (97 less the remainder by 97)."""
    return f"{body}{97 - int(body) % 97:02d}" if _is_number(body, 13) else None


def codice_fiscale(body: str) -> str | None:
    """Complete an Italian codice fiscale."""
    if len(body) != 15 or not all(char in _ODD for char in body):
        return None
    total = sum(
        _ODD[char] if place % 2 == 0 else int(char, 36) - (0 if char.isdigit() else 10)
        for place, char in enumerate(body)
    )
    return body + string.ascii_uppercase[total % 26]


def dni(body: str) -> str | None:
    """Complete a Spanish DNI (remainder by 23)."""
    return body + _DNI[int(body) % 23] if _is_number(body, 8) else None


def nie(body: str) -> str | None:
    """Complete a Spanish NIE: X, Y, Z count as 0, 1, 2."""
    if body[:1] not in ("X", "Y", "Z") or not _is_number(body[1:], 7):
        return None
    return body + _DNI[int(f"{'XYZ'.index(body[0])}{body[1:]}") % 23]


def tax_id(body: str) -> str | None:
    """Complete a German Steueridentifikationsnummer (ISO 7064, MOD 11,10)."""
    if not _is_number(body, 10):
        return None
    product = 10
    for char in body:
        product = ((int(char) + product) % 10 or 10) * 2 % 11
    return f"{body}{(11 - product) % 10}"


def pesel(body: str) -> str | None:
    """Complete a Polish PESEL."""
    return f"{body}{-_weighted(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10}" if _is_number(body, 10) else None


def bsn(body: str) -> str | None:
    """Complete a Dutch burgerservicenummer (the eleven test)."""
    if not _is_number(body, 8):
        return None
    check = _weighted(body, tuple(range(9, 1, -1))) % 11
    return None if check == 10 else f"{body}{check}"


def cpf(body: str) -> str | None:
    """Complete a Brazilian CPF (two digits, modulo 11)."""
    if not _is_number(body, 9):
        return None
    for length in (10, 11):
        check = _weighted(body, tuple(range(length, 1, -1))) * 10 % 11 % 10
        body += str(check)
    return body


def ean13(body: str) -> str | None:
    """Complete a Swiss AHV number (as EAN-13)."""
    return f"{body}{-_weighted(body, (1, 3) * 6) % 10}" if _is_number(body, 12) else None


def verhoeff(body: str) -> str | None:
    """Complete an Aadhaar number (Verhoeff 1969: the dihedral group of order ten)."""
    if not _is_number(body, 11):
        return None
    check = 0
    for place, char in enumerate(reversed(body), start=1):
        check = _times(check, _permuted(int(char), place % 8))
    return body + str(next(digit for digit in range(10) if _times(check, digit) == 0))


def _times(left: int, right: int) -> int:
    """Multiply in the dihedral group of order ten: 0-4 are rotations, 5-9 reflections."""
    if left < 5:
        turned = (left + right) % 5
        return turned if right < 5 else 5 + turned
    turned = (left - right) % 5
    return 5 + turned if right < 5 else turned


def _permuted(digit: int, times: int) -> int:
    for _ in range(times):
        digit = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[digit]
    return digit
