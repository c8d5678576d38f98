from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from offramp.redact.keyed import MARK, Keyed, is_word, lay

KEYED = Keyed(b"k" * 32)


@given(st.text())
def test_the_same_value_gives_the_same_surrogate(value: str) -> None:
    assert KEYED.alike("kind", value) == Keyed(b"k" * 32).alike("kind", value)


def test_another_key_gives_another_surrogate() -> None:
    assert KEYED.word("email", "a@b.c", 7) != Keyed(b"j" * 32).word("email", "a@b.c", 7)


def test_another_kind_gives_another_surrogate() -> None:
    assert KEYED.digits("phone", "1", 30) != KEYED.digits("card", "1", 30)


def test_a_thousand_values_give_a_thousand_surrogates() -> None:
    assert len({KEYED.word("email", str(n), 7) for n in range(1000)}) == 1000


@given(st.text(alphabet=string.ascii_letters + string.digits + "-_./", max_size=600))
def test_alike_keeps_length_and_classes_of_characters(value: str) -> None:
    made = KEYED.alike("token", value)
    assert len(made) == min(len(value), 512)
    for old, new in zip(value, made, strict=False):
        assert old.isdigit() == new.isdigit()
        assert old.isupper() == new.isupper()
        assert old.isalnum() or old == new


def test_alike_replaces_letters_beyond_ascii() -> None:
    assert KEYED.alike("token", "ß日é").isascii()


@given(st.text(min_size=1))
def test_a_secret_is_marked_and_long_enough(value: str) -> None:
    made = KEYED.secret("token", value)
    assert made.endswith(MARK)
    assert 16 <= len(made) <= 512


@given(st.integers(1, 12), st.text())
def test_words_have_the_shape_of_words(syllables: int, value: str) -> None:
    assert is_word(KEYED.word("kind", value, syllables), syllables)


def test_an_english_word_is_no_surrogate() -> None:
    assert not is_word("john.smith1234", 7)


@given(st.integers(0, 40), st.text())
def test_digits_have_the_wanted_length(length: int, value: str) -> None:
    made = KEYED.digits("kind", value, length)
    assert len(made) == length
    assert made == "" or made.isdigit()


def test_more_digits_than_python_writes_at_once_are_no_trouble() -> None:
    assert len(KEYED.digits("kind", "1" * 10_000, 10_000)) == 10_000


def test_digits_are_laid_into_a_form() -> None:
    assert lay("(12) 3-4", "9876") == "(98) 7-6"
