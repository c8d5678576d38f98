from __future__ import annotations

import re

import pytest

from offramp.redact.chain import Chain
from offramp.redact.keyed import Keyed

CHAIN = Chain(Keyed(b"k" * 32))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("My driver's license number is U62928788557186", "U62928788557186"),
        ("passport: X1234567", "X1234567"),
        ("Passport number is 553124789.", "553124789"),
        ("MRN 48123456", "48123456"),
        ("medical record number 7712345", "7712345"),
        ("patient_id=8812345", "8812345"),
    ],
)
def test_the_words_before_give_a_document_number_away(text: str, value: str) -> None:
    made = CHAIN.apply(text)
    assert value not in made.text
    assert dict(made.counts) == {"document_id": 1}
    assert CHAIN.apply(made.text).text == made.text


def test_numbers_without_such_words_stay() -> None:
    text = "order X1234567, flight HAT001, item 8812345"
    assert CHAIN.apply(text).text == text


def test_the_name_of_a_field_counts_as_words_before() -> None:
    assert CHAIN.apply("X1234567", name="passport_number").text != "X1234567"
    assert CHAIN.apply("X1234567", name="order_number").text == "X1234567"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("She was born on 7/14/1995.", r"She was born on \d\d/\d\d/\d{4}\."),
        ("Date of birth: 1990-04-05", r"Date of birth: \d{4}-\d\d-\d\d"),
        ("DOB 05.04.1990", r"DOB \d\d\.\d\d\.\d{4}"),
        ("born July 14, 1995", r"born [A-Z][a-z]+ \d{1,2}, \d{4}"),
        ("born on 14 Jul 1995", r"born on \d{1,2} [A-Z][a-z]{2} \d{4}"),
    ],
)
def test_a_date_of_birth_becomes_another_day_of_a_year_nearby(text: str, form: str) -> None:
    made = CHAIN.apply(text)
    assert re.fullmatch(form, made.text)
    assert made.text != text
    year, other = (int(re.findall(r"\d{4}", t)[0]) for t in (text, made.text))
    assert abs(year - other) <= 3
    assert dict(made.counts) == {"date_of_birth": 1}


def test_other_dates_stay() -> None:
    text = "The flight on 2024-05-20 was booked on May 15, 2024; he is employed since 7/14/1995."
    assert CHAIN.apply(text).text == text


def test_a_date_of_birth_is_masked_wherever_else_it_stands() -> None:
    assert list(CHAIN.apply("dob: 1990-04-05").echoes) == ["1990-04-05"]
