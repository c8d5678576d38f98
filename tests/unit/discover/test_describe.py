from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.discover.describe import name_of, slug_of, uniquely


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        (
            "You handle iot requests of a home assistant. Call exactly one tool.",
            "iot requests of a home assistant",
        ),
        ("You route user requests. Choose the one intent that fits.", "route user requests"),
        (
            "`SQLEnv` is a multi-turn game that tests your ability to write\na SQL command that works.",
            "SQLEnv is a multi-turn game that tests your ability",
        ),
        ("# Airline Agent Policy\n\nThe current time is <*>.", "Airline Agent Policy"),
        (
            "## TASK DESCRIPTION\nYou are a BASH code generator helping me.\n## RULES\nNone.",
            "BASH code generator helping me",
        ),
        ("You are a Capture the Flag (CTF) player, and you play.", "Capture the Flag (CTF) player"),
        (
            "Extract all dates (e.g. birthdays) from the text.",
            "Extract all dates (e.g. birthdays) from the text",
        ),
    ],
)
def test_a_prompt_names_its_task(prompt: str, name: str) -> None:
    assert name_of(prompt, ()) == name


def test_without_a_prompt_the_tools_name_the_task() -> None:
    assert name_of("", ["get_weather"]) == "calls of get_weather"
    assert name_of("", ["get_weather", "get_news", "x"]) == "calls of get_weather and 2 more"
    assert name_of("", ()) == "repeated request"


def test_a_slug_is_two_telling_words() -> None:
    assert slug_of("route user requests") == "route-requests"
    assert slug_of("Capture the Flag (CTF) player") == "capture-flag"
    assert slug_of("the") == "the"
    assert slug_of("日本") == "task"


@given(st.lists(st.sampled_from(["sort mail", "sort mail now", "write"]), min_size=1, max_size=12))
def test_names_and_slugs_are_unique(names: list[str]) -> None:
    ids = [f"t-{number:012x}" for number in range(len(names))]
    unique = uniquely(names, [["f"]] * len(names), ids)
    assert len({name for name, _ in unique}) == len({slug for _, slug in unique}) == len(names)


def test_a_later_task_does_not_rename_an_earlier_one() -> None:
    first = uniquely(["sort mail"], [[]], ["t-1111aaaa"])
    assert uniquely(["sort mail", "sort mail"], [[], []], ["t-1111aaaa", "t-2222bbbb"])[:1] == first
