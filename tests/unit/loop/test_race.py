from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from offramp.core.errors import UpstreamError
from offramp.curate.curate import curate
from offramp.loop import race
from offramp.loop.candidates import CANDIDATES
from offramp.loop.ladder import Brief, Workshop, make
from offramp.loop.pipeline import Stages, find_tasks
from offramp.loop.race import LEAST_TRAINED, MOST_ASKED, PART, is_slow, left_out, part_of
from offramp.loop.workshop import Asked
from offramp.select import Trial, units_of
from offramp.testing.embedder import HashEmbedder
from offramp.testing.engine import FakeTraining, RuleEngine
from offramp.testing.memory_store import MemoryStore
from offramp.testing.traffic import ROOMS, Agent, calls_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from offramp.core.errors import OfframpError
    from offramp.core.json import JsonObject
    from offramp.core.model import EngineRequest

ALPHA = 0.1
QUICK = Trial("template", 300, 0.5, 0.3, 1.0)


@pytest.fixture(scope="module")
def brief() -> Brief:
    agent = Agent()
    store = MemoryStore()
    store.append(calls_of([agent.light() for _ in range(1800)]))
    calls, discovery = find_tasks(store, Stages(), lambda _: None)
    (unit,) = units_of(discovery.tasks)
    return Brief(unit, curate(calls, discovery.assignment, unit.tasks))


def knows(request: EngineRequest) -> tuple[str, float]:
    """What an adapter makes of it: the right answer; the bare base, prompted, says the same to all."""
    words = request.prompt.replace("\n", " ").split()
    room = next((word for word in reversed(words) if word in ROOMS), "")
    name = "light_on" if "on" in words else "light_off"
    if not request.adapter:
        room = "nowhere"
    return f"{name} {json.dumps({'room': room})}", -0.01


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    engine = RuleEngine(knows)
    return Workshop(tmp_path / "specialists", HashEmbedder(), lambda: engine, FakeTraining(), "nano")


def test_kinds_that_train_for_long_are_slow() -> None:
    slow = {kind for kind in CANDIDATES if is_slow(kind)}
    assert slow >= {"extractive", "lora", "prompted", "cheaper"}
    assert not slow & {"cache", "template", "classifier"}


def test_a_part_is_whole_sessions_and_no_calibration_call(brief: Brief) -> None:
    part = part_of(brief, trained=PART * len(brief.train), seed=3)
    assert LEAST_TRAINED <= len(part.train) <= PART * len(brief.train)
    ids = [item.call.id for item in part.train]
    assert ids == [item.call.id for item in brief.train if item.call.id in ids]
    assert len(part.dataset.parts["validation"]) <= MOST_ASKED
    assert part.dataset.parts["calibration"] == part.dataset.parts["test"] == ()
    assert not any(part.dataset.repeats.values())
    assert part_of(brief, trained=PART * len(brief.train), seed=3).train == part.train
    assert part_of(brief, trained=PART * len(brief.train), seed=4).train != part.train


def test_what_is_clearly_behind_on_a_part_is_not_trained_in_full(brief: Brief, workshop: Workshop) -> None:
    said: list[str] = []
    left = left_out(["lora", "prompted"], brief, workshop, [QUICK], ALPHA, said.append)
    assert list(left) == ["prompted"]
    assert "not trained in full" in left["prompted"]
    assert "it could answer 0%" in left["prompted"]
    assert len(said) == 3
    assert list(workshop.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("coverages", "left"),
    [
        ({"template": 0.5, "lora": 0.40, "prompted": 0.30}, ["prompted"]),  # dearer than lora, and behind it
        ({"template": 0.5, "lora": 0.30, "prompted": 0.40}, []),  # cheaper ones may be behind by luck
        ({"template": 0.5, "lora": 0.40, "prompted": 0.39}, []),  # within the margin
    ],
)
def test_who_is_dearer_than_another_that_trains_has_to_be_as_good_on_the_part(
    coverages: dict[str, float],
    left: list[str],
    brief: Brief,
    workshop: Workshop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A quick kind ahead leaves nobody out: it profits least from more calls."""
    monkeypatch.setattr(race, "_run", lambda kind, *_: race._Ran(coverages[kind], 1.0))
    assert list(left_out(["lora", "prompted"], brief, workshop, [QUICK], ALPHA)) == left


def test_what_the_quick_kinds_all_but_solve_is_left_to_them(brief: Brief, workshop: Workshop) -> None:
    best = replace(QUICK, coverage=0.985)
    left = left_out(["lora", "prompted"], brief, workshop, [QUICK, best], ALPHA)
    assert set(left) == {"lora", "prompted"}
    assert "template could answer 98% already" in left["lora"]
    assert not workshop.folder.exists()


def test_one_slow_kind_alone_has_nobody_to_race(brief: Brief, workshop: Workshop) -> None:
    assert left_out(["lora"], brief, workshop, [replace(QUICK, coverage=0.0)], ALPHA) == {}
    assert left_out(["lora"], brief, workshop, [], ALPHA) == {}
    assert left_out([], brief, workshop, [QUICK], ALPHA) == {}


def test_few_calls_are_trained_on_in_full_at_once(brief: Brief, workshop: Workshop) -> None:
    parts = {**brief.dataset.parts, "train": tuple(brief.train[: int(LEAST_TRAINED / PART) - 1])}
    small = replace(brief, dataset=replace(brief.dataset, parts=parts))
    assert left_out(["lora", "prompted"], small, workshop, [QUICK], ALPHA) == {}
    assert not workshop.folder.exists()


def test_what_was_trained_before_is_opened_and_does_not_race(brief: Brief, workshop: Workshop) -> None:
    make("prompted", brief, workshop)
    assert left_out(["lora", "prompted"], brief, workshop, [], ALPHA) == {}


def test_what_cannot_do_the_task_is_told_by_whoever_tries_it(brief: Brief, workshop: Workshop) -> None:
    assert left_out(["prompted", "cheaper"], brief, workshop, [], ALPHA) == {}


def test_what_fails_on_the_part_is_left_out_with_its_error(brief: Brief, workshop: Workshop) -> None:
    class Down:
        def ask(self, requests: Sequence[JsonObject]) -> list[JsonObject | OfframpError]:
            return [UpstreamError("HTTP 500: on fire") for _ in requests]

    asking = replace(workshop, cheaper=Asked("mini", Down))
    left = left_out(["lora", "cheaper"], brief, asking, [], ALPHA)
    assert list(left) == ["cheaper"]
    assert "mini gave no answer: HTTP 500" in left["cheaper"]


def test_a_race_that_is_broken_off_leaves_nothing(brief: Brief, workshop: Workshop) -> None:
    broken = replace(workshop, train_adapter=FakeTraining(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        left_out(["lora", "prompted"], brief, broken, [], ALPHA)
    assert list(workshop.folder.iterdir()) == []
