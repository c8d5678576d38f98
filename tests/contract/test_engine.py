"""What every engine keeps to, run against each implementation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from offramp.core.errors import EngineError
from offramp.core.model import Constraint, EngineRequest, ToolShape
from offramp.engine.embedded import EmbeddedEngine
from offramp.engine.nano import NANO_BASE

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.engine.port import Engine

ALARM = Constraint((ToolShape("alarm_set", ("time", "date")), ToolShape("alarm_query", ("date",))))


@pytest.fixture(scope="module", params=["embedded"])
def engine() -> Engine:
    return EmbeddedEngine(NANO_BASE)


def ask(text: str, *, copy: bool = True, max_tokens: int = 96) -> EngineRequest:
    constraint = Constraint(ALARM.tools, text if copy else None)
    return EngineRequest("", f"alarm: {text}", constraint, max_tokens)


def test_no_requests_give_no_completions(engine: Engine) -> None:
    assert engine.complete([]) == []


def test_a_prompt_is_counted_before_it_is_asked(engine: Engine) -> None:
    short, long = "wake me", "wake me " * 40
    assert 0 < engine.count(short) < engine.count(long)
    assert engine.context >= engine.count(long)
    room = engine.context - engine.count(short)
    with pytest.raises(EngineError):
        engine.complete([EngineRequest("", short * (room + 1), None, 1)])


def test_completions_come_in_the_order_of_the_requests(engine: Engine) -> None:
    texts = ["wake me at six tomorrow", "noon", "which alarms are on friday and on saturday and on sunday"]
    together = engine.complete([ask(text) for text in texts])
    alone = [engine.complete([ask(text)])[0] for text in texts]
    assert [one.text for one in together] == [one.text for one in alone]


def test_pieces_join_to_the_text_and_have_one_logprob_each(engine: Engine) -> None:
    (completion,) = engine.complete([ask("wake me at six tomorrow")])
    assert "".join(completion.pieces) == completion.text
    assert len(completion.logprobs) == len(completion.pieces)
    assert all(logprob <= 0 for logprob in completion.logprobs)


def test_a_constrained_answer_is_an_allowed_call(engine: Engine) -> None:
    (completion,) = engine.complete([ask("wake me at six tomorrow")])
    name, _, body = completion.text.partition(" ")
    keys = {tool.name: set(tool.arguments) for tool in ALARM.tools}[name]
    values: dict[str, str] = json.loads(body)
    assert completion.finished
    assert set(values) <= keys
    assert all(value in "wake me at six tomorrow" for value in values.values())


def test_forced_tokens_have_logprob_zero(engine: Engine) -> None:
    constraint = Constraint((ToolShape("only_tool", ()),))
    (completion,) = engine.complete([EngineRequest("", "alarm: whatever", constraint)])
    assert completion.text == "only_tool {}"
    assert set(completion.logprobs) == {0.0}


def test_an_answer_that_is_cut_says_so(engine: Engine) -> None:
    (completion,) = engine.complete([ask("wake me at six tomorrow", max_tokens=2)])
    assert not completion.finished
    assert len(completion.pieces) == 2


def test_an_unconstrained_request_is_answered(engine: Engine) -> None:
    (completion,) = engine.complete([EngineRequest("", "alarm: wake me at six", None, 16)])
    assert len(completion.pieces) <= 16
    assert "".join(completion.pieces) == completion.text


def test_an_adapter_that_is_not_loaded_is_an_error(engine: Engine) -> None:
    with pytest.raises(EngineError, match="nobody"):
        engine.complete([EngineRequest("nobody", "alarm: wake me")])


def test_a_prompt_beyond_the_context_is_an_error(engine: Engine) -> None:
    with pytest.raises(EngineError, match="context"):
        engine.complete([EngineRequest("", "one two " * 2000)])


def test_a_directory_without_an_adapter_is_an_error(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        engine.load("broken", tmp_path)
