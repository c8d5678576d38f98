from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.call import Answer, Call, OutputType, ToolCall
from offramp.core.dataset import Item
from offramp.core.model import Constraint, Example, ToolShape
from offramp.core.render import (
    AnswerFacts,
    constraint_of,
    is_text_only,
    observe,
    parse_completion,
    payload_of,
    render_completion,
    render_example,
    render_prompt,
)

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

NAME = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
OBJECT = st.dictionaries(st.text(), VALUE, max_size=5)
LABEL = st.text(min_size=1, max_size=64).map(str.strip).filter(lambda t: t and "\n" not in t and t[0] != "{")
LIGHT = {
    "type": "function",
    "function": {"name": "light", "parameters": {"type": "object", "properties": {"room": {}, "time": {}}}},
}


def asked(*turns: JsonObject, **fields: object) -> JsonObject:
    return {"messages": [{"role": "system", "content": "Be brief."}, *turns], **fields}


def user(content: object) -> JsonObject:
    return {"role": "user", "content": content}


@given(NAME, OBJECT)
def test_a_tool_call_comes_back_as_it_was(name: str, arguments: JsonObject) -> None:
    answer = Answer(tool_calls=(ToolCall(name, arguments),))
    completion = render_completion(OutputType.TOOL_CALL, answer)
    assert completion is not None
    assert parse_completion(OutputType.TOOL_CALL, completion) == answer


@given(OBJECT, st.sampled_from([OutputType.JSON, OutputType.LABEL]), st.sampled_from([None, 2]))
def test_json_comes_back_equal_whatever_its_spacing(
    value: JsonObject, output: OutputType, indent: int | None
) -> None:
    completion = render_completion(output, Answer(text=json.dumps(value, indent=indent)))
    assert completion is not None
    parsed = parse_completion(output, completion)
    assert parsed is not None
    assert json.loads(parsed.text) == value
    assert parsed.text == completion


@given(LABEL)
def test_a_label_comes_back_as_it_was(label: str) -> None:
    completion = render_completion(OutputType.LABEL, Answer(text=label))
    assert completion == label
    assert parse_completion(OutputType.LABEL, completion) == Answer(text=label)


@given(st.text(), st.sampled_from(list(OutputType)))
def test_any_text_is_parsed_or_refused(text: str, output: OutputType) -> None:
    answer = parse_completion(output, text)
    assert answer is None or render_completion(output, answer) is not None


def test_arguments_keep_the_teachers_order_and_no_spaces() -> None:
    answer = Answer(tool_calls=(ToolCall("light", {"time": "now", "room": "café"}),))
    assert render_completion(OutputType.TOOL_CALL, answer) == 'light {"time":"now","room":"café"}'
    none = Answer(tool_calls=(ToolCall("light", {}),))
    assert render_completion(OutputType.TOOL_CALL, none) == "light {}"


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        (OutputType.TOOL_CALL, Answer(text="no")),
        (OutputType.TOOL_CALL, Answer(tool_calls=(ToolCall("a", {}), ToolCall("b", {})))),
        (OutputType.TOOL_CALL, Answer(text="Sure.", tool_calls=(ToolCall("a", {}),))),
        (OutputType.JSON, Answer(text="yes")),
        (OutputType.JSON, Answer(text="[1]")),
        (OutputType.LABEL, Answer(text="")),
        (OutputType.LABEL, Answer(text="one\ntwo")),
        (OutputType.LABEL, Answer(text="x" * 65)),
        (OutputType.LABEL, Answer(tool_calls=(ToolCall("a", {}),))),
        (OutputType.TEXT, Answer(text=" \n")),
        (OutputType.TEXT, Answer(text="yes", tool_calls=(ToolCall("a", {}),))),
        (OutputType.ERROR, Answer(text="yes")),
    ],
)
def test_an_answer_of_another_form_is_not_rendered(output: OutputType, answer: Answer) -> None:
    assert render_completion(output, answer) is None


@pytest.mark.parametrize("text", ["", "light", "light {", 'light ["a"]', ' {"a":1}', "light {} {}"])
def test_text_that_is_no_tool_call_is_refused(text: str) -> None:
    assert parse_completion(OutputType.TOOL_CALL, text) is None


def test_the_payload_of_a_single_turn_is_the_users_text() -> None:
    assert payload_of(asked(user("dim the lights"))) == "dim the lights"
    assert (
        payload_of(asked(user([{"type": "text", "text": "dim"}, {"type": "text", "text": "them"}])))
        == "dim\nthem"
    )
    assert payload_of({"messages": [user("no prompt")]}) == "no prompt"


def test_the_payload_of_a_dialogue_is_every_turn_with_its_role() -> None:
    called = {"function": {"name": "light", "arguments": '{"room":"hall"}'}}
    request = asked(
        user("dim it"),
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "1", "content": "done"},
        {"role": "assistant", "function_call": {"name": "end"}, "content": "Bye."},
    )
    lines = ["user: dim it", 'assistant: light {"room":"hall"}', "tool: done", "assistant: Bye. end {}"]
    assert payload_of(request).split("\n") == lines


def test_the_prompt_opens_with_the_hint() -> None:
    assert render_prompt("iot", asked(user("dim"))) == "iot: dim"


def test_an_example_keeps_its_lineage() -> None:
    call = Call("c1", 0.0, "s", "", asked(user("dim")), {})
    answer = Answer(tool_calls=(ToolCall("light", {}),))
    rendered = render_example(call, answer, hint="iot", output=OutputType.TOOL_CALL)
    assert rendered == Example("c1", "iot: dim", "light {}")
    assert render_example(call, answer, hint="iot", output=OutputType.JSON) is None


def test_images_are_not_text() -> None:
    assert is_text_only(asked(user("x"), {"role": "assistant", "content": None}))
    assert is_text_only(asked(user([{"type": "text", "text": "x"}])))
    assert not is_text_only(
        asked(user([{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {}}]))
    )


def taught(request: JsonObject, *answers: Answer, origin: str = "") -> list[Item]:
    calls = [Call(f"{origin}{n}", 0.0, f"{origin}{n}", origin, request, {}) for n in range(len(answers))]
    example = Example("", "", "")
    return [Item(call, "t", answer, example, "") for call, answer in zip(calls, answers, strict=True)]


def test_values_found_in_nine_of_ten_payloads_are_copied() -> None:
    hall, attic = (
        Answer(tool_calls=(ToolCall("light", {"room": room, "n": 1}),)) for room in ("hall", "attic")
    )
    request = asked(user("dim the hall"))
    assert observe(taught(request, *[hall] * 9, attic)) == AnswerFacts(copies=True)
    assert observe(taught(request, *[hall] * 8, *[attic] * 2)) == AnswerFacts(copies=False)
    assert observe([]) == AnswerFacts()


def test_values_inside_lists_and_objects_count_as_values() -> None:
    answer = Answer(tool_calls=(ToolCall("light", {"rooms": ["hall", {"name": "attic"}]}),))
    assert observe(taught(asked(user("dim hall and attic")), answer)).copies
    assert not observe(taught(asked(user("dim the hall")), answer)).copies


def test_json_keys_are_observed_in_the_teachers_order() -> None:
    answers = [Answer(text=text) for text in ('{"b":1,"a":2}', '{"b":1,"c":2}')]
    assert observe(taught(asked(user("x")), *answers), min_origins=1).keys == ("b", "a", "c")


def test_a_key_that_one_asker_was_told_is_nobody_elses() -> None:
    request, plain = asked(user("x")), Answer(text='{"b":1}')
    items = [item for who in "pqrst" for item in taught(request, plain, origin=who)]
    items += taught(request, Answer(text='{"b":1,"jane roe":2}'), origin="p")
    assert observe(items).keys == ("b",)
    assert observe(items, min_origins=1).keys == ("b", "jane roe")


def test_a_tool_call_is_bound_to_the_tools_of_its_request() -> None:
    request = asked(user("dim"), tools=[LIGHT, {"type": "function", "function": {"name": "end"}}])
    shapes = (ToolShape("light", ("room", "time")), ToolShape("end", ()))
    assert constraint_of(request, OutputType.TOOL_CALL, AnswerFacts()) == Constraint(shapes)
    copied = constraint_of(request, OutputType.TOOL_CALL, AnswerFacts(copies=True))
    assert copied == Constraint(shapes, copy_from="dim")


def test_json_is_bound_to_the_schema_or_else_to_observed_keys() -> None:
    schema = {"type": "json_schema", "json_schema": {"schema": {"properties": {"x": {}}}}}
    facts = AnswerFacts(keys=("intent",))
    asked_for = constraint_of(asked(user("a"), response_format=schema), OutputType.JSON, facts)
    assert asked_for == Constraint((ToolShape("", ("x",)),))
    free = constraint_of(asked(user("a"), response_format={"type": "json_object"}), OutputType.LABEL, facts)
    assert free == Constraint((ToolShape("", ("intent",)),))


def test_a_plain_label_is_bound_by_nothing() -> None:
    assert constraint_of(asked(user("a")), OutputType.LABEL, AnswerFacts()) is None
