from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.redact import checksum
from offramp.redact.chain import Chain
from offramp.redact.keyed import Keyed

if TYPE_CHECKING:
    from collections.abc import Callable

CHAIN = Chain(Keyed(b"k" * 32))
# Numbers that the issuing bodies or the public descriptions of each scheme print as examples.
EXAMPLES = [
    ("uk_nhs", "NHS number ", "943 476 5919", checksum.nhs, 1),
    ("fr_nir", "NIR ", "1 85 05 78 006 084 91", checksum.nir, 2),
    ("it_codice_fiscale", "", "RSSMRA85T10A562S", checksum.codice_fiscale, 1),
    ("es_dni", "", "12345678Z", checksum.dni, 1),
    ("es_nie", "", "X1234567L", checksum.nie, 1),
    ("de_tax_id", "Steuer-ID: ", "86095742719", checksum.tax_id, 1),
    ("de_tax_id", "Steuer-ID: ", "86 095 742 719", checksum.tax_id, 1),
    ("pl_pesel", "PESEL ", "44051401359", checksum.pesel, 1),
    ("nl_bsn", "BSN ", "111222333", checksum.bsn, 1),
    ("br_cpf", "", "529.982.247-25", checksum.cpf, 2),
    ("br_cpf", "CPF ", "52998224725", checksum.cpf, 2),
    ("in_aadhaar", "Aadhaar ", "2341 2341 2346", checksum.verhoeff, 1),
    ("ch_ahv", "", "756.9217.0769.85", checksum.ean13, 1),
    ("ca_sin", "SIN ", "130 692 544", checksum.luhn, 1),
]


def bare(text: str) -> str:
    return re.sub(r"[\s.-]", "", text)


@pytest.mark.parametrize(("name", "before", "value", "complete", "checks"), EXAMPLES)
def test_a_number_becomes_one_of_the_same_form_with_a_valid_checksum(
    name: str, before: str, value: str, complete: Callable[[str], str | None], checks: int
) -> None:
    made = CHAIN.apply(f"{before}{value}.")
    assert dict(made.counts) == {name: 1}
    surrogate = made.text[len(before) : -1]
    assert re.sub(r"[A-Z]", "A", re.sub(r"\d", "0", surrogate)) != ""
    assert [char for char in surrogate if not char.isalnum()] == [c for c in value if not c.isalnum()]
    assert complete(bare(surrogate)[:-checks]) == bare(surrogate)
    assert surrogate != value


@pytest.mark.parametrize(("name", "before", "value", "complete", "checks"), EXAMPLES)
def test_a_surrogate_is_recognised_as_one(
    name: str, before: str, value: str, complete: Callable[[str], str | None], checks: int
) -> None:
    once = CHAIN.apply(f"{before}{value}.").text
    assert CHAIN.apply(once).text == once


@pytest.mark.parametrize(("name", "before", "value", "complete", "checks"), EXAMPLES)
def test_a_number_with_a_wrong_check_character_is_none(
    name: str, before: str, value: str, complete: Callable[[str], str | None], checks: int
) -> None:
    last = value[-1]
    wrong = value[:-1] + (
        chr(ord("A") + (ord(last) - 64) % 26) if last.isalpha() else str((int(last) + 1) % 10)
    )
    assert name not in CHAIN.apply(f"{before}{wrong}.").counts


@pytest.mark.parametrize(
    "before", ["NHS number ", "Steuer-ID: ", "PESEL ", "BSN ", "CPF ", "Aadhaar ", "SIN "]
)
def test_where_the_checksum_alone_is_weak_the_words_before_must_tell(before: str) -> None:
    value = next(value for _, said, value, _, _ in EXAMPLES if said == before)
    assert CHAIN.apply(f"order {bare(value)}.").counts.keys() <= {"phone"}


def test_a_uk_national_insurance_number_gets_the_prefix_of_examples() -> None:
    made = CHAIN.apply("my NI number is AB 12 34 56 C").text
    assert re.fullmatch(r"my NI number is QQ \d\d \d\d \d\d C", made)
    assert CHAIN.apply(made).text == made


@given(st.text("0123456789", min_size=11, max_size=11))
def test_verhoeff_notices_every_swap_of_neighbours(body: str) -> None:
    whole = checksum.verhoeff(body)
    assert whole is not None
    for at in range(11):
        swapped = whole[:at] + whole[at + 1] + whole[at] + whole[at + 2 :]
        assert swapped == whole or checksum.verhoeff(swapped[:-1]) != swapped


@pytest.mark.parametrize(
    "complete",
    [checksum.nhs, checksum.nir, checksum.dni, checksum.nie, checksum.tax_id, checksum.pesel, checksum.bsn,
     checksum.cpf, checksum.ean13, checksum.verhoeff, checksum.luhn, checksum.codice_fiscale],
)  # fmt: skip
@pytest.mark.parametrize("text", ["", "abc", "1", "٣" * 9, "٣" * 11])
def test_what_is_no_number_cannot_be_completed(complete: Callable[[str], str | None], text: str) -> None:
    assert complete(text) is None
