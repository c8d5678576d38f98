from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.errors import EngineError
from offramp.redact import Masked, Redactor
from offramp.redact.recogniser import PERSON, Span

KEY = b"k" * 32
STRUCTURED = [
    "john.smith@acme.com",
    "415-555-2671",
    "4111 1111 1111 1111",
    "DE89370400440532013000",
    "460-89-9847",
    "106.31.73.20",
    "sk-proj-" + "a1" * 12,
]
NAMES = ["Mia", "Lindqvist", "Anna", "Rossi"]


class Named:
    """Finds these names."""

    def find(self, texts: Any) -> list[list[Span]]:
        return [
            sorted(
                Span(text.find(name), text.find(name) + len(name), PERSON) for name in NAMES if name in text
            )
            for text in texts
        ]


REDACTOR = Redactor(KEY, Named())
said = st.lists(st.sampled_from(STRUCTURED + NAMES) | st.text(' ab"\\\n{}é', max_size=6), max_size=8).map(
    " | ".join
)


def request(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def masked(text: str) -> Masked:
    return REDACTOR.mask(request(text))


def shown(made: Masked) -> str:
    return str(made.value["messages"][0]["content"])


@given(said)
def test_an_answer_that_copies_is_led_back(text: str) -> None:
    made = masked(text)
    assert made.restore(shown(made)) == text
    assert made.restore({"a": [shown(made), 1, None, True]}) == {"a": [text, 1, None, True]}


@given(said)
def test_arguments_that_are_json_in_a_text_are_led_back_and_stay_json(text: str) -> None:
    made = masked(text)
    arguments = json.dumps({"value": shown(made), "n": 3})
    assert json.loads(made.restore(arguments)) == {"value": text, "n": 3}


@given(said, st.text(max_size=20))
def test_what_is_not_of_the_request_is_left_alone(text: str, other: str) -> None:
    made = masked(text)
    if not any(surrogate in other for surrogate in made.pairs.values()):
        assert made.restore(other) == other


@given(said)
def test_a_masked_request_is_what_would_be_recorded(text: str) -> None:
    assert masked(text).value == REDACTOR.redact(request(text)).value


def test_a_value_that_needs_escaping_is_escaped() -> None:
    made = REDACTOR.mask({"password": 'hun"ter\n2\\'})
    assert json.loads(made.restore(json.dumps({"p": made.value["password"]}))) == {"p": 'hun"ter\n2\\'}


def test_numbers_are_led_back() -> None:
    made = REDACTOR.mask({"card": 4111111111111111})
    assert made.restore({"card": made.value["card"]}) == {"card": 4111111111111111}
    assert json.loads(made.restore(json.dumps({"card": made.value["card"]}))) == {"card": 4111111111111111}


def test_a_name_in_another_case_is_led_back() -> None:
    made = masked("I am Mia")
    surrogate = shown(made).removeprefix("I am ")
    assert made.restore({"user": f"{surrogate.lower()}_12", "say": f"HI {surrogate.upper()}!"}) == {
        "user": "mia_12",
        "say": "HI MIA!",
    }


def test_a_surrogate_inside_a_longer_word_is_not_one() -> None:
    made = masked("I am Mia")
    surrogate = shown(made).removeprefix("I am ")
    assert made.restore(f"{surrogate}x") == f"{surrogate}x"


def test_a_longer_surrogate_goes_first() -> None:
    made = Masked("", {}, {"A": "Bo", "Long A": "Bo Li"})
    assert made.restore("Bo Li and Bo") == "Long A and A"


def test_two_values_with_one_surrogate_are_refused() -> None:
    with pytest.raises(EngineError, match="share a surrogate"):
        masked("john@acme.com or JOHN@acme.com")


def test_a_request_that_holds_a_surrogate_already_is_refused() -> None:
    surrogate = shown(masked("john@acme.com"))
    with pytest.raises(EngineError, match="defers"):
        masked(f"john@acme.com and {surrogate}")


def test_a_request_without_anything_to_mask_costs_no_way_back() -> None:
    made = masked("turn on the light")
    assert made.restore("turn on the light") == "turn on the light"
    assert made.pairs == {}


def test_what_is_shown_of_a_masked_request_has_no_originals() -> None:
    assert "john" not in repr(masked("john@acme.com"))
