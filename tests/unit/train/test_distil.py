"""A teacher's log-probabilities on another tokenizer's tokens become targets for the student's."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from offramp.core.call import Answer, Call, OutputType, ToolCall
from offramp.core.model import Example, TeacherToken
from offramp.core.render import render_example
from offramp.engine.bases import load_base
from offramp.engine.nano import NANO_BASE
from offramp.train.augment import ValueSwaps
from offramp.train.batches import align, completion_loss, render_row
from offramp.train.distil import Soft, divergence, soft_targets
from offramp.train.feed import Feed, render_examples
from offramp.train.optim import seeded

if TYPE_CHECKING:
    from tests.unit.train.conftest import Toy
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@pytest.fixture(scope="module")
def base() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    return load_base(NANO_BASE)


@pytest.fixture(scope="module")
def tokenizer(base: tuple[PreTrainedModel, PreTrainedTokenizerBase]) -> PreTrainedTokenizerBase:
    return base[1]


def told(*tokens: str, **others: float) -> tuple[TeacherToken, ...]:
    """A teacher that is sure of every token but those named, which it would have said at 0.25."""
    return tuple(
        TeacherToken(token, ((token, math.log(others.get(token, 1.0))), ("other", math.log(0.25))))
        if token in others
        else TeacherToken(token, ((token, 0.0),))
        for token in tokens
    )


def ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def test_equal_tokens_map_one_to_one(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "billing issue"
    pieces = [tokenizer.decode([token]) for token in ids(tokenizer, text)]
    targets = soft_targets(tokenizer, text, told(*pieces))
    assert [target.place for target in targets] == list(range(len(pieces)))
    assert [target.ids[0] for target in targets] == ids(tokenizer, text)
    assert all(target.probabilities == (1.0,) for target in targets)


def test_a_longer_token_of_the_teacher_speaks_for_its_first_part(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "zorblat"
    assert len(ids(tokenizer, text)) > 1
    (target,) = soft_targets(tokenizer, text, (TeacherToken(text, ((text, math.log(0.75)),)),))
    assert target.place == 0
    assert target.ids == (ids(tokenizer, text)[0],)
    assert target.probabilities == pytest.approx((0.75,))


def test_alternatives_with_one_beginning_are_summed(tokenizer: PreTrainedTokenizerBase) -> None:
    first = ids(tokenizer, "7 a")[0]
    token = TeacherToken("7", (("7", math.log(0.5)), ("71", math.log(0.25)), ("x", math.log(0.125))))
    (target,) = soft_targets(tokenizer, "7", (token,))
    assert dict(zip(target.ids, target.probabilities, strict=True))[first] == pytest.approx(0.75)


def test_a_student_token_that_the_teacher_cuts_is_not_mapped(tokenizer: PreTrainedTokenizerBase) -> None:
    assert len(ids(tokenizer, "play")) == 1
    assert soft_targets(tokenizer, "play", told("p", "lay")) == ()


def test_space_that_the_compact_form_leaves_out_is_passed_over(tokenizer: PreTrainedTokenizerBase) -> None:
    text = '{"city":"oslo"}'
    targets = soft_targets(tokenizer, text, told("{\n ", ' "', "city", '":', ' "', "oslo", '"\n}'))
    cut = ids(tokenizer, text)
    assert [cut[target.place] for target in targets] == ids(tokenizer, "city") + ids(tokenizer, "oslo")


@pytest.mark.parametrize("tokens", [("another", " text"), ("bill",), ("billing", " issue", "s")])
def test_another_text_maps_to_nothing(tokens: tuple[str, ...], tokenizer: PreTrainedTokenizerBase) -> None:
    assert soft_targets(tokenizer, "billing issue", told(*tokens)) == ()


def test_divergence_is_that_of_kullback_and_leibler_with_the_rest_as_one() -> None:
    logprobs = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log()
    found = divergence(logprobs, [Soft(0, (0, 1), (0.6, 0.3))])
    expected = 0.6 * math.log(0.6 / 0.5) + 0.3 * math.log(0.3 / 0.25) + 0.1 * math.log(0.1 / 0.25)
    assert float(found[0]) == pytest.approx(expected, abs=1e-6)
    same = divergence(logprobs, [Soft(0, (0, 1, 2), (0.5, 0.25, 0.125))])
    assert float(same[0]) == pytest.approx(0.0, abs=1e-6)


def test_the_loss_mixes_answer_and_distribution(
    base: tuple[PreTrainedModel, PreTrainedTokenizerBase],
) -> None:
    model, tokenizer = base
    row = render_row(tokenizer, "triage: it is broken", "billing")
    soft = Soft(0, (row.completion[0], row.completion[0] + 1), (0.5, 0.25))
    with torch.no_grad():
        plain = float(completion_loss(model, align([row])))
        batch = align([render_row(tokenizer, "triage: x y z", "billing"), replace(row, soft=(soft,))])
        hard, mixed = float(completion_loss(model, batch)), float(completion_loss(model, batch, 0.5))
        logits = model(torch.tensor([row.prompt + row.completion])).logits[0, len(row.prompt) - 1]
        logprobs = logits.log_softmax(-1)
        pull = float(divergence(logprobs[None], [soft])[0]) + float(logprobs[row.completion[0]])
    assert plain > 0
    assert mixed == pytest.approx(hard + 0.5 * pull / (2 * len(row.completion)), abs=1e-3)


def test_exchanged_values_drop_what_the_teacher_told() -> None:
    examples = [
        Example("a", "wake me at six", 'wake {"time":"six"}', told("wake")),
        Example("b", "wake me at noon", 'wake {"time":"noon"}', told("wake")),
    ]
    swapped = [ValueSwaps(examples).swap(examples[0], seeded(seed)) for seed in range(8)]
    assert any(example.prompt != examples[0].prompt for example in swapped)
    assert all(example.told == () for example in swapped if example.prompt != examples[0].prompt)


def test_log_probabilities_are_read_from_the_response(tokenizer: PreTrainedTokenizerBase) -> None:
    def item(token: str, *others: tuple[str, float]) -> dict[str, object]:
        top = [{"token": text, "logprob": value} for text, value in ((token, -0.1), *others)]
        return {"token": token, "logprob": -0.1, "top_logprobs": top}

    content = [item("bill", ("tech", -2.0)), item("ing")]
    response = {"choices": [{"message": {"content": "billing"}, "logprobs": {"content": content}}]}
    request = {"messages": [{"role": "user", "content": "it is broken"}]}
    call = Call("c", 0.0, "s", "o", request, response)
    example = render_example(call, Answer("billing"), hint="triage", output=OutputType.LABEL)
    assert example is not None
    assert example.told[0] == TeacherToken("bill", (("bill", -0.1), ("tech", -2.0)))
    rows, _ = render_examples(tokenizer, [example, replace(example, told=())], 64)
    assert [row.told for row in rows] == [True, False]


@pytest.mark.parametrize(
    "logprobs", [None, {}, {"content": None}, {"content": [{"token": 1}]}, {"content": [{"token": "a"}]}, "x"]
)
def test_a_response_without_alternatives_tells_nothing(logprobs: object) -> None:
    response = {"choices": [{"message": {"content": "a"}, "logprobs": logprobs}]}
    call = Call("c", 0.0, "s", "o", {"messages": [{"role": "user", "content": "x"}]}, response)
    answer = Answer("", (ToolCall("a", {}),))
    example = render_example(call, answer, hint="t", output=OutputType.TOOL_CALL)
    assert example is not None
    assert example.told == ()


@pytest.mark.parametrize(("distil", "left"), [(0.0, 1.0), (0.9, 0.1 + 0.9 * 0.6)])
def test_a_student_learns_the_doubt_of_its_teacher(distil: float, left: float) -> None:
    """The answer always says left; the teacher would have said right at 0.4."""
    model, tokenizer = load_base(NANO_BASE)
    doubt = (TeacherToken("left", (("left", math.log(0.6)), ("right", math.log(0.4)))),)
    rows, _ = render_examples(tokenizer, [Example("a", "turn: where", "left", doubt)], 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(60):
        torch.autograd.backward(completion_loss(model, align(rows), distil))
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        said = model(torch.tensor([rows[0].prompt])).logits[0, -1].softmax(-1)
    assert float(said[ids(tokenizer, "left")[0]]) == pytest.approx(left, abs=0.07)
    assert float(said[ids(tokenizer, "right")[0]]) == pytest.approx(1 - left, abs=0.07)


def test_what_could_be_mapped_is_counted(toy: Toy, tokenizer: PreTrainedTokenizerBase) -> None:
    mapped = Example("a", "turn: where", "left", (TeacherToken("left", (("left", 0.0),)),))
    other = replace(mapped, completion="right")
    feed = Feed(tokenizer, [mapped, other, replace(mapped, told=())], toy.options, context=64, seed=0)
    tokens = len(ids(tokenizer, "left")) + len(ids(tokenizer, "right"))
    assert (feed.told, feed.mapped) == (tokens, 1)
