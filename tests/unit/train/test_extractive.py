from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from offramp.core.call import Answer, Call, OutputType, ToolCall
from offramp.core.dataset import Item
from offramp.core.errors import BadInput, EngineError
from offramp.core.model import Example
from offramp.core.render import AnswerFacts
from offramp.engine.embedder import packaged_model
from offramp.engine.extractive_schema import Limits
from offramp.engine.extractive_student import CONFIG, WEIGHTS, Student, fingerprint
from offramp.engine.specialist import Card, TaskCard, TaskRequest
from offramp.testing.encoder import write_encoder
from offramp.testing.traffic import ask, tool
from offramp.train.extractive import (
    CHECKPOINT,
    ExtractiveOptions,
    ExtractiveResult,
    experience_of,
    train_extractive,
)
from offramp.train.extractive_feed import Feed, Lesson
from offramp.train.extractive_loss import Losses
from offramp.train.extractive_optim import triangle
from offramp.train.extractive_targets import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from offramp.train.progress import Progress

VERBS = ("take", "drop", "move", "find", "hide")
THINGS = ("gorp", "blim", "tarn", "oslo", "friday", "seven", "fox", "lute", "marn", "kest")
COLOURS = ("red", "blue")
TOOLS = tuple(tool(f"zed_{verb}", "thing", "colour") for verb in VERBS)
QUICK = ExtractiveOptions(epochs=2, rows=8, frozen=1, rate=3e-3, head_rate=1e-2, mixed=False)


def item(verb: str, thing: str, colour: str = "") -> Item:
    payload = f"{verb} the {colour} {thing}" if colour else f"{verb} the {thing}"
    arguments = {"thing": thing, **({"colour": colour} if colour else {})}
    call = Call(payload, 0.0, payload, "", ask("Obey.", payload, TOOLS), {})
    answer = Answer(tool_calls=(ToolCall(f"zed_{verb}", arguments),))
    completion = f"zed_{verb} {json.dumps(arguments, separators=(',', ':'))}"
    return Item(call, "zed", answer, Example(payload, "", completion), payload)


ITEMS = [item(verb, thing, colour) for verb in VERBS for thing in THINGS for colour in ("", *COLOURS)]
LEARNED = [one for index, one in enumerate(ITEMS) if index % 5]
HELD_OUT = ITEMS[::5]
CARDS = {"zed": TaskCard("zed", OutputType.TOOL_CALL, AnswerFacts(copies=True))}
CARD = Card("extractive-1", "extractive", CARDS)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"), ("the", *VERBS, *THINGS[:6], *COLOURS))


def train(
    encoder: Path,
    out: Path,
    options: ExtractiveOptions = QUICK,
    on_progress: Callable[[Progress], None] = lambda _: None,
    parts: tuple[Sequence[Item], Sequence[Item]] = (LEARNED, HELD_OUT),
) -> ExtractiveResult:
    return train_extractive(parts, CARDS, encoder=encoder, out=out, options=options, on_progress=on_progress)


@pytest.fixture(scope="module")
def trained(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ExtractiveResult, Path]:
    out = tmp_path_factory.mktemp("made") / "student"
    return train(encoder, out, replace(QUICK, epochs=12)), out


def asked(items: Sequence[Item]) -> list[TaskRequest]:
    return [TaskRequest(one.task, one.call.request) for one in items]


def test_it_learns_to_name_tools_and_to_copy(trained: tuple[ExtractiveResult, Path]) -> None:
    thoughts = trained[0].student.think(asked(HELD_OUT), CARD)
    right = [
        t.replies[0].completion == one.example.completion for t, one in zip(thoughts, HELD_OUT, strict=True)
    ]
    assert sum(right) / len(right) > 0.8


def test_the_folder_is_complete_and_alone(trained: tuple[ExtractiveResult, Path]) -> None:
    result, out = trained
    assert {path.name for path in out.iterdir()} == {CONFIG, WEIGHTS, "README.md"}
    assert [path.name for path in out.parent.iterdir()] == ["student"]
    assert result.lineage in (out / "README.md").read_text(encoding="utf-8")
    assert result.figures["epochs"] == len(result.curve)


def test_serving_gives_the_probabilities_that_training_sees(
    trained: tuple[ExtractiveResult, Path], encoder: Path
) -> None:
    result, out = trained
    served = Student.load(out, encoder)
    limits, tracer = Limits(served.schema), Tracer(served.schema)
    lessons = [
        Lesson(one.call.id, one.example.completion, limits.choices("zed", CARDS["zed"], one.call.request))
        for one in HELD_OUT
    ]
    feed = Feed(lessons, served._tokenizer, tracer, QUICK)
    thoughts = served.think(asked(HELD_OUT), CARD)
    compared = 0
    for row, thought, one in zip(feed.rows, thoughts, HELD_OUT, strict=True):
        if thought.replies[0].completion == one.example.completion:
            with torch.no_grad():
                loss = float(Losses(served.schema)(result.student.model, [row]).loss)
            assert -loss == pytest.approx(thought.replies[0].logprob, abs=1e-4)
            compared += 1
    assert compared > 10


def test_the_same_seed_gives_the_same_weights(encoder: Path, tmp_path: Path) -> None:
    first, second = (train(encoder, tmp_path / name / "s").student.model for name in ("a", "b"))
    other = train(encoder, tmp_path / "c" / "s", replace(QUICK, seed=1)).student.model
    assert torch.equal(first.tag.weight, second.tag.weight)
    assert not torch.equal(first.tag.weight, other.tag.weight)


def test_a_run_that_was_killed_goes_on_where_it_was(encoder: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(progress: Progress) -> None:
        if progress.step > progress.steps * 0.6:
            raise Killed

    steps: list[int] = []
    options = replace(QUICK, epochs=3, swap_share=0.5)
    whole = train(encoder, tmp_path / "whole" / "s", options)
    with pytest.raises(Killed):
        train(encoder, tmp_path / "cut" / "s", options, kill)
    assert (tmp_path / "cut" / CHECKPOINT).exists()
    resumed = train(encoder, tmp_path / "cut" / "s", options, lambda p: steps.append(p.step))
    assert min(steps) > whole.steps / 3
    assert resumed.curve == whole.curve
    assert torch.equal(resumed.student.model.tag.weight, whole.student.model.tag.weight)
    assert not (tmp_path / "cut" / CHECKPOINT).exists()


def test_a_checkpoint_of_other_options_is_not_taken_up(encoder: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(progress: Progress) -> None:
        if progress.step > progress.steps / 2:
            raise Killed

    with pytest.raises(Killed):
        train(encoder, tmp_path / "s", QUICK, kill)
    steps: list[int] = []
    train(encoder, tmp_path / "s", replace(QUICK, rate=1e-3), lambda p: steps.append(p.step))
    assert min(steps) <= 10


def test_training_stops_when_validation_stops_improving(encoder: Path, tmp_path: Path) -> None:
    contradicting = [
        replace(one, example=replace(one.example, completion=other.example.completion))
        for one, other in zip(HELD_OUT, reversed(HELD_OUT), strict=True)
    ]
    options = replace(QUICK, epochs=30, patience=2)
    result = train(encoder, tmp_path / "s", options, parts=(LEARNED, contradicting))
    assert len(result.curve) < 30
    assert result.validation.wrong == min(each.wrong for each in result.curve)
    assert result.curve.index(result.validation) == len(result.curve) - 3


def test_divergence_is_told(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="diverged") as caught:
        train(encoder, tmp_path / "s", replace(QUICK, rate=1e30, head_rate=1e30))
    assert "rate" in caught.value.hint


def test_calls_too_long_are_counted_and_not_cut(encoder: Path, tmp_path: Path) -> None:
    long = item("take", "oslo " * 60)
    result = train(encoder, tmp_path / "s", replace(QUICK, context=30), parts=([*LEARNED, long], HELD_OUT))
    assert (result.examples, result.left_out) == (len(LEARNED), 1)
    (thought,) = result.student.think(asked([long]), CARD)
    assert thought.replies == ()


def test_nothing_to_learn_from_is_told(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="0 of 120 training"):
        train(encoder, tmp_path / "s", replace(QUICK, context=2))


def test_an_experience_holds_what_was_said(trained: tuple[ExtractiveResult, Path]) -> None:
    result, _ = trained
    experience = experience_of(result.student, LEARNED, CARD)
    thoughts = result.student.think(asked(LEARNED[:8]), CARD)
    vectors = np.stack([thought.vector for thought in thoughts])
    found = experience.ask(vectors, [thought.replies[0] for thought in thoughts])
    assert found.shape == (8, 3)
    assert np.allclose(found[:, 2], 1.0, atol=1e-2)
    assert (found[:, 1] <= found[:, 0]).all()


def test_the_rate_rises_and_falls_in_lines() -> None:
    rates = [triangle(step, 100, 0.1) for step in range(100)]
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[0] == pytest.approx(0.1)
    assert rates[99] == pytest.approx(1 / 90)


def test_the_fingerprint_is_that_of_the_weights(encoder: Path, tmp_path: Path) -> None:
    assert fingerprint(write_encoder(tmp_path / "other", ("the",), seed=1)) != fingerprint(encoder)
    assert len(fingerprint(packaged_model())) == 16


def test_flat_json_has_copied_and_fixed_values(encoder: Path, tmp_path: Path) -> None:
    cards = {"note": TaskCard("note", OutputType.JSON, AnswerFacts(("thing", "verb"), copies=True))}

    def note(verb: str, thing: str) -> Item:
        payload = f"{verb} the {thing}"
        text = json.dumps({"thing": thing, "verb": verb.upper()}, separators=(",", ":"))
        call = Call(payload, 0.0, payload, "", ask("Note it.", payload), {})
        return Item(call, "note", Answer(text), Example(payload, "", text), payload)

    items = [note(verb, thing) for verb in VERBS[:3] for thing in THINGS]
    options = replace(QUICK, epochs=25)
    student = train_extractive(
        (items, items[::3]),
        cards,
        encoder=encoder,
        out=tmp_path / "s",
        options=options,
        on_progress=lambda _: None,
    ).student
    assert student.schema.constants == 4
    thoughts = student.think(asked(items), replace(CARD, tasks=cards))
    right = sum(t.replies[0].completion == i.example.completion for t, i in zip(thoughts, items, strict=True))
    assert right / len(items) > 0.8
