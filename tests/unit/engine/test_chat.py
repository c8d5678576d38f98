from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from offramp.core.call import Answer, OutputType, ToolCall
from offramp.core.errors import EngineError, OfframpError, UpstreamError
from offramp.core.model import Constraint, EngineRequest, ToolShape
from offramp.engine.chat import tokens_of
from offramp.engine.chat_engine import ChatEngine
from offramp.engine.cheaper_specialist import CheaperSpecialist
from offramp.engine.specialist import Card, TaskCard, TaskRequest
from offramp.testing.traffic import ask, say, tool, use

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from offramp.core.json import JsonObject

    Reply = JsonObject | OfframpError


class FakeChat:
    """Answers by a rule, and remembers what it was asked."""

    def __init__(self, rule: Callable[[JsonObject], Reply]) -> None:
        self._rule = rule
        self.asked: list[JsonObject] = []

    def ask(self, requests: Sequence[JsonObject]) -> list[Reply]:
        self.asked += requests
        return [self._rule(request) for request in requests]


def with_logprobs(response: JsonObject, *logprobs: float) -> JsonObject:
    text = response["choices"][0]["message"]["content"]
    step = math.ceil(len(text) / len(logprobs))
    content = [
        {"token": text[i * step : (i + 1) * step], "logprob": value} for i, value in enumerate(logprobs)
    ]
    return {"choices": [{**response["choices"][0], "logprobs": {"content": content}}]}


def test_tokens_are_read_with_their_log_probabilities() -> None:
    found = tokens_of(with_logprobs(say("yes sir"), -0.5, -0.1))
    assert [(token.text, token.logprob) for token in found] == [("yes ", -0.5), ("sir", -0.1)]


def test_log_probabilities_are_kept_within_reason() -> None:
    found = tokens_of(with_logprobs(say("abc"), -9999, 0.0001, -1))
    assert [token.logprob for token in found] == [-100.0, 0.0, -1.0]


ODD: list[Any] = [
    {},
    {"choices": []},
    {"choices": ["x"]},
    {"choices": [{"logprobs": None}]},
    {"choices": [{"logprobs": {"content": "x"}}]},
    {"choices": [{"logprobs": {"content": [None]}}]},
    {"choices": [{"logprobs": {"content": [{"token": "a"}]}}]},
    {"choices": [{"logprobs": {"content": [{"token": "a", "logprob": True}]}}]},
    {"choices": [{"logprobs": {"content": [{"token": "a", "logprob": math.nan}]}}]},
]


@pytest.mark.parametrize("response", ODD, ids=str)
def test_odd_log_probabilities_are_none(response: JsonObject) -> None:
    assert tokens_of(response) == ()


def test_a_server_is_an_engine() -> None:
    chat = FakeChat(lambda _: with_logprobs(say("on {}"), -0.2, -0.1))
    (completion,) = ChatEngine(chat, "small").complete([EngineRequest("", "light", None, 7)])
    assert (completion.text, completion.finished) == ("on {}", True)
    assert completion.logprobs == (-0.2, -0.1)
    assert "".join(completion.pieces) == completion.text
    (asked,) = chat.asked
    assert asked["messages"] == [{"role": "user", "content": "light"}]
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == ("small", 0, 7)


def test_an_answer_without_log_probabilities_is_still_one() -> None:
    (completion,) = ChatEngine(FakeChat(lambda _: say("on {}")), "m").complete([EngineRequest("", "x")])
    assert (completion.text, completion.logprobs, completion.pieces) == ("on {}", (0.0,), ("on {}",))


def test_an_answer_cut_by_the_limit_is_unfinished() -> None:
    cut = {"choices": [{**say("on")["choices"][0], "finish_reason": "length"}]}
    (completion,) = ChatEngine(FakeChat(lambda _: cut), "m").complete([EngineRequest("", "x")])
    assert not completion.finished


def test_a_constraint_to_one_object_becomes_a_schema_and_one_to_tools_does_not() -> None:
    chat = FakeChat(lambda _: say("{}"))
    engine = ChatEngine(chat, "m")
    engine.complete([EngineRequest("", "x", Constraint((ToolShape("", ("a", "b")),)))])
    engine.complete([EngineRequest("", "x", Constraint((ToolShape("on", ("a",)),)))])
    schema = chat.asked[0]["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["a", "b"]
    assert "response_format" not in chat.asked[1]


def test_a_servers_trouble_and_its_adapters_are_errors(tmp_path: Path) -> None:
    engine = ChatEngine(FakeChat(lambda _: UpstreamError("HTTP 500: on fire")), "m")
    with pytest.raises(EngineError, match=r"'m' gave no answer: HTTP 500: on fire"):
        engine.complete([EngineRequest("", "x")])
    with pytest.raises(EngineError, match="Adapter 'a' is not loaded"):
        engine.complete([EngineRequest("a", "x")])
    with pytest.raises(EngineError, match="cannot be given the adapter"):
        engine.load("a", tmp_path)


def test_tokens_are_counted_on_the_safe_side() -> None:
    engine = ChatEngine(FakeChat(lambda _: say("x")), "m", context=100)
    assert engine.context == 100
    assert engine.count("word " * 20) >= 40


TOOLS = (tool("on", "room"),)


def cheaper(
    chat: FakeChat, output: OutputType = OutputType.LABEL, *, logprobs: bool = True
) -> CheaperSpecialist:
    card = Card(
        "cheaper-1", "cheaper", {"t": TaskCard("hint", output)}, "mini", training={"logprobs": logprobs}
    )
    return CheaperSpecialist(card, chat)


def item(**fields: object) -> TaskRequest:
    return TaskRequest("t", {**ask("Route it.", "my card is lost", TOOLS), **fields})


def test_the_same_request_goes_to_the_cheaper_model_twice() -> None:
    chat = FakeChat(lambda _: with_logprobs(say("cards"), -0.3, -0.1))
    fields = {
        "stream": True,
        "n": 3,
        "user": "u-1",
        "metadata": {"a": "b"},
        "max_tokens": 5,
        "temperature": 0.4,
    }
    (seen,) = cheaper(chat).consider([item(**fields)])
    assert seen.answer == Answer("cards")
    first, second = chat.asked
    assert (first["model"], first["temperature"], first["max_tokens"]) == ("mini", 0, 5)
    assert first["tools"] == list(TOOLS)
    assert second["temperature"] == 1.0
    assert first["messages"] == second["messages"]
    assert not {"stream", "n", "user", "metadata"} & (set(first) | set(second))
    assert seen.features[:4] == pytest.approx((-0.4, -0.3, -0.2, math.exp(-0.4)))
    assert seen.features[4:6] == (1.0, 1.0)


def test_a_second_sample_that_says_otherwise_is_a_doubt() -> None:
    chat = FakeChat(lambda request: say("cards" if request["temperature"] == 0 else "loans"))
    (seen,) = cheaper(chat).consider([item()])
    assert seen.answer == Answer("cards")
    assert seen.features[4:6] == (0.0, 1.0)


def test_log_probabilities_are_not_asked_for_where_there_are_none() -> None:
    chat = FakeChat(lambda _: say("cards"))
    (seen,) = cheaper(chat, logprobs=False).consider([item()])
    assert all("logprobs" not in request for request in chat.asked)
    assert seen.features[:4] == (0.0, 0.0, 0.0, 0.0)


def test_tool_calls_are_compared_in_their_compact_form() -> None:
    chat = FakeChat(lambda _: use("on", room="hall"))
    (seen,) = cheaper(chat, OutputType.TOOL_CALL).consider([item()])
    assert seen.answer == Answer(tool_calls=(ToolCall("on", {"room": "hall"}),))
    assert seen.features[4] == 1.0


def test_an_answer_in_another_form_is_none() -> None:
    (seen,) = cheaper(FakeChat(lambda _: say("Sure!\nIt is cards."))).consider([item()])
    assert seen.answer is None
    assert set(seen.features) == {0.0}


def test_one_failure_leaves_the_others_and_all_of_them_are_an_error() -> None:
    def rule(request: JsonObject) -> Reply:
        return UpstreamError("HTTP 429: slow down") if request.get("stop") == "fail" else say("cards")

    good, bad = cheaper(FakeChat(rule)).consider([item(), item(stop="fail")])
    assert (good.answer, bad.answer) == (Answer("cards"), None)
    with pytest.raises(EngineError, match="mini gave no answer: HTTP 429"):
        cheaper(FakeChat(rule)).consider([item(stop="fail")])
    assert cheaper(FakeChat(rule)).consider([]) == []


def test_a_cheaper_specialist_is_its_card(tmp_path: Path) -> None:
    made = cheaper(FakeChat(lambda _: say("cards")))
    made.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["specialist.json"]
    assert json.loads((tmp_path / "specialist.json").read_text())["base"] == "mini"
    assert CheaperSpecialist.load(tmp_path, FakeChat(lambda _: say("cards"))).consider([item()])
