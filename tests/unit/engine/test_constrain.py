"""The constraint: whatever is decoded under it reads back as an allowed answer."""

from __future__ import annotations

import json
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from offramp.core.errors import EngineError
from offramp.core.model import Constraint, ToolShape
from offramp.engine.constrain import END, Automaton, State
from offramp.engine.nano import NANO_BASE
from offramp.engine.tokens import TokenTable

_NAMES = st.from_regex(r"[a-z][a-z_]{0,9}", fullmatch=True)
_SHAPES = st.builds(ToolShape, _NAMES, st.lists(_NAMES, max_size=3, unique=True).map(tuple))
_TOOLS = st.lists(_SHAPES, min_size=1, max_size=4, unique_by=lambda tool: tool.name).map(tuple)


@cache
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(NANO_BASE)


@cache
def table() -> TokenTable:
    return TokenTable(tokenizer())


def walk(constraint: Constraint, seed: int, *, limit: int = 400) -> str | None:
    """Decode with a model that knows nothing: every allowed token is as likely as any other."""
    automaton, random, parts = Automaton(constraint), Random(seed), b""
    state: State | None = automaton.start
    for _ in range(limit):
        if state == END:
            return parts.decode()
        assert state is not None
        allowed = table().allowed(automaton, state)
        assert allowed, f"nothing may follow {parts!r}"
        closing = [i for i in allowed if b'"' in table().bytes_of[i] or b"}" in table().bytes_of[i]]
        token = random.choice(closing if closing and random.random() < 0.3 else allowed)
        parts += table().bytes_of[token]
        state = automaton.feed(state, table().bytes_of[token])
    return None


def parse(text: str, constraint: Constraint) -> dict[str, str]:
    """Read an answer back and check it against its constraint."""
    name, _, _ = text.partition("{")
    tool = next(tool for tool in constraint.tools if tool.name == name.removesuffix(" "))
    pairs = json.loads(text[len(name) :], object_pairs_hook=list)
    keys = [key for key, _ in pairs]
    assert len(set(keys)) == len(keys)
    assert set(keys) <= set(tool.arguments)
    assert all(isinstance(value, str) for _, value in pairs)
    return dict(pairs)


@given(_TOOLS, st.text(max_size=40), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_copied_values_are_substrings_of_the_source(
    tools: tuple[ToolShape, ...], source: str, seed: int
) -> None:
    constraint = Constraint(tools, source.encode("utf-8", "replace").decode())
    text = walk(constraint, seed)
    assert text is not None
    values = parse(text, constraint).values()
    assert all(value and value in (constraint.copy_from or "") for value in values)


@given(_TOOLS, st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_free_values_are_valid_json_strings(tools: tuple[ToolShape, ...], seed: int) -> None:
    constraint = Constraint(tools)
    text = walk(constraint, seed)
    assert text is not None
    parse(text, constraint)


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b_c", "date"]), st.integers(0, 5)), unique_by=lambda p: p[0])
)
def test_every_valid_answer_is_accepted_token_by_token(given_arguments: list[tuple[str, int]]) -> None:
    words = ["six", "tomorrow at", "é", 'say "hi"', "a\\b", "x"]
    arguments = {key: words[index] for key, index in given_arguments}
    constraint = Constraint(
        (ToolShape("set_alarm", ("a", "b_c", "date")), ToolShape("set", ())), " ".join(words)
    )
    text = "set_alarm " + json.dumps(arguments, separators=(",", ":"), ensure_ascii=False)
    automaton = Automaton(constraint)
    state: State | None = automaton.start
    for token in tokenizer()(text, add_special_tokens=False)["input_ids"]:
        assert state is not None
        assert token in table().allowed(automaton, state)
        state = automaton.feed(state, table().bytes_of[token])
    assert state == END


def test_the_empty_name_stands_for_a_json_object() -> None:
    automaton = Automaton(Constraint((ToolShape("", ("city",)),), "to Oslo"))
    assert automaton.feed(automaton.start, b'{"city":"Oslo"}') == END


def test_an_argument_may_be_given_once_only() -> None:
    automaton = Automaton(Constraint((ToolShape("go", ("a", "b")),), "x y"))
    assert automaton.feed(automaton.start, b'go {"a":"x","b":"y"}') == END
    assert automaton.feed(automaton.start, b'go {"a":"x","a"') is None


def test_a_copied_value_may_not_be_empty_nor_end_with_a_space() -> None:
    automaton = Automaton(Constraint((ToolShape("go", ("a",)),), "x y"))
    assert automaton.feed(automaton.start, b'go {"a":""') is None
    assert automaton.feed(automaton.start, b'go {"a":"x "') is None
    assert automaton.feed(automaton.start, b'go {"a":"x y"}') == END


@pytest.mark.parametrize("value", ["the", "keith urban", "5", "pm", "\u97f3\u697d"])
def test_a_copied_value_may_be_whole_words(value: str) -> None:
    automaton = Automaton(Constraint((ToolShape("go", ("a",)),), "the keith urban 5pm \u97f3\u697d\u30b7"))
    assert automaton.feed(automaton.start, f'go {{"a":"{value}"}}'.encode()) == END


@pytest.mark.parametrize("value", ["he", "keith urb", "th urban"])
def test_a_copied_value_may_not_split_a_word(value: str) -> None:
    automaton = Automaton(Constraint((ToolShape("go", ("a",)),), "the keith urban 5pm"))
    assert automaton.feed(automaton.start, f'go {{"a":"{value}"}}'.encode()) is None


def test_without_text_to_copy_only_the_empty_call_is_left() -> None:
    automaton = Automaton(Constraint((ToolShape("go", ("a",)),), "  "))
    assert automaton.forced(automaton.start) == b"go {}"
    assert automaton.feed(automaton.start, b"go {}") == END
    assert automaton.feed(automaton.start, b'go {"') is None


def test_a_name_that_begins_another_name_stays_possible() -> None:
    automaton = Automaton(Constraint((ToolShape("light", ()), ToolShape("light_on", ())), ""))
    assert automaton.forced(automaton.start) == b"light"
    assert automaton.feed(automaton.start, b"light {}") == END
    assert automaton.feed(automaton.start, b"light_on {}") == END


@pytest.mark.parametrize(
    "tools",
    [
        (),
        (ToolShape("a", ()), ToolShape("a", ())),
        (ToolShape("", ()), ToolShape("a", ())),
        (ToolShape("a b", ()),),
    ],
)
def test_tools_that_cannot_be_told_apart_are_refused(tools: tuple[ToolShape, ...]) -> None:
    with pytest.raises(EngineError):
        Automaton(Constraint(tools))


@given(st.text())
def test_token_bytes_join_to_the_text(text: str) -> None:
    ids = tokenizer()(text, add_special_tokens=False)["input_ids"]
    clean = text.encode("utf-8", "replace").decode()
    if not any(mark in clean for mark in ("<|", "|>")):
        assert b"".join(table().bytes_of[i] for i in ids).decode() == clean
