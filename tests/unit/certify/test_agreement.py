from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offramp.certify.agreement import Difference, agree, differences, same
from offramp.core.call import Answer, OutputType, ToolCall
from offramp.core.measure import FITTING, Measure, default_of

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
def test_what_has_no_measure_never_agrees(output: OutputType) -> None:
    assert default_of(output) is None
    assert not agree(output, text("same"), text("same"))


@pytest.mark.parametrize("output", [OutputType.LABEL, OutputType.JSON, OutputType.TOOL_CALL])
def test_the_other_forms_have_a_measure_that_fits(output: OutputType) -> None:
    assert default_of(output) in FITTING[output]


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


def test_order_matters_only_where_the_measure_says_so() -> None:
    ours, teacher = tools(call("open"), call("close")), tools(call("close"), call("open"))
    assert same(Measure.TOOLS, ours, teacher)
    assert not same(Measure.TOOLS_IN_ORDER, ours, teacher)
    assert same(Measure.TOOLS_IN_ORDER, ours, ours)


@pytest.mark.parametrize(
    ("ours", "teacher", "alike"),
    [
        ("New York, NY", "new york ny", True),
        ("it's", 'it"s', True),
        ("GPT-4", "gpt4", True),
        ("sci-fi", "Sci Fi", True),
        ("Hello.", "hello", True),
        ("1.5", "15", False),
        ("-5", "5", False),
        ("2 3", "23", False),
        ("Room 5", "room5", True),
        ("2024-01-02", "20240102", False),
        ("Paris", "London", False),
        ("1", 1, False),
        (True, 1, False),
        (2.0, 2, True),
        (["A b"], ["ab"], True),
        ({"City": "a"}, {"city": "a"}, False),
    ],
)
def test_the_loose_measure_takes_strings_up_to_case_space_and_punctuation(
    ours: object, teacher: object, alike: bool
) -> None:
    pair = tools(call("f", x=ours)), tools(call("f", x=teacher))
    assert same(Measure.TOOLS_LOOSE, *pair) == alike
    assert not alike or not agree(OutputType.TOOL_CALL, *pair) or ours == teacher


def offering(**properties: JsonObject) -> JsonObject:
    schema = {"type": "object", "properties": properties, "required": ["must"]}
    return {"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}


@pytest.mark.parametrize(
    ("schema", "default"),
    [
        ({"type": "string", "default": "en"}, "EN"),
        ({"type": "integer", "default": 3}, 3.0),
        ({"type": "string", "description": "Language. Default is 'en'."}, "en"),
        ({"type": "string", "description": 'The unit (defaults to "km/h").'}, "km/h"),
        ({"type": "integer", "description": "Page size, default: 10."}, 10),
        ({"type": "number", "description": "Defaults to 0.5"}, 0.5),
        ({"type": "boolean", "description": "Default is False."}, False),
    ],
)
def test_the_loose_measure_takes_an_argument_left_out_for_its_default(
    schema: JsonObject, default: object
) -> None:
    request = offering(must={"type": "string"}, opt=schema)
    bare, full = tools(call("f", must="a")), tools(call("f", must="a", opt=default))
    assert same(Measure.TOOLS_LOOSE, bare, full, request)
    assert same(Measure.TOOLS_LOOSE, full, bare, request)
    assert not same(Measure.TOOLS_LOOSE, bare, full)
    assert not same(Measure.TOOLS, bare, full, request)
    assert not same(Measure.TOOLS_LOOSE, bare, tools(call("f", must="a", opt="other")), request)


@pytest.mark.parametrize(
    "request_",
    [
        offering(must={"type": "string", "default": "x"}),
        offering(opt={"type": "integer", "description": "Default is the screen's width."}),
        offering(opt={"type": "string"}),
        offering(opt={}) | {"tools": [{"function": {"name": "f", "parameters": []}}]},
        {"tools": [{"function": {"name": "f", "parameters": {"properties": {"opt": 3}}}}]},
    ],
)
def test_where_no_default_is_known_leaving_out_is_a_difference(request_: JsonObject) -> None:
    for argument in ("must", "opt"):
        assert not same(Measure.TOOLS_LOOSE, tools(call("f")), tools(call("f", **{argument: "x"})), request_)


@pytest.mark.parametrize(
    ("ours", "teacher", "alike"),
    [("Hello, world!", "hello world", True), ("yes", "no", False), ("", "", False), ("...", "...", False)],
)
def test_text_may_be_measured_up_to_case_space_and_punctuation(ours: str, teacher: str, alike: bool) -> None:
    assert same(Measure.TEXT, text(ours), text(teacher)) == alike


@given(st.sampled_from(list(Measure)), ARGUMENTS, ARGUMENTS)
def test_every_measure_is_symmetric_and_loose_ones_only_add(
    measure: Measure, left: JsonObject, right: JsonObject
) -> None:
    ours, theirs = (Answer(json.dumps(one), (ToolCall("f", one),)) for one in (left, right))
    assert same(measure, ours, theirs) == same(measure, theirs, ours)
    if same(Measure.TOOLS_IN_ORDER, ours, theirs):
        assert same(Measure.TOOLS, ours, theirs)
    if same(Measure.TOOLS, ours, theirs):
        assert same(Measure.TOOLS_LOOSE, ours, theirs)


@pytest.mark.parametrize(
    ("ours", "teacher", "found"),
    [
        ('{"a": 1, "b": "x"}', '{"a": 1.0, "b": "y"}', [("/b", "value")]),
        ('{"a": 1}', '{"a": "1"}', [("/a", "type")]),
        ('{"a": true}', '{"a": 1}', [("/a", "type")]),
        ('{"a": {"b": 1, "d": 0}}', '{"a": {"b": 1, "c": 2}}', [("/a/c", "missing"), ("/a/d", "extra")]),
        ("[1, 2, 3]", "[1, 3]", [("/*", "value"), ("/*", "extra")]),
        ('{"a": [{"n": 1}]}', '{"a": [{"n": 2}, {"n": 3}]}', [("/a/*/n", "value"), ("/a/*", "missing")]),
        ("[]", "{}", [("", "type")]),
        ("broken", "{}", [("", "value")]),
        ("1", "1", []),
    ],
)
def test_json_answers_differ_in_named_fields(ours: str, teacher: str, found: list[tuple[str, str]]) -> None:
    expected = {Difference(*one) for one in found}
    assert set(differences(OutputType.JSON, text(ours), text(teacher))) == expected


def test_tool_calls_differ_in_tools_and_arguments() -> None:
    ours = tools(call("f", a=1), call("f", a=2), call("h"))
    teacher = tools(call("f", a=1.0), call("f", a=3), call("g"))
    assert set(differences(OutputType.TOOL_CALL, ours, teacher)) == {
        Difference("/f/a", "value"),
        Difference("/g", "missing"),
        Difference("/h", "extra"),
    }
    assert differences(OutputType.TOOL_CALL, tools(), teacher) == (Difference("", "value"),)


@given(st.sampled_from([OutputType.JSON, OutputType.TOOL_CALL, OutputType.LABEL]), ARGUMENTS, ARGUMENTS)
def test_answers_differ_somewhere_exactly_where_they_disagree(
    output: OutputType, left: JsonObject, right: JsonObject
) -> None:
    tool = output is OutputType.TOOL_CALL
    ours, theirs = (
        Answer("" if tool else json.dumps(one), (ToolCall("f", one),) if tool else ())
        for one in (left, right)
    )
    assert (not differences(output, ours, theirs)) == agree(output, ours, theirs)


def test_a_measure_that_was_chosen_decides_in_place_of_the_forms_own() -> None:
    request = offering(must={"type": "string"}, unit={"type": "string", "default": "C"})
    ours, teacher = tools(call("f", must="New York")), tools(call("f", must="new york.", unit="c"))
    assert not agree(OutputType.TOOL_CALL, ours, teacher, request)
    assert agree(OutputType.TOOL_CALL, ours, teacher, request, measure=Measure.TOOLS_LOOSE)
    assert agree(OutputType.TEXT, text("Yes!"), text("yes"), measure=Measure.TEXT)


def test_what_is_loosely_the_same_is_no_difference() -> None:
    request = offering(must={"type": "string"}, unit={"type": "string", "default": "C"})
    ours, teacher = tools(call("f", must="A", n=1)), tools(call("f", must="a.", unit="c", n=2))
    strict = differences(OutputType.TOOL_CALL, ours, teacher, request)
    loose = differences(OutputType.TOOL_CALL, ours, teacher, request, measure=Measure.TOOLS_LOOSE)
    assert {one.path for one in strict} == {"/f/must", "/f/unit", "/f/n"}
    assert loose == (Difference("/f/n", "value"),)


def test_calls_in_another_order_differ_as_a_whole_where_order_matters() -> None:
    ours, teacher = tools(call("f"), call("g")), tools(call("g"), call("f"))
    found = differences(OutputType.TOOL_CALL, ours, teacher, measure=Measure.TOOLS_IN_ORDER)
    assert found == (Difference("", "value"),)
    assert differences(OutputType.TOOL_CALL, ours, teacher) == ()
