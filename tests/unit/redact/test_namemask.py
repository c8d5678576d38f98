from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from offramp.redact import Redactor
from offramp.redact.keyed import Keyed
from offramp.redact.names import Names, in_case
from offramp.redact.recogniser import ADDRESS, ORGANISATION, PERSON, PLACE, Span
from offramp.redact.words import sections

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY = b"k" * 32
KINDS = {"Mia": PERSON, "Lindqvist": PERSON, "Oslo": PLACE, "Acme": ORGANISATION, "Will": PERSON,
         "alarm": PLACE,
         "Paris": PLACE, "economy": PLACE, "12345": ADDRESS, "Economy": PLACE}  # fmt: skip


class Told:
    """Finds the words it was told of, and counts the texts it read."""

    def __init__(self, kinds: dict[str, str] = KINDS) -> None:
        self.kinds = kinds
        self.read: list[str] = []

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        self.read += texts
        return [
            [
                Span(m.start(), m.end(), self.kinds[m.group()])
                for m in re.finditer(r"\w+", text)
                if m.group() in self.kinds
            ]
            for text in texts
        ]


def redactor() -> Redactor:
    return Redactor(KEY, Told())


def call(user: str, *, system: str = "You help.", tools: Any = None, arguments: Any = None) -> dict[str, Any]:
    answer: dict[str, Any] = {"role": "assistant", "content": None}
    if arguments is not None:
        function = {"name": "book_Oslo", "arguments": json.dumps(arguments)}
        answer["tool_calls"] = [{"id": "Mia", "type": "function", "function": function}]
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    request = {"model": "Acme", "messages": messages} | ({"tools": tools} if tools else {})
    return {"request": request, "response": {"choices": [{"message": answer, "finish_reason": "stop"}]}}


def masked(value: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    made = redactor().redact(value).value
    system, user = (message["content"] for message in made["request"]["messages"])
    calls = made["response"]["choices"][0]["message"].get("tool_calls")
    return system, user, json.loads(calls[0]["function"]["arguments"]) if calls else {}


def test_a_copied_name_is_still_a_copy_and_so_are_its_parts() -> None:
    _, user, arguments = masked(
        call(
            "I am Mia Lindqvist of Oslo",
            arguments={"full": "Mia Lindqvist", "given": "Mia", "id": "mia_lindqvist_12"},
        )
    )
    first, last = user.removeprefix("I am ").split(" of ")[0].split()
    assert (first, last) != ("Mia", "Lindqvist")
    assert arguments == {
        "full": f"{first} {last}",
        "given": first,
        "id": f"{first.lower()}_{last.lower()}_12",
    }


def test_a_system_prompt_is_not_read_but_what_was_found_elsewhere_is_masked_in_it() -> None:
    system, user, _ = masked(call("Mia here", system="You serve Mia in Oslo."))
    assert system == f"You serve {user.split()[0]} in Oslo."


def test_schemas_names_of_tools_ids_and_keys_stay() -> None:
    tools = [
        {
            "type": "function",
            "function": {"name": "book_Oslo", "description": "Mia in Oslo", "parameters": {}},
        }
    ]
    value = call("Mia in Oslo", tools=tools, arguments={"Oslo": "Oslo"})
    made = redactor().redact(value).value
    assert made["request"]["tools"] == tools
    assert made["request"]["model"] == "Acme"
    tool_call = made["response"]["choices"][0]["message"]["tool_calls"][0]
    assert tool_call["id"] == "Mia"
    assert tool_call["function"]["name"] == "book_Oslo"
    assert list(json.loads(tool_call["function"]["arguments"])) == ["Oslo"]


def test_a_value_that_a_schema_enumerates_is_vocabulary() -> None:
    schema = {"type": "object", "properties": {"cabin": {"enum": ["basic_economy", "economy"]}}}
    tools = [{"type": "function", "function": {"name": "book", "parameters": schema}}]
    _, user, arguments = masked(call("Economy please", tools=tools, arguments={"cabin": "economy"}))
    assert (user, arguments) == ("Economy please", {"cabin": "economy"})


def test_a_label_that_the_prompt_lists_is_vocabulary() -> None:
    system, user, _ = masked(call("set an alarm", system="Labels: alarm, Paris, other"))
    assert (system, user) == ("Labels: alarm, Paris, other", "set an alarm")
    assert masked(call("Paris", system="Labels: alarm, Paris, other"))[1] == "Paris"


def test_a_name_that_is_a_common_word_is_masked_as_it_was_written_only() -> None:
    _, user, _ = masked(call("Ask Will whether he will come"))
    assert re.fullmatch(r"Ask [A-Z][a-z]+ whether he will come", user)
    assert "Will" not in user


def test_the_key_of_a_field_tells_what_its_value_is() -> None:
    _, _, arguments = masked(call("go", arguments={"first_name": "Qwertia", "zip": "76543", "city": "York"}))
    assert arguments["first_name"] != "Qwertia"
    assert arguments["city"] != "York"
    assert re.fullmatch(r"\d{5}", arguments["zip"])
    assert arguments["zip"] != "76543"


def test_an_argument_copied_from_a_sentence_is_not_judged_without_it() -> None:
    told = Told({"Oslo": PLACE})
    value = call("what is sunny today", arguments={"word": "sunny"})
    assert Redactor(KEY, told).redact(value).value == value


def test_a_text_is_read_once() -> None:
    told = Told()
    made = Redactor(KEY, told)
    for _ in range(3):
        made.redact(call("Mia " * 100))
    assert told.read.count("Mia " * 100) == 1


def test_codes_with_letters_and_digits_are_no_names() -> None:
    assert masked(call("Mia has 12345 and MIA7"))[1].endswith("MIA7")


def test_surrogates_of_the_rules_are_no_names() -> None:
    address = Redactor(KEY).redact("mia@acme.com").value
    word = address.split("@")[0]
    told = Told({"Mia": PERSON, word: PERSON})
    assert Redactor(KEY, told).redact("Mia, mia@acme.com").value.endswith(f", {address}")


def test_no_two_listed_words_become_one_and_none_stays() -> None:
    names = Names(Keyed(KEY))
    lists = ("female", "male", "last", "city", "country", "region")
    words = {word for listed in lists for word in sections()[listed]}
    made = {word: names.surrogate(PERSON, word) for word in words}
    changed = {word: surrogate for word, surrogate in made.items() if surrogate is not None}
    assert len(changed) > 1500
    assert len(set(changed.values())) == len(changed)
    assert all(surrogate != word for word, surrogate in changed.items())


def test_what_a_word_is_taken_for_makes_no_difference() -> None:
    names = Names(Keyed(KEY))
    for word in ("Florence", "Erwetegem", "York"):
        assert len({names.surrogate(kind, word) for kind in (PERSON, PLACE, ADDRESS, ORGANISATION)}) == 1


def test_a_city_becomes_a_city() -> None:
    made = Names(Keyed(KEY)).surrogate(PLACE, "oslo")
    assert made in sections()["city"]


def test_a_first_name_becomes_one_of_its_list() -> None:
    names = Names(Keyed(KEY))
    assert {names.surrogate(PERSON, word) for word in ("anna", "maria")} <= set(sections()["female"])


def test_the_same_word_is_the_same_surrogate_in_any_case() -> None:
    names = Names(Keyed(KEY))
    low = names.surrogate(PERSON, "sörensson")
    assert low
    assert names.surrogate(PERSON, "SÖRENSSON") == low.upper()
    assert names.surrogate(PERSON, "Sörensson") == low.capitalize()


@pytest.mark.parametrize("word", ["Street", "of", "GmbH", "Mr", "May", "Monday", "J", "12", "6750"])
def test_words_that_tell_nothing_stay(word: str) -> None:
    assert Names(Keyed(KEY)).surrogate(ADDRESS, word) is None


def test_case_follows_the_form() -> None:
    assert [in_case(form, "ada") for form in ("x", "X", "Xx", "XX", "xX")] == [
        "ada",
        "ADA",
        "Ada",
        "ADA",
        "ada",
    ]


def test_tokens_of_an_answer_cut_into_pieces_leave_no_text() -> None:
    pieces = {"content": [{"token": "Mi", "bytes": [77, 105], "logprob": -0.5, "top_logprobs": []}]}
    made = redactor().redact({"choices": [{"logprobs": pieces}]}).value
    assert made["choices"][0]["logprobs"] == {
        "content": [{"token": "", "bytes": [], "logprob": -0.5, "top_logprobs": []}]
    }


def test_a_label_of_an_answer_is_no_name() -> None:
    """As a surrogate, which no request explains, it could not be led back for a client."""
    asked = {"messages": [{"role": "user", "content": "Which city is it?"}]}
    said = {"choices": [{"message": {"role": "assistant", "content": "Oslo"}}]}
    kept = redactor().redact({"request": asked, "response": said}).value["response"]
    assert kept == said
