from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.discover.signature import SLOT, Signature, SignatureReader, skeleton, static_text

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

PROMPT = "You sort tickets of a help desk. Answer with the team's name."
WORDS = st.text("abcdefghijklmnopqrstuvwxyz ", min_size=1, max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
MESSAGE = st.fixed_dictionaries({}, optional={"role": JSON | st.just("system"), "content": JSON}) | JSON


def tool(name: str, *arguments: str, **extra: object) -> JsonObject:
    properties = {argument: {"type": "string", "description": f"the {argument}"} for argument in arguments}
    parameters = {"type": "object", "properties": properties, "required": list(arguments)}
    return {"type": "function", "function": {"name": name, "parameters": parameters, **extra}}


def request(payload: str, *, prompt: str = PROMPT, **fields: object) -> JsonObject:
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": payload}]
    return {"model": "m", "messages": messages, **fields}


def read(value: JsonObject) -> Signature:
    return SignatureReader().read(value)


@given(st.text(), st.text())
def test_the_payload_does_not_change_the_signature(one: str, other: str) -> None:
    assert read(request(one)) == read(request(other))


@given(st.permutations(["open", "close", "lock", "dim"]))
def test_the_order_of_the_tools_does_not_change_the_signature(names: list[str]) -> None:
    tools = [tool(name, "room", "time") for name in names]
    known = [tool(name, "room", "time") for name in ("open", "close", "lock", "dim")]
    assert read(request("x", tools=tools)).key == read(request("x", tools=known)).key


@given(WORDS, WORDS)
def test_another_prompt_is_another_signature(one: str, other: str) -> None:
    same = one.strip() == other.strip()
    assert (
        read(request("x", prompt=f"Do {one}")).key == read(request("x", prompt=f"Do {other}")).key
    ) is same


@pytest.mark.parametrize(
    "tools",
    [
        [tool("open", "room")],
        [tool("shut", "room", "time")],
        [tool("open", "room", "time"), tool("shut")],
        [],
    ],
)
def test_another_tool_list_is_another_signature(tools: list[JsonObject]) -> None:
    assert read(request("x", tools=tools)) != read(request("x", tools=[tool("open", "room", "time")]))


def test_the_order_of_required_and_enum_does_not_change_the_signature() -> None:
    def asked(values: list[str]) -> JsonObject:
        parameters = {"properties": {"a": {"enum": values}, "b": {}}, "required": values}
        return request("x", tools=[{"type": "function", "function": {"name": "f", "parameters": parameters}}])

    assert read(asked(["a", "b"])) == read(asked(["b", "a"]))
    assert read(asked(["a", "b"])) != read(asked(["a"]))


def test_a_tools_description_does_not_change_the_signature() -> None:
    plain, told = tool("open", "room"), tool("open", "room", description="Opens a room.")
    assert read(request("x", tools=[plain])) == read(request("x", tools=[told]))


def test_a_parameter_called_description_is_part_of_the_signature() -> None:
    assert read(request("x", tools=[tool("open", "description")])) != read(request("x", tools=[tool("open")]))


def test_the_older_functions_field_has_the_signature_of_tools() -> None:
    older = request("x", functions=[tool("open", "room")["function"]])
    assert read(older) == read(request("x", tools=[tool("open", "room")]))


def test_a_forced_tool_is_another_call_site() -> None:
    tools = [tool("open"), tool("shut")]
    forced = {"type": "function", "function": {"name": "open"}}
    assert read(request("x", tools=tools, tool_choice=forced)) != read(request("x", tools=tools))


def test_another_response_format_is_another_signature() -> None:
    assert read(request("x", response_format={"type": "json_object"})) != read(request("x"))
    assert read(request("x", response_format={"type": "text"})) == read(request("x"))


@given(st.sampled_from(["gpt-4o", "other"]), st.floats(0, 2), st.booleans())
def test_model_and_sampling_do_not_change_the_signature(model: str, temperature: float, stream: bool) -> None:
    other = {**request("x"), "model": model, "temperature": temperature, "stream": stream}
    assert read(other) == read(request("x"))


@pytest.mark.parametrize(
    "value",
    [
        "17",
        "3.50",
        "2024-05-15",
        "15:00:00",
        "mia_li_3668",
        "deadbeef0123456789",
        "0f8fad5b-d9cb-469f-a165-70867728950e",
        "ann@example.org",
        "https://example.org/a?b=c",
        '"the blue one"',
        "“the blue one”",
        "'the blue one'",
        "Wednesday",
    ],
)
def test_a_value_in_the_prompt_is_a_slot(value: str) -> None:
    assert skeleton(f"Serve {value} with care.") == f"Serve {SLOT} with care."


def test_apostrophes_are_not_quotes() -> None:
    assert skeleton("Don't read the users' mail; it's theirs.") == "Don't read the users' mail; it's theirs."


def test_a_list_of_values_is_one_slot() -> None:
    assert skeleton("Take 1, 2, 3 or four") == skeleton("Take 1, 2 or four")


def test_values_in_place_tell_wordings_of_one_signature_apart() -> None:
    one, other = request("x", prompt='Say "yes".'), request("x", prompt='Say "no".')
    assert read(one) == read(other)
    looks = [SignatureReader().look(item) for item in (one, other)]
    assert looks[0].wording != looks[1].wording


def test_leading_system_and_developer_messages_are_the_prompt() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "The user is cross."},
    ]
    assert static_text({"messages": messages}) == ("system", "Be brief.\nBe kind.")


def test_without_a_prompt_the_first_user_message_is_the_frame() -> None:
    messages = [{"role": "user", "content": "Sort this"}, {"role": "user", "content": "and that"}]
    assert static_text({"messages": messages}) == ("user", "Sort this")


def test_a_long_message_is_read_from_both_ends() -> None:
    def framed(size: int) -> JsonObject:
        return {"messages": [{"role": "user", "content": f"Sum up: {'so ' * size}Answer in one line."}]}

    frame = read(framed(500_000)).frame
    assert len(frame) < 10_000
    assert frame.startswith("Sum up:")
    assert frame.endswith("Answer in one line.")


@given(st.dictionaries(st.sampled_from(["tools", "functions", "tool_choice", "response_format"]), JSON), JSON)
def test_odd_requests_are_read_without_an_error(fields: dict[str, Any], messages: object) -> None:
    assert read({"messages": messages, **fields}).kind == "user"


@given(st.lists(MESSAGE, max_size=4))
def test_odd_messages_are_read_without_an_error(messages: list[object]) -> None:
    assert read({"messages": messages}).key


def test_a_reader_that_remembers_reads_the_same() -> None:
    reader = SignatureReader()
    requests = [request("x", prompt=f"Do {word}", tools=[tool(word)]) for word in ("this", "that", "this")]
    assert [reader.read(r) for r in requests] == [read(r) for r in requests]
