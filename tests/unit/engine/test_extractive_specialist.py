from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from offramp.core.call import Answer, OutputType, ToolCall
from offramp.core.errors import EngineError
from offramp.core.render import AnswerFacts
from offramp.engine.classifier import LinearClassifier
from offramp.engine.extractive_decode import best_tags, copied
from offramp.engine.extractive_experience import Experience, form_of
from offramp.engine.extractive_model import ExtractiveModel, load_encoder, tokenise
from offramp.engine.extractive_schema import Limits, Pair, Schema
from offramp.engine.extractive_specialist import EXPERIENCE, FEATURES, STUDENT, ExtractiveSpecialist
from offramp.engine.extractive_student import CONFIG, WEIGHTS, Student
from offramp.engine.specialist import Card, Neighbours, TaskCard, TaskRequest
from offramp.testing.embedder import HashEmbedder
from offramp.testing.encoder import write_encoder
from offramp.testing.traffic import ask, tool

if TYPE_CHECKING:
    from pathlib import Path

TOOLS = (tool("on", "room", "when"), tool("off", "room"))
SCHEMA = Schema(
    OutputType.TOOL_CALL,
    ("t", "u"),
    ("off", "on"),
    ("room", "when"),
    (Pair(0, 0), Pair(1, 0), Pair(1, 1, constants=('"now"',))),
    ((0, 1), (1,)),
)
CARD = Card(
    "extractive-1",
    "extractive",
    {name: TaskCard(name, OutputType.TOOL_CALL, AnswerFacts(copies=True)) for name in ("t", "u")},
)
EMBEDDER = HashEmbedder(16)


def item(payload: str, task: str = "t", offered: int = 2) -> TaskRequest:
    return TaskRequest(task, ask("Do it.", payload, TOOLS[:offered]))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"), ("light", "the", "hall", "attic", "now"))


@pytest.fixture
def student(encoder: Path) -> Student:
    """Says "on", and tags every word as a room, unless told otherwise by its biases."""
    network, tokenizer = load_encoder(encoder)
    model = ExtractiveModel(network, SCHEMA, frozen=1)
    for head, bias in (
        (model.label, [0.0, 5.0]),
        (model.tag, [0.0, 5.0, -5.0]),
        (model.constant, [5.0, 0.0]),
    ):
        head.weight.data.mul_(0.0)
        head.bias.data.copy_(head.bias.data.new_tensor(bias))
    return Student(model, SCHEMA, tokenizer, context=12)


def specialist(student: Student) -> ExtractiveSpecialist:
    payloads = ["light the hall", "the attic"]
    vectors = EMBEDDER.embed(payloads)
    width = vectors.shape[1] + 2
    opinion = LinearClassifier(np.zeros((2, width), np.float32), np.zeros(2, np.float32), ("off", "on"))
    seen = student.vectors([item(payload) for payload in payloads], CARD)
    forms = np.array([form_of([0]), form_of([])], np.int64)
    experience = Experience(seen.astype(np.float16), np.array([1, 0], np.int32), forms)
    return ExtractiveSpecialist(CARD, student, experience, opinion, Neighbours(vectors), EMBEDDER)


def test_it_says_the_best_name_and_what_it_tagged(student: Student) -> None:
    (seen,) = specialist(student).consider([item("light the hall")])
    assert seen.answer == Answer(tool_calls=(ToolCall("on", {"room": "light the hall"}),))
    assert len(seen.features) == len(FEATURES)
    assert seen.similarity == pytest.approx(1.0, abs=1e-3)
    features = dict(zip(FEATURES, seen.features, strict=True))
    assert features["whole"] == pytest.approx(features["name"] + features["arguments"] + features["fixed"])
    assert features["p_name"] == pytest.approx(1 / (1 + np.exp(-5)), abs=1e-6)
    assert features["lead_of_name"] == pytest.approx(5, abs=1e-5)
    assert (features["neighbours_name"], features["neighbours_form"]) == (0.5, 0.5)
    assert (features["count"], features["none"]) == (1, 0)


def test_only_tools_that_the_request_offers_are_called(student: Student) -> None:
    student.model.label.bias.data.copy_(student.model.label.bias.data.new_tensor([9.0, 0.0]))
    made = specialist(student)
    both, one = made.consider([item("the hall"), item("the hall", offered=1)])
    assert both.answer is not None
    assert one.answer is not None
    assert (both.answer.tool_calls[0].name, one.answer.tool_calls[0].name) == ("off", "on")


def test_without_a_known_tool_it_has_no_answer(student: Student) -> None:
    made = specialist(student)
    (seen,) = made.consider([TaskRequest("t", ask("Do it.", "the hall", (tool("dim", "room"),)))])
    assert (seen.answer, set(seen.features)) == (None, {0.0})


def test_a_payload_that_is_too_long_has_no_answer(student: Student) -> None:
    first, second = specialist(student).consider([item("the hall " * 20), item("the hall")])
    assert first.answer is None
    assert second.answer is not None


def test_a_fixed_value_needs_no_words(student: Student) -> None:
    student.model.constant.bias.data.copy_(student.model.constant.bias.data.new_tensor([0.0, 5.0]))
    student.model.tag.bias.data.copy_(student.model.tag.bias.data.new_tensor([5.0, 0.0, 0.0]))
    (seen,) = specialist(student).consider([item("the hall")])
    assert seen.answer == Answer(tool_calls=(ToolCall("on", {"when": "now"}),))


def test_the_order_of_items_does_not_matter(student: Student) -> None:
    made = specialist(student)
    items = [item("light the hall now"), item("attic"), item("the hall", "u")]
    forwards, backwards = made.consider(items), made.consider(items[::-1])[::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert one.answer == other.answer
        assert one.features == pytest.approx(other.features, abs=1e-4)


def test_nothing_asked_nothing_said(student: Student) -> None:
    assert specialist(student).consider([]) == []


def test_a_foreign_task_is_an_error(student: Student) -> None:
    with pytest.raises(EngineError, match="does not serve task x"):
        specialist(student).consider([item("the hall", "x")])


def test_a_specialist_survives_its_folder(student: Student, encoder: Path, tmp_path: Path) -> None:
    made = specialist(student)
    student.save(tmp_path / STUDENT, encoder)
    made.save(tmp_path)
    opened = ExtractiveSpecialist.load(tmp_path, EMBEDDER, encoder)
    items = [item("light the hall now"), item("attic", "u")]
    assert opened.consider(items) == made.consider(items)
    names = set(load_file(tmp_path / STUDENT / WEIGHTS))
    assert not any(name.startswith(("embeddings", "lower")) for name in names)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_broken_student_is_named(
    name: str, content: bytes | None, student: Student, encoder: Path, tmp_path: Path
) -> None:
    student.save(tmp_path, encoder)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(EngineError, match="holds no extractive student"):
        Student.load(tmp_path, encoder)


def test_weights_of_another_shape_are_refused(student: Student, encoder: Path, tmp_path: Path) -> None:
    student.save(tmp_path, encoder)
    weights = load_file(tmp_path / WEIGHTS)
    save_file({name: weight for name, weight in weights.items() if name != "tag.bias"}, tmp_path / WEIGHTS)
    with pytest.raises(EngineError, match=r"no weights for tag\.bias"):
        Student.load(tmp_path, encoder)


def test_another_encoder_is_refused(student: Student, encoder: Path, tmp_path: Path) -> None:
    student.save(tmp_path / "s", encoder)
    other = write_encoder(tmp_path / "other", ("light",), seed=1)
    with pytest.raises(EngineError, match="trained from another encoder"):
        Student.load(tmp_path / "s", other)


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_broken_experience_is_named(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / EXPERIENCE).write_bytes(content)
    with pytest.raises(EngineError, match="holds no experience"):
        Experience.load(tmp_path / EXPERIENCE)


def test_an_encoder_of_another_build_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="No encoder could be loaded"):
        load_encoder(tmp_path)


def test_tags_are_of_words_and_values_of_whole_text(encoder: Path) -> None:
    _, tokenizer = load_encoder(encoder)
    payload = "the zebra hall, now"
    (tokens,) = tokenise(tokenizer, [payload])
    assert [payload[a:b] for (a, b), opens in zip(tokens.spans, tokens.opens, strict=True) if opens] == [
        *("the", "z", "hall", ",", "now")
    ]
    assert copied(payload, tokens, (0, 1, 1, 0, 1)) == {0: ["zebra hall", "now"]}
    assert copied(payload, tokens, (2, 1, 1, 1, 1)) == {1: ["the"], 0: ["zebra hall, now"]}


def test_only_tags_of_keys_that_may_be_said_are_chosen() -> None:
    scores = np.array([[0.0, 1.0, 9.0], [2.0, 1.0, 9.0]])
    tagging = best_tags(scores, [0])
    assert tagging.tags == (1, 0)
    assert tagging.logprobs == pytest.approx((-np.log1p(np.exp(-1)),) * 2)
    assert best_tags(scores, []).logprobs == (0.0, 0.0)


def test_labels_are_limited_to_the_task_s_own() -> None:
    schema = Schema(OutputType.LABEL, ("t", "u"), ("a", "b"), of_task=((0,), (0, 1)))
    limits = Limits(schema)
    card = TaskCard("t", OutputType.LABEL)
    assert limits.choices("t", card, ask("Sort.", "x")).keys == {0: ()}
    assert limits.choices("u", card, ask("Sort.", "x")).keys == {0: (), 1: ()}


def test_equal_sets_of_arguments_have_equal_forms() -> None:
    assert form_of([1, 2]) == form_of([2, 1, 1])
    assert len({form_of(keys) for keys in ([], [0], [1], [0, 1])}) == 4


def test_the_schema_is_in_the_configuration(student: Student, encoder: Path, tmp_path: Path) -> None:
    student.save(tmp_path, encoder)
    assert Schema.from_dict(json.loads((tmp_path / CONFIG).read_text())["schema"]) == SCHEMA
