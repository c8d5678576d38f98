from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from offramp.core.errors import EngineError, OfframpError
from offramp.curate.curate import curate
from offramp.engine.specialist import TaskRequest
from offramp.loop.candidates import candidate_of
from offramp.loop.ladder import Brief, Workshop, make, open_specialist
from offramp.loop.pipeline import Stages, find_tasks
from offramp.select import units_of
from offramp.testing.embedder import HashEmbedder
from offramp.testing.encoder import write_encoder
from offramp.testing.engine import FakeTraining, RuleEngine
from offramp.testing.memory_store import MemoryStore
from offramp.testing.traffic import FILLER, ROOMS, Agent, calls_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def brief() -> Brief:
    agent = Agent()
    store = MemoryStore()
    store.append(calls_of([agent.light() for _ in range(160)]))
    calls, discovery = find_tasks(store, Stages(), lambda _: None)
    (unit,) = units_of(discovery.tasks)
    return Brief(unit, curate(calls, discovery.assignment, unit.tasks))


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def workshop(tmp_path: Path, told: list[str]) -> Workshop:
    def no_engine() -> RuleEngine:
        raise EngineError("An extractive student needs no engine.")

    encoder = write_encoder(tmp_path / "encoder", (*ROOMS, *FILLER, "light", "the", "on", "off", "switch"))
    folder = tmp_path / "specialists"
    return Workshop(
        folder, HashEmbedder(), no_engine, FakeTraining(), "nano", encoder=encoder, say=told.append
    )


def test_what_was_made_is_opened_again_and_says_the_same(brief: Brief, workshop: Workshop) -> None:
    made = make("extractive", brief, workshop)
    asked = [TaskRequest(row.task, row.call.request) for row in brief.dataset.parts["validation"]]
    opened = open_specialist(workshop.folder / made.card.id, workshop.tools)
    assert type(opened) is type(made)
    assert opened.consider(asked) == made.consider(asked)
    assert opened.card.training["examples"] == len(brief.train)
    assert opened.card.base == candidate_of("extractive").base(workshop)


def test_another_seed_makes_another_student_and_more_threads_the_same(
    brief: Brief, workshop: Workshop
) -> None:
    recipes = [
        candidate_of("extractive").recipe(shop)
        for shop in (workshop, replace(workshop, threads=2), replace(workshop, seed=1))
    ]
    assert recipes[0] == recipes[1] != recipes[2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda brief, workshop: (brief, replace(workshop, encoder=None)), "no encoder is set up"),
        (lambda brief, workshop: (_with(brief, 20), workshop), "20 training calls; it needs 50"),
    ],
)
def test_what_it_cannot_do_is_told(
    change: Callable[[Brief, Workshop], tuple[Brief, Workshop]],
    reason: str,
    brief: Brief,
    workshop: Workshop,
) -> None:
    with pytest.raises(OfframpError, match=reason):
        make("extractive", *change(brief, workshop))


def _with(brief: Brief, calls: int) -> Brief:
    parts = {**brief.dataset.parts, "train": tuple(brief.train[:calls])}
    return Brief(brief.unit, replace(brief.dataset, parts=parts))
