from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.call import Answer, Call, OutputType, ToolCall
from offramp.core.dataset import Item
from offramp.core.measure import Measure
from offramp.core.model import Example
from offramp.engine.specialist import Card, Considered, TaskCard, TaskRequest
from offramp.loop.score import BATCH, FOLDS, Confidence, Scores, fit_confidence, held_out_confidence, score

if TYPE_CHECKING:
    from collections.abc import Sequence


class Fixed:
    """A specialist that says what the request says, or nothing."""

    def __init__(self, measure: Measure | None = None, output: OutputType = OutputType.LABEL) -> None:
        self.card = Card("s-1", "classifier", {"t": TaskCard("t", output, measure=measure)})
        self.batches: list[int] = []

    def consider(self, items: Sequence[TaskRequest]) -> list[Considered]:
        self.batches.append(len(items))
        return [self.one(item.request["say"]) for item in items]

    def one(self, text: str) -> Considered:
        return Considered(Answer(text) if text else None, (float(len(text)),), 0.5)


def row(number: int, ours: str, teacher: str) -> Item:
    call = Call(f"c{number}", 0.0, f"s{number}", "", {"say": ours}, {})
    return Item(call, "t", Answer(teacher), Example(call.id, "", teacher), str(number))


def scores(n: int = 100, seed: int = 0) -> Scores:
    """The first feature tells whether the answer agrees; the second is noise."""
    rng = np.random.default_rng(seed)
    good = rng.random(n) < 0.8
    features = np.column_stack([good + rng.normal(0, 0.3, n), rng.normal(0, 1, n)])
    return Scores(features, np.linspace(0.1, 1.0, n), np.ones(n, np.bool_), (~good).astype(np.float64))


def test_loss_is_disagreement_or_no_answer() -> None:
    rows = [row(0, "yes", "Yes."), row(1, "no", "yes"), row(2, "", "yes")]
    found = score(Fixed(), rows)
    assert found.loss.tolist() == [0.0, 1.0, 1.0]
    assert found.answered.tolist() == [True, True, False]
    assert found.features.tolist() == [[3.0], [2.0], [0.0]]
    assert found.similarity.tolist() == [0.5] * 3
    assert found.differing == ((), ("value",), ())


def test_no_calls_have_no_scores() -> None:
    found = score(Fixed(), [])
    assert len(found) == 0
    assert fit_confidence(scores()).of(found).tolist() == []


def test_calls_are_asked_about_in_batches_and_progress_is_told() -> None:
    specialist, told = Fixed(), list[int]()
    score(specialist, [row(n, "yes", "yes") for n in range(BATCH + 3)], told.append)
    assert specialist.batches == [BATCH, 3]
    assert told == [BATCH, BATCH + 3]


def test_calls_without_an_answer_or_far_from_training_have_confidence_0() -> None:
    fitted = fit_confidence(scores())
    made = Scores(
        np.array([[1.0, 0.0]] * 3),
        np.array([1.0, fitted.floor - 0.01, 1.0]),
        np.array([True, True, False]),
        np.zeros(3),
    )
    sure, far, silent = fitted.of(made)
    assert sure > 0.5
    assert far == silent == 0.0


def test_far_is_what_lies_beyond_every_validation_call_that_was_answered_well() -> None:
    made = scores()
    made.loss[:3] = 1.0
    assert fit_confidence(made).floor == made.similarity[made.loss == 0.0].min() > made.similarity.min()
    none_good = Scores(made.features, made.similarity, made.answered, np.ones(len(made)))
    assert fit_confidence(none_good).floor == made.similarity.min()


def test_confidence_puts_agreeing_calls_first() -> None:
    made = scores(400)
    confidence = fit_confidence(made).of(made)
    assert confidence[made.loss == 0].mean() > confidence[made.loss == 1].mean() + 0.3


def test_a_fitted_confidence_survives_json() -> None:
    made = fit_confidence(scores())
    again = Confidence.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert again.of(scores()).tolist() == made.of(scores()).tolist()


def test_held_out_confidence_does_not_know_its_own_session() -> None:
    """Flipping the losses of a session changes the others' confidences, never its own."""
    made = scores(60)
    sessions = [f"s{number // 3}" for number in range(60)]
    own = np.array([session == "s4" for session in sessions])
    flipped = Scores(made.features, made.similarity, made.answered, np.where(own, 1.0 - made.loss, made.loss))
    before, after = (held_out_confidence(one, sessions) for one in (made, flipped))
    assert after[own].tolist() == before[own].tolist()
    assert np.any(after[~own] != before[~own])


def test_a_useless_feature_does_not_look_useful_when_held_out() -> None:
    """With as many features as sessions, a fit knows its calls by heart; held out it knows nothing."""
    rng = np.random.default_rng(1)
    n = 60
    made = Scores(
        rng.normal(size=(n, 55)), np.ones(n), np.ones(n, np.bool_), (rng.random(n) < 0.5).astype(np.float64)
    )

    def gap(confidence: object) -> float:
        values = np.asarray(confidence)
        return float(values[made.loss == 0].mean() - values[made.loss == 1].mean())

    assert gap(fit_confidence(made).of(made)) > 0.5
    assert gap(held_out_confidence(made, [str(row) for row in range(n)])) < 0.25


@pytest.mark.parametrize("sessions", [1, 2, FOLDS - 1])
def test_few_sessions_are_no_error(sessions: int) -> None:
    made = scores(10)
    confidence = held_out_confidence(made, [str(row % sessions) for row in range(10)])
    assert confidence.shape == (10,)
    # With a single session there is nothing to fit on, and nobody is sure.
    assert (confidence == 0.0).all() == (sessions == 1)


@given(st.permutations(range(30)))
def test_the_order_of_calls_does_not_matter(order: list[int]) -> None:
    made = scores(30)
    sessions = [f"s{row // 2}" for row in range(30)]
    straight = held_out_confidence(made, sessions)
    shuffled = Scores(made.features[order], made.similarity[order], made.answered[order], made.loss[order])
    found = held_out_confidence(shuffled, [sessions[row] for row in order])
    assert found == pytest.approx(straight[order], abs=1e-6)


def test_answers_are_compared_in_the_sense_of_the_tasks_card() -> None:
    rows = [row(0, "Yes, Sir", "yes sir"), row(1, "no", "yes")]
    strict, loose = Fixed(), Fixed(Measure.TEXT)
    assert score(strict, rows).loss.tolist() == [1.0, 1.0]
    assert score(loose, rows).loss.tolist() == [0.0, 1.0]


class Sets(Fixed):
    """A specialist that always sets the unit."""

    def one(self, text: str) -> Considered:
        return Considered(Answer(tool_calls=(ToolCall("f", {"unit": text}),)), (1.0,), 1.0)


def test_the_request_tells_what_an_argument_left_out_stands_for() -> None:
    schema = {"type": "object", "properties": {"unit": {"type": "string", "default": "C"}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    call = Call("c", 0.0, "s", "", {"say": "c", "tools": tools}, {})
    item = Item(call, "t", Answer(tool_calls=(ToolCall("f", {}),)), Example("c", "", ""), "k")
    assert score(Sets(Measure.TOOLS_LOOSE, OutputType.TOOL_CALL), [item]).loss.tolist() == [0.0]
    assert score(Sets(Measure.TOOLS, OutputType.TOOL_CALL), [item]).loss.tolist() == [1.0]
