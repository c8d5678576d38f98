from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from offramp.core.call import Answer, Call, OutputType, ToolCall
from offramp.core.dataset import Item
from offramp.core.model import Example
from offramp.engine.extractive_decode import Wording, copied
from offramp.engine.extractive_model import tokens_of
from offramp.engine.extractive_schema import Form, Schema
from offramp.testing.traffic import ask, tool, use
from offramp.train.extractive_targets import Tracer, places, said, schema_of

if TYPE_CHECKING:
    from offramp.core.json import JsonObject
    from offramp.engine.extractive_model import Tokens

TOOLS = (tool("wake", "time", "day"), tool("play", "song", "loud"))


def words(payload: str) -> Tokens:
    """One token a word, between two special tokens."""
    spans, start = [(0, 0)], 0
    for word in payload.split(" "):
        spans.append((start, start + len(word)))
        start += len(word) + 1
    spans.append((0, 0))
    return tokens_of(payload, range(len(spans)), spans)


def called(payload: str, name: str, task: str = "t", **arguments: Any) -> Item:
    call = Call(payload, 0.0, payload, "", ask("Help.", payload, TOOLS), use(name))
    completion = f"{name} {json.dumps(arguments, separators=(',', ':'))}"
    return Item(
        call, task, Answer(tool_calls=(ToolCall(name, arguments),)), Example("", "", completion), payload
    )


@pytest.mark.parametrize(
    ("payload", "value", "found"),
    [
        ("wake me at six", "six", ((11, 14),)),
        ("wake me at sixteen", "six", None),
        ("a six and a six", "six", ((2, 5),)),
        ("from oslo to rome", "oslo, rome", ((5, 9), (13, 17))),
        ("from rome to oslo", "oslo, rome", ((13, 17), (5, 9))),
        ("the oslo, rome line", "oslo, rome", ((4, 14),)),
        ("a train by train", "train, train", ((2, 7), (11, 16))),
        ("only oslo", "oslo, rome", None),
        ("buy milk and tea", ["milk", "tea"], ((4, 8), (13, 16))),
        ("buy milk", [], None),
        ("buy milk", ["milk", 3], None),
        ("set it to 21.5 now", 21.5, ((10, 14),)),
        ("set it to 7 now", 7, ((10, 11),)),
        ("true is true", True, None),
        ("null", None, None),
        ("anything", "", None),
        ("anything", {"a": 1}, None),
    ],
)
def test_values_are_found_as_whole_words(payload: str, value: Any, found: object) -> None:
    assert places(payload, value) == found


def test_completions_are_taken_apart() -> None:
    assert said(OutputType.TOOL_CALL, 'wake {"time":"six"}').arguments == {"time": "six"}
    assert said(OutputType.JSON, '{"time":"six"}') == said(OutputType.TOOL_CALL, ' {"time":"six"}')
    assert said(OutputType.LABEL, '{"team":"a"}').label == '{"team":"a"}'


def test_the_schema_is_what_training_showed() -> None:
    items = [
        called("wake me at six", "wake", time="six"),
        called("play the waltz", "play", "u", song="waltz", loud="no"),
        called("play the polka", "play", "u", song="polka", loud="no"),
        called("play the march, odd", "play", "u", song="march", loud="odd"),
    ]
    schema = schema_of(items, OutputType.TOOL_CALL, 1)
    assert (schema.tasks, schema.labels, schema.keys) == (
        ("t", "u"),
        ("play", "wake"),
        ("time", "song", "loud"),
    )
    assert schema.of_task == ((1,), (0,))
    loud = next(pair for pair in schema.pairs if schema.keys[pair.key] == "loud")
    assert loud.constants == ('"no"',)
    assert schema.constants == 2
    assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema


def test_an_argument_that_is_mostly_fixed_is_never_copied() -> None:
    items = [called(f"play {word}", "play", loud="no") for word in ("a", "b", "no")]
    schema = schema_of(items, OutputType.TOOL_CALL)
    target = Tracer(schema).target('play {"loud":"no"}', "play no", words("play no"))
    assert target is not None
    assert (target.tags, target.constants) == ((0, 0), {0: 1})


def test_labels_seen_once_are_no_classes() -> None:
    def labelled(payload: str, label: str) -> Item:
        call = Call(payload, 0.0, payload, "", ask("Sort.", payload), {})
        return Item(call, "t", Answer(label), Example("", "", label), payload)

    schema = schema_of([labelled("a", "x"), labelled("b", "x"), labelled("c", "y")], OutputType.LABEL, 1)
    assert schema.labels == ("x",)
    assert Tracer(schema).target("y", "c", words("c")) is None


def by(origin: str, item: Item) -> Item:
    return replace(item, call=replace(item.call, origin=origin))


def test_a_fixed_value_that_one_origin_repeats_is_not_kept() -> None:
    items = [by(str(n), called(f"play {n}", "play", song=str(n), loud="no")) for n in range(5)]
    items += [by("one", called(f"play {n}", "play", song="my secret", loud="no")) for n in range(5, 20)]
    (song, loud) = schema_of(items, OutputType.TOOL_CALL).pairs
    assert (song.constants, loud.constants) == ((), ('"no"',))
    assert schema_of(items, OutputType.TOOL_CALL, 1).pairs[0].constants == ('"my secret"',)


def test_labels_and_json_keys_of_one_origin_are_not_kept_and_names_of_offered_tools_are() -> None:
    def told(completion: str) -> list[Item]:
        common = [by(str(n), called(str(n), "")) for n in range(5)]
        rare = [by("one", called(str(n), "")) for n in range(5, 12)]
        return [replace(item, example=Example("", "", '{"a":1}')) for item in common] + [
            replace(item, example=Example("", "", completion)) for item in rare
        ]

    labels = schema_of(told("my secret"), OutputType.LABEL)
    assert (labels.labels, labels.of_task) == (('{"a":1}',), ((0,),))
    body = schema_of(told('{"a":1,"my secret":2}'), OutputType.JSON)
    assert (body.labels, body.keys) == (("",), ("a",))
    tools = [by("one", called(str(n), "play", song=str(n))) for n in range(3)]
    offered = schema_of([*tools, by("other", called("wake 6", "wake", time="6"))], OutputType.TOOL_CALL)
    assert (offered.labels, offered.keys) == (("play", "wake"), ("song", "time"))


ROUND_TRIPS: list[tuple[str, JsonObject]] = [
    ("wake me at six on friday", {"time": "six", "day": "friday"}),
    ("wake me at half past six", {"time": "half past six"}),
    ("wake me six and seven", {"time": "six, seven"}),
    ("wake me at six-ish", {"time": "six-ish"}),
    ("wake me", {}),
]


@pytest.mark.parametrize(("payload", "arguments"), ROUND_TRIPS)
def test_what_was_traced_is_said_again(payload: str, arguments: JsonObject) -> None:
    item = called(payload, "wake", **arguments)
    schema = schema_of([item], OutputType.TOOL_CALL)
    tokens = words(payload)
    target = Tracer(schema).target(item.example.completion, payload, tokens)
    assert target is not None
    assert target.tags is not None
    texts = copied(payload, tokens, target.tags)
    completion = Wording(schema).completion(target.label, texts, {})
    assert completion is not None
    assert said(OutputType.TOOL_CALL, completion) == said(OutputType.TOOL_CALL, item.example.completion)


@pytest.mark.parametrize(("value", "form"), [(["milk", "tea"], Form.LIST), (7, Form.NUMBER)])
def test_lists_and_numbers_keep_their_form(value: Any, form: Form) -> None:
    payload = "play 7 milk and tea"
    schema = schema_of([called(payload, "play", song=value)], OutputType.TOOL_CALL)
    assert schema.pairs[0].form is form
    target = Tracer(schema).target(f'play {{"song":{json.dumps(value)}}}', payload, words(payload))
    assert target is not None
    assert target.tags is not None
    completion = Wording(schema).completion(0, copied(payload, words(payload), target.tags), {})
    assert said(OutputType.TOOL_CALL, completion or "").arguments == {"song": value}


def test_a_text_that_is_no_number_is_no_answer() -> None:
    schema = schema_of([called("play 7", "play", song=7)], OutputType.TOOL_CALL)
    assert Wording(schema).completion(0, {0: ["seven"]}, {}) is None


@pytest.mark.parametrize("arguments", ['{"time":"noon"}', '{"who":"me"}', '{"time":"me","day":"wake me"}'])
def test_arguments_that_cannot_be_traced_teach_the_name_only(arguments: str) -> None:
    items = [called("wake me at six on friday", "wake", time="six", day="friday")]
    schema = schema_of(items, OutputType.TOOL_CALL)
    target = Tracer(schema).target(f"wake {arguments}", "wake me", words("wake me"))
    assert target is not None
    assert (target.label, target.tags) == (0, None)
