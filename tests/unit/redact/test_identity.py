from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.redact.chain import Chain
from offramp.redact.checksum import luhn_digit
from offramp.redact.identity import CARD, IBAN, SSN, iban_check
from offramp.redact.keyed import Keyed

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.redact.rule import Rule

    Apply = Callable[[Rule, str], str]


@pytest.mark.parametrize(
    "card",
    ["4111 1111 1111 1111", "4111-1111-1111-1111", "4454794511390933", "3782 822463 10005", "30288610434735"],
)
def test_a_card_number_becomes_a_valid_test_number_of_the_same_format(apply: Apply, card: str) -> None:
    made = apply(CARD, f"pay with {card} now").removeprefix("pay with ").removesuffix(" now")
    digits = re.sub(r"\D", "", made)
    assert made != card
    assert digits.startswith("400000")
    assert luhn_digit(digits[:-1]) == digits[-1]
    assert re.sub(r"\d", "0", made) == re.sub(r"\d", "0", card)


def test_a_security_code_after_the_card_number_does_not_hide_it(apply: Apply) -> None:
    assert "4111 1111" not in apply(CARD, "4111 1111 1111 1111 123")


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",
        "1715785200000",
        "0000 0000 0000 0000",
        "order_4111111111111111",
        "4111.1111.1111",
    ],
)
def test_other_long_numbers_are_no_card(apply: Apply, text: str) -> None:
    assert apply(CARD, text) == text


@given(st.text("0123456789", min_size=12, max_size=18))
def test_one_wrong_digit_breaks_luhn(body: str) -> None:
    good = luhn_digit(body)
    assert luhn_digit(str((int(body[0]) + 1) % 10) + body[1:]) != good


@pytest.mark.parametrize(
    "iban", ["DE89370400440532013000", "GB56HXDO88167774656119", "gb42nawi04454264788619"]
)
def test_an_iban_becomes_a_valid_one_of_the_same_country(apply: Apply, iban: str) -> None:
    made = apply(IBAN, f"IBAN {iban}.").removeprefix("IBAN ").removesuffix(".")
    assert made != iban
    assert made[:2] == iban[:2]
    assert made[2:4] == iban_check(made[:2].upper(), made[4:].upper())
    assert made[4:8] in ("0000", "XXXX", "xxxx")


def test_an_iban_keeps_its_spaces(apply: Apply) -> None:
    made = apply(IBAN, "DE89 3704 0044 0532 0130 00 please")
    assert re.fullmatch(r"DE\d\d 0000 \d{4} \d{4} \d{4} \d\d please", made)


def test_an_iban_with_a_wrong_checksum_is_none(apply: Apply) -> None:
    assert apply(IBAN, "DE88370400440532013000") == "DE88370400440532013000"


def test_a_social_security_number_becomes_one_that_is_never_issued(apply: Apply) -> None:
    assert re.fullmatch(r"my SSN: \d{3}-00-\d{4}", apply(SSN, "my SSN: 460-89-9847"))


@pytest.mark.parametrize("text", ["460899847", "order 460 89 9847", "2024-05-1500", "12-460-89-9847-1"])
def test_nine_digits_are_a_social_security_number_only_where_form_or_words_say_so(
    apply: Apply, text: str
) -> None:
    assert apply(SSN, text) == text


def test_words_make_nine_bare_digits_a_social_security_number(apply: Apply) -> None:
    assert "460899847" not in apply(SSN, "social security number 460899847")


@given(st.lists(st.integers(10**14, 10**15 - 1), min_size=2, max_size=2, unique=True))
def test_different_cards_get_different_surrogates(bodies: list[int]) -> None:
    cards = [f"4{body:015d}"[:15] for body in bodies]
    if cards[0] == cards[1]:
        return
    chain = Chain(Keyed(b"k" * 32), (CARD,))
    made = {chain.apply(card + luhn_digit(card)).text for card in cards}
    assert len(made) == 2
