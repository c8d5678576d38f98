from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offramp.certify.agreement import agree, measurable
from offramp.core.call import Answer, OutputType, ToolCall

if TYPE_CHECKING:
    from random import Random

    from offramp.core.json import JsonObject

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=4)


def call(name: str, **arguments: object) -> ToolCall:
    return ToolCall(name, arguments)


def text(value: str) -> Answer:
    return Answer(text=value)


def tools(*calls: ToolCall, said: str = "") -> Answer:
    return Answer(text=said, tool_calls=calls)


def floats_for_integers(value: object) -> object:
    if isinstance(value, dict):
        return {key: floats_for_integers(item) for key, item in reversed(value.items())}
    if isinstance(value, list):
        return [floats_for_integers(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@pytest.mark.parametrize("output", [OutputType.TEXT, OutputType.ERROR])
def test_what_needs_a_judge_is_not_measurable_and_never_agrees(output: OutputType) -> None:
    assert not measurable(output)
    assert not agree(output, text("same"), text("same"))


@pytest.mark.parametrize("output", [OutputType.LABEL, OutputType.JSON, OutputType.TOOL_CALL])
def test_the_other_forms_are_measurable(output: OutputType) -> None:
    assert measurable(output)


@pytest.mark.parametrize(
    ("ours", "teacher"),
    [
        ("Billing", "billing"),
        (" billing\n", "billing"),
        ('"billing"', "billing"),
        ("billing.", "`Billing`"),
        ("card  arrival", "Card Arrival"),
        ('{"intent": "Billing"}', '{"intent":"billing "}'),
        ('{"score": 1.0}', '{"score": 1}'),
        ('{"a": 1, "b": "x"}', '{"b": "x", "a": 1.0}'),
        ("3", "3"),
    ],
)
def test_labels_agree_whatever_their_case_space_and_quotes(ours: str, teacher: str) -> None:
    assert agree(OutputType.LABEL, text(ours), text(teacher))


@pytest.mark.parametrize(
    ("ours", "teacher"),
    [
        ("billing", "refund"),
        ("billing", '{"intent": "billing"}'),
        ('{"label": "billing"}', '{"intent": "billing"}'),
        ('{"on": true}', '{"on": "true"}'),
        ('{"on": true}', '{"on": 1}'),
        ('{"a": "X", "b": 1}', '{"a": "x", "b": 1}'),
        ("", ""),
        ("...", "..."),
        ('{"score": NaN}', '{"score": NaN}'),
    ],
)
def test_labels_disagree_where_text_field_or_type_differs(ours: str, teacher: str) -> None:
    assert not agree(OutputType.LABEL, text(ours), text(teacher))


def test_a_label_beside_a_tool_call_is_not_the_label_alone() -> None:
    assert not agree(OutputType.LABEL, Answer("billing", (call("f"),)), text("billing"))


@given(VALUES)
def test_json_agrees_whatever_the_key_order_space_and_whole_floats(value: object) -> None:
    ours = json.dumps(floats_for_integers(value), indent=2)
    assert agree(OutputType.JSON, text(ours), text(json.dumps(value)))


@given(VALUES, VALUES)
def test_json_agrees_only_as_equal_values(left: object, right: object) -> None:
    same = json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
    assert agree(OutputType.JSON, text(json.dumps(left)), text(json.dumps(right))) == same


@pytest.mark.parametrize(
    ("ours", "teacher"),
    [
        ('{"a": 1}', '{"a": "1"}'),
        ('{"a": null}', "{}"),
        ("[1, 2]", "[2, 1]"),
        ('{"a": true}', '{"a": 1}'),
        ('{"a": 0.5}', '{"a": 0.25}'),
        ("not json", "not json"),
        ("[NaN]", "[NaN]"),
        ("[Infinity]", "[Infinity]"),
        ("", ""),
    ],
)
def test_json_disagrees_where_values_differ_or_are_none(ours: str, teacher: str) -> None:
    assert not agree(OutputType.JSON, text(ours), text(teacher))


def test_json_agrees_on_null() -> None:
    assert agree(OutputType.JSON, text("null"), text(" null "))


def test_json_agrees_on_fractions() -> None:
    assert agree(OutputType.JSON, text("[0.50, 1e2]"), text("[0.5, 100]"))


def test_json_nested_beyond_the_decoder_disagrees() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    assert not agree(OutputType.JSON, text(deep), text(deep))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["f", "g"]), ARGUMENTS), min_size=1, max_size=4), st.randoms())
def test_tool_calls_agree_in_any_order(calls: list[tuple[str, JsonObject]], random: Random) -> None:
    teacher = [ToolCall(name, arguments) for name, arguments in calls]
    ours = [ToolCall(name, dict(reversed(arguments.items()))) for name, arguments in calls]
    random.shuffle(ours)
    assert agree(OutputType.TOOL_CALL, tools(*ours), tools(*teacher, said="Let me see."))


def test_tool_calls_agree_on_whole_floats() -> None:
    ours, teacher = tools(call("set", level=3.0)), tools(call("set", level=3))
    assert agree(OutputType.TOOL_CALL, ours, teacher)


@pytest.mark.parametrize(
    ("ours", "teacher"),
    [
        (tools(call("f", a=1)), tools(call("g", a=1))),
        (tools(call("f", a=1)), tools(call("f", a="1"))),
        (tools(call("f", a=1)), tools(call("f", a=1, b=None))),
        (tools(call("f")), tools(call("f"), call("f"))),
        (tools(call("f", a=1), call("g", a=2)), tools(call("f", a=2), call("g", a=1))),
        (tools(call("f", a=float("nan"))), tools(call("f", a=float("nan")))),
        (tools(), tools()),
        (tools(said="hello"), tools(said="hello")),
        (tools(call("f")), tools(said="f")),
    ],
)
def test_tool_calls_disagree_where_any_part_differs(ours: Answer, teacher: Answer) -> None:
    assert not agree(OutputType.TOOL_CALL, ours, teacher)


@given(
    st.sampled_from(list(OutputType)),
    st.text(max_size=12) | VALUES.map(json.dumps),
    st.text(max_size=12) | VALUES.map(json.dumps),
)
def test_agreement_is_symmetric(output: OutputType, left: str, right: str) -> None:
    assert agree(output, text(left), text(right)) == agree(output, text(right), text(left))
