from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from offramp.core.call import answer_of
from offramp.core.errors import EngineError
from offramp.core.model import EngineRequest
from offramp.testing.embedder import HashEmbedder
from offramp.testing.engine import FakeTraining, RuleEngine
from offramp.testing.traffic import TEAMS, Agent, calls_of

if TYPE_CHECKING:
    from pathlib import Path


def test_vectors_have_length_one_and_do_not_depend_on_company() -> None:
    embedder = HashEmbedder(32)
    together = embedder.embed(["one two", "", "three"])
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(3))
    assert together[0].tolist() == embedder.embed(["Two, one!"])[0].tolist()
    assert embedder.embed([]).shape == (0, 32)


def test_shared_words_make_texts_alike() -> None:
    one, near, far = HashEmbedder().embed(["the cat sat down", "the cat stood up", "rain falls"])
    assert one @ near > one @ far


def test_completions_follow_the_rule_in_order() -> None:
    engine = RuleEngine(lambda request: (request.prompt.upper(), -0.5))
    first, second = engine.complete([EngineRequest("", "a b"), EngineRequest("", "c")])
    assert (first.text, first.pieces, first.logprobs) == ("A B", ("A ", "B"), (-0.5, 0.0))
    assert second.text == "C"
    assert first.finished


def test_a_completion_is_cut_at_the_limit() -> None:
    (cut,) = RuleEngine(lambda _: ("a b c", -1.0)).complete([EngineRequest("", "p", max_tokens=2)])
    assert (cut.text, cut.finished) == ("a b ", False)


def test_an_adapter_has_to_be_trained_and_loaded(tmp_path: Path) -> None:
    engine = RuleEngine(lambda _: ("x", 0.0))
    with pytest.raises(EngineError, match="'mine' is not loaded"):
        engine.complete([EngineRequest("mine", "p")])
    with pytest.raises(EngineError, match="holds no adapter"):
        engine.load("mine", tmp_path)
    FakeTraining()([], [], tmp_path)
    engine.load("mine", tmp_path)
    assert engine.complete([EngineRequest("mine", "p")])[0].text == "x"


def test_a_prompt_beyond_the_context_is_an_error() -> None:
    with pytest.raises(EngineError, match="context"):
        RuleEngine(lambda _: ("x", 0.0)).complete([EngineRequest("", "p" * 5000)])


def test_trouble_in_training_comes_once(tmp_path: Path) -> None:
    training = FakeTraining(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        training([], [], tmp_path)
    training([], [], tmp_path)
    assert training.runs == 1


def test_an_agent_is_the_same_for_the_same_seed() -> None:
    kinds = ("route", "flip", "rhyme", "light", "play", "steer")
    left, right, other = ([getattr(Agent(seed), kind)() for kind in kinds] for seed in (1, 1, 2))
    assert left == right != other
    assert all(answer_of(response) is not None for _, response in left)


def test_a_routed_message_tells_its_team() -> None:
    agent = Agent()
    for request, response in (agent.route() for _ in range(20)):
        answer = answer_of(response)
        assert answer is not None
        assert any(word in request["messages"][1]["content"] for word in TEAMS[answer.text])


def test_calls_count_on_from_the_first() -> None:
    agent = Agent()
    calls = calls_of([agent.light() for _ in range(4)], per_session=2, first=10)
    assert [call.id for call in calls] == ["c000010", "c000011", "c000012", "c000013"]
    assert len({call.session for call in calls}) == 2
    assert calls[1].at > calls[0].at
