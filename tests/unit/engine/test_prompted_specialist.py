from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from offramp.core.call import Answer, OutputType, ToolCall
from offramp.core.errors import EngineError
from offramp.core.render import AnswerFacts
from offramp.engine.prompted_specialist import FILE, MAX_TOKENS, SHOWN, PromptedSpecialist, Shown
from offramp.engine.specialist import NEIGHBOURS, Card, TaskCard, TaskRequest
from offramp.testing.embedder import HashEmbedder
from offramp.testing.engine import CONTEXT, RuleEngine
from offramp.testing.traffic import ask, tool

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.core.model import EngineRequest

TOOLS = (tool("on", "room"), tool("off", "room"))
EMBEDDER = HashEmbedder(64)
ROOMS = ("hall", "attic", "kitchen", "cellar", "porch", "study", "bath", "shed")


def item(payload: str, task: str = "t") -> TaskRequest:
    return TaskRequest(task, ask("Do it.", payload, TOOLS))


class Reader:
    """Copies the answer of the last example, and remembers what it was shown."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def __call__(self, request: EngineRequest) -> tuple[str, float]:
        self.prompts.append(request.prompt)
        examples = request.prompt.split("\n\n")[1:-1]
        return (examples[-1].partition("Answer: ")[2] if examples else "nothing"), -0.2


def prompted(reader: Reader, examples: list[Shown] | None = None) -> PromptedSpecialist:
    shown = examples or [Shown("t", f"light the {room}", f'on {{"room":"{room}"}}') for room in ROOMS]
    cards = {task: TaskCard(f"hint {task}", OutputType.TOOL_CALL, AnswerFacts()) for task in ("t", "u")}
    vectors = EMBEDDER.embed([example.payload for example in shown])
    return PromptedSpecialist(
        Card("prompted-1", "prompted", cards, "nano"), RuleEngine(reader), shown, vectors, EMBEDDER
    )


def test_the_nearest_example_stands_last_and_there_are_no_more_than_six() -> None:
    reader = Reader()
    (seen,) = prompted(reader).consider([item("light the cellar")])
    assert seen.answer == Answer(tool_calls=(ToolCall("on", {"room": "cellar"}),))
    (prompt,) = reader.prompts
    assert prompt.count("Answer: ") == SHOWN
    assert prompt.startswith("hint t: ")
    assert prompt.endswith("Request: light the cellar\nAnswer:")
    assert seen.similarity == pytest.approx(1.0, abs=1e-3)


def test_only_examples_of_the_same_task_are_shown() -> None:
    reader = Reader()
    examples = [Shown("t", "light the hall", "on {}"), Shown("u", "light the hall", "off {}")]
    first, second = prompted(reader, examples).consider([item("light the hall"), item("light the hall", "u")])
    assert first.answer == Answer(tool_calls=(ToolCall("on", {}),))
    assert second.answer == Answer(tool_calls=(ToolCall("off", {}),))
    assert [prompt.count("Answer: ") for prompt in reader.prompts] == [1, 1]


def test_a_task_without_examples_is_asked_without() -> None:
    (seen,) = prompted(Reader(), [Shown("u", "x", "on {}")]).consider([item("light the hall")])
    assert seen.answer is None
    assert seen.similarity == 0.0


def test_examples_that_do_not_fit_the_context_are_left_out_the_farthest_first() -> None:
    reader = Reader()
    examples = [Shown("t", f"light the {room} {'x ' * 600}", "on {}") for room in ROOMS]
    near = Shown("t", "light the hall", 'on {"room":"hall"}')
    (seen,) = prompted(reader, [*examples, near]).consider([item("light the hall")])
    assert seen.answer == Answer(tool_calls=(ToolCall("on", {"room": "hall"}),))
    assert 1 <= reader.prompts[0].count("Answer: ") < SHOWN
    assert len(reader.prompts[0]) + MAX_TOKENS <= CONTEXT


def test_a_request_that_fits_into_no_prompt_is_not_asked_and_the_others_are() -> None:
    reader = Reader()
    long, short = prompted(reader).consider([item("y" * CONTEXT), item("light the hall")])
    assert long.answer is None
    assert short.answer is not None
    assert len(reader.prompts) == 1
    assert len(long.features) == len(short.features)


def test_examples_that_say_the_same_make_it_look_sure() -> None:
    same = [Shown("t", f"light the {room}", "on {}") for room in ROOMS]
    mixed = [Shown("t", f"light the {room}", f'on {{"room":"{room}"}}') for room in ROOMS]
    sure, unsure = (prompted(Reader(), each).consider([item("light the hall")])[0] for each in (same, mixed))
    assert sure.features[-2:] == (1.0, 1.0)
    assert unsure.features[-2:] == pytest.approx((1 / SHOWN, 1.0))


def test_nothing_asked_is_nothing_answered() -> None:
    assert prompted(Reader()).consider([]) == []


def test_a_foreign_task_is_an_error() -> None:
    with pytest.raises(EngineError, match="does not serve task v"):
        prompted(Reader()).consider([item("light the hall", "v")])


def test_a_prompted_specialist_survives_its_folder(tmp_path: Path) -> None:
    made = prompted(Reader(), [Shown("t", "line\u2028separated", "on {}"), Shown("u", "x", "off {}")])
    made.save(tmp_path)
    again = PromptedSpecialist.load(tmp_path, RuleEngine(Reader()), EMBEDDER)
    items = [item("line separated"), item("light", "u")]
    assert again.card == made.card
    assert again.consider(items) == made.consider(items)


@pytest.mark.parametrize("name", [FILE, NEIGHBOURS])
@pytest.mark.parametrize("content", [None, b"nonsense", b"[[1, 2]]"])
def test_broken_examples_are_named(name: str, content: bytes | None, tmp_path: Path) -> None:
    prompted(Reader()).save(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(EngineError, match="holds no examples"):
        PromptedSpecialist.load(tmp_path, RuleEngine(Reader()), EMBEDDER)


def test_examples_without_a_vector_each_are_named(tmp_path: Path) -> None:
    prompted(Reader()).save(tmp_path)
    (tmp_path / FILE).write_text(json.dumps([["t", "x", "on {}"]]))
    with pytest.raises(EngineError, match="1 examples and 8 vectors"):
        PromptedSpecialist.load(tmp_path, RuleEngine(Reader()), EMBEDDER)
    np.save(tmp_path / NEIGHBOURS, np.ones((1, 64), np.float16))
    assert PromptedSpecialist.load(tmp_path, RuleEngine(Reader()), EMBEDDER).card.id == "prompted-1"
