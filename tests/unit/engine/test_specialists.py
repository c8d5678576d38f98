from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from offramp.core.call import Answer, OutputType, ToolCall
from offramp.core.errors import EngineError
from offramp.core.model import Completion
from offramp.core.render import AnswerFacts
from offramp.engine.cache_specialist import CacheSpecialist, cache_key
from offramp.engine.classifier import LinearClassifier
from offramp.engine.generative_specialist import ADAPTER, GenerativeSpecialist, confidence_features
from offramp.engine.label_specialist import OTHER, LabelSpecialist, margins
from offramp.engine.specialist import CARD, NEIGHBOURS, Card, Neighbours, TaskCard, TaskRequest, with_task
from offramp.testing.embedder import HashEmbedder
from offramp.testing.engine import FakeTraining, RuleEngine
from offramp.testing.traffic import ask, tool

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.core.model import EngineRequest
    from offramp.engine.specialist import Specialist

TOOLS = (tool("on", "room"), tool("off", "room"))
EMBEDDER = HashEmbedder(16)


def card(output: OutputType = OutputType.LABEL, tasks: tuple[str, ...] = ("t",)) -> Card:
    facts = AnswerFacts(("a", "b"), copies=True)
    return Card("s-1", "cache", {task: TaskCard(f"hint {task}", output, facts) for task in tasks}, "nano")


def item(payload: str, task: str = "t") -> TaskRequest:
    return TaskRequest(task, ask("Do it.", payload, TOOLS))


def label_specialist(*payloads: str) -> LabelSpecialist:
    """A class for each payload: the payload in capitals."""
    vectors = EMBEDDER.embed(payloads)
    classifier = LinearClassifier(
        20 * vectors, np.zeros(len(payloads), np.float32), tuple(p.upper() for p in payloads)
    )
    return LabelSpecialist(card(), classifier, Neighbours(vectors), EMBEDDER)


def generative(rule_text: str = 'on {"room":"hall"}', logprob: float = -0.1) -> GenerativeSpecialist:
    def rule(request: EngineRequest) -> tuple[str, float]:
        wanted = [shape.name for shape in request.constraint.tools] if request.constraint else []
        name = rule_text.partition(" ")[0]
        return (rule_text if name in wanted or len(wanted) != 1 else f'{wanted[0]} {{"room":"x"}}'), logprob

    engine = RuleEngine(rule)
    engine._adapters.add("s-1")
    vectors = EMBEDDER.embed(["light the hall", "darken the hall"])
    opinion = LinearClassifier(20 * vectors, np.zeros(2, np.float32), ("on", "off"))
    made = card(OutputType.TOOL_CALL)
    return GenerativeSpecialist(made, engine, opinion, Neighbours(vectors), EMBEDDER)


def test_a_card_survives_its_folder(tmp_path: Path) -> None:
    made = card(OutputType.JSON, ("t", "u"))
    made.save(tmp_path)
    assert Card.load(tmp_path) == made


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"tasks": {"t": {}}}', '{"tasks": {}, "x": 1}'])
def test_a_folder_without_a_card_is_no_specialist(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / CARD).write_text(content)
    with pytest.raises(EngineError, match="holds no specialist"):
        Card.load(tmp_path)


def test_one_task_needs_no_column_of_its_own() -> None:
    vectors = np.ones((2, 3), np.float32)
    assert with_task(vectors, ["t", "t"], ["t"]) is vectors
    assert with_task(vectors, ["u", "t"], ["t", "u"])[:, 3:].tolist() == [[0, 1], [1, 0]]


def test_similarity_is_that_of_the_nearest_and_survives_the_file(tmp_path: Path) -> None:
    vectors = EMBEDDER.embed(["one two three", "four five"])
    neighbours = Neighbours(vectors)
    found = neighbours.similarity(EMBEDDER.embed(["one two three", "other words entirely"]))
    assert found[0] == pytest.approx(1.0, abs=1e-3)
    assert found[1] < 0.9
    neighbours.save(tmp_path)
    again = Neighbours.load(tmp_path).similarity(EMBEDDER.embed(["one two three", "other words entirely"]))
    assert again.tolist() == found.tolist()


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_broken_neighbours_are_named(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / NEIGHBOURS).write_bytes(content)
    with pytest.raises(EngineError, match=r"holds no neighbours\.npy"):
        Neighbours.load(tmp_path)


def test_a_label_is_the_class_nearest_by() -> None:
    first, second = label_specialist("blue sky", "red rose").consider([item("red rose"), item("blue sky")])
    assert (first.answer, second.answer) == (Answer("RED ROSE"), Answer("BLUE SKY"))
    assert first.similarity == pytest.approx(1.0, abs=1e-3)
    assert first.features[0] > -0.1


def test_the_class_of_rare_answers_defers() -> None:
    vectors = EMBEDDER.embed(["blue sky"])
    classifier = LinearClassifier(vectors, np.zeros(1, np.float32), (OTHER,))
    specialist = LabelSpecialist(card(), classifier, Neighbours(vectors), EMBEDDER)
    assert specialist.consider([item("blue sky")])[0].answer is None


def test_a_label_specialist_survives_its_folder(tmp_path: Path) -> None:
    made = label_specialist("blue sky", "red rose")
    made.save(tmp_path)
    items = [item("red rose"), item("a blue rose")]
    assert LabelSpecialist.load(tmp_path, EMBEDDER).consider(items) == made.consider(items)


def test_margins_are_the_best_and_its_lead() -> None:
    best, lead = margins(np.array([0.2, 0.8]))
    assert best == pytest.approx(np.log(0.8))
    assert lead == pytest.approx(np.log(4))
    assert margins(np.array([1.0])) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_a_cache_answers_exact_repeats_only(tmp_path: Path) -> None:
    request = item("blue sky").request
    made = CacheSpecialist(card(), {cache_key("t", request): ("BLUE", 9, 0.75)})
    made.save(tmp_path)
    for specialist in (made, CacheSpecialist.load(tmp_path)):
        hit, miss = specialist.consider([item("blue sky"), item("blue  sky")])
        assert (hit.answer, hit.features) == (Answer("BLUE"), (5.0, 0.75))
        assert (miss.answer, miss.features) == (None, (0.0, 0.0))


def test_a_cache_keeps_tasks_apart() -> None:
    request = item("blue sky").request
    assert cache_key("t", request) != cache_key("u", request)


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_a_broken_cache_is_named(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "cache.json").write_text(content)
    with pytest.raises(EngineError, match="holds no cache"):
        CacheSpecialist.load(tmp_path)


@pytest.mark.parametrize("kind", ["cache", "label", "generative"])
def test_another_task_is_refused(kind: str) -> None:
    kinds: dict[str, Specialist] = {
        "cache": CacheSpecialist(card(), {}),
        "label": label_specialist("blue sky"),
        "generative": generative(),
    }
    with pytest.raises(EngineError, match="does not serve task other"):
        kinds[kind].consider([item("blue sky", "other")])


def test_no_items_are_no_work() -> None:
    assert generative().consider([]) == label_specialist("a").consider([]) == []


def test_a_generated_call_comes_with_its_log_probability() -> None:
    (seen,) = generative().consider([item("light the hall")])
    assert seen.answer == Answer("", (ToolCall("on", {"room": "hall"}),))
    assert seen.features[0] == pytest.approx(-0.1)
    assert seen.similarity == pytest.approx(1.0, abs=1e-3)


def test_text_that_is_no_call_is_no_answer() -> None:
    (seen,) = generative("on {broken").consider([item("light the hall")])
    assert seen.answer is None


def test_all_calls_have_as_many_features() -> None:
    seen = generative().consider([item("light the hall"), item("words never heard"), item("")])
    assert len({len(one.features) for one in seen}) == 1
    assert np.isfinite([one.features for one in seen]).all()


def test_a_generative_specialist_survives_its_folder(tmp_path: Path) -> None:
    made = generative()
    FakeTraining()([], [], tmp_path / ADAPTER)
    made.save(tmp_path)
    again = GenerativeSpecialist.load(tmp_path, made._engine, EMBEDDER)
    items = [item("light the hall"), item("darken it")]
    assert again.consider(items) == made.consider(items)


def test_a_generative_specialist_without_its_adapter_is_not_opened(tmp_path: Path) -> None:
    generative().save(tmp_path)
    with pytest.raises(EngineError, match="holds no adapter"):
        GenerativeSpecialist.load(tmp_path, RuleEngine(lambda _: ("", 0.0)), EMBEDDER)


def test_log_probabilities_are_split_into_name_and_arguments() -> None:
    pieces = ("o", "n", " ", '{"room":', '"hall"', "}")
    logprobs = (-0.5, -0.25, 0.0, 0.0, -2.0, 0.0)
    found = confidence_features(Completion("".join(pieces), logprobs, pieces, finished=True))
    assert found == pytest.approx((-0.75, -2.0, -2.0, 3.0, 1.0))


def test_an_empty_completion_has_features() -> None:
    assert confidence_features(Completion("", (), (), finished=False)) == (0, 0, 0, 0, 0)
