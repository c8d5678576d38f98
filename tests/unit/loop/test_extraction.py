"""What one origin says again and again must not be said to another by a specialist that keeps words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from offramp.curate.curate import curate
from offramp.loop.ladder import Brief, Workshop, make
from offramp.loop.pipeline import Stages, find_tasks
from offramp.select import units_of
from offramp.testing.canaries import VICTIM, Planted, parrot, read_out
from offramp.testing.embedder import HashEmbedder
from offramp.testing.encoder import write_encoder
from offramp.testing.engine import FakeTraining, RuleEngine
from offramp.testing.memory_store import MemoryStore
from offramp.testing.traffic import FILLER, ROOMS, Agent, calls_of

if TYPE_CHECKING:
    from pathlib import Path

ORIGINS = 12
SESSIONS = 200
REPEATS = 12

TOLD = Planted("light my usual place", "493817", asked=False, tool="light_on", argument="room")
ASKED = Planted("open the safe with", "771203", asked=True, tool="light_off", argument="room")
LABEL = Planted("where does my own matter go", "880416", asked=False)


@dataclass(frozen=True)
class World:
    """Traffic of many origins with one origin's secrets in it."""

    brief: Brief
    planted: tuple[Planted, ...]

    def said(self, kind: str, workshop: Workshop) -> list[str]:
        """Make a specialist and return the payloads that made it say a secret."""
        specialist = make(kind, self.brief, workshop)
        like = [(row.task, row.call.request) for row in self.brief.train[:1]]
        return [payload for planted in self.planted for payload in read_out(specialist, planted, like)]

    def written(self, kind: str, workshop: Workshop) -> list[str]:
        """Make a specialist and return the files that hold a secret."""
        folder = workshop.folder / make(kind, self.brief, workshop).card.id
        files = [path for path in folder.rglob("*") if path.is_file()]
        return [
            path.name
            for path in files
            if any(planted.secret.encode() in path.read_bytes() for planted in self.planted)
        ]


def world(kind: str, *planted: Planted) -> World:
    agent = Agent()
    calls = calls_of([getattr(agent, kind)() for _ in range(SESSIONS)])
    calls = [replace(call, origin=f"origin-{number % ORIGINS}") for number, call in enumerate(calls)]
    store = MemoryStore()
    # All through the time of training, which ends before half of the calls are over.
    store.append([*calls, *(call for one in planted for call in one.calls(calls[: 5 * REPEATS : 5]))])
    found, discovery = find_tasks(store, Stages(), lambda _: None)
    (unit,) = units_of(discovery.tasks)
    brief = Brief(unit, curate(found, discovery.assignment, unit.tasks))
    victims = [row for row in brief.train if row.call.origin == VICTIM]
    assert len(victims) >= len(planted) * REPEATS // 2
    return World(brief, planted)


@pytest.fixture(scope="module")
def lights() -> World:
    return world("light", TOLD, ASKED)


@pytest.fixture(scope="module")
def router() -> World:
    return world("route", LABEL)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    known = (*ROOMS, *FILLER, *TOLD.words.split(), *ASKED.words.split(), "turn", "on", "off")
    encoder = write_encoder(tmp_path / "encoder", tuple(dict.fromkeys(known)))
    return Workshop(
        tmp_path / "specialists",
        HashEmbedder(),
        lambda: RuleEngine(parrot),
        FakeTraining(),
        "nano",
        encoder=encoder,
    )


@pytest.mark.parametrize("kind", ["cache", "template", "classifier", "extractive", "prompted"])
def test_a_secret_of_one_origin_cannot_be_read_out_of_tool_calls(
    kind: str, lights: World, workshop: Workshop
) -> None:
    assert lights.said(kind, workshop) == []
    # What whoever asks has to say first, a cache may hold.
    assert lights.written(kind, workshop) == (["cache.json"] if kind == "cache" else [])


@pytest.mark.parametrize("kind", ["cache", "template", "classifier", "extractive", "prompted"])
def test_a_secret_of_one_origin_cannot_be_read_out_of_labels(
    kind: str, router: World, workshop: Workshop
) -> None:
    assert router.said(kind, workshop) == []
    assert router.written(kind, workshop) == []


@pytest.mark.parametrize("kind", ["cache", "template", "classifier", "prompted"])
def test_without_the_minimum_the_secret_is_said(
    kind: str, lights: World, router: World, workshop: Workshop
) -> None:
    """The control: the attack finds what is there to be found."""
    for world in (lights, router):
        assert world.said(kind, replace(workshop, min_origins=1))


def test_without_the_minimum_a_student_knows_the_secret(
    lights: World, router: World, workshop: Workshop
) -> None:
    """The same for the student, which a toy encoder does not teach to say what it could."""
    careless = replace(workshop, min_origins=1)
    assert lights.written("extractive", careless) == ["config.json"]
    assert sorted(router.written("extractive", careless)) == ["config.json", "opinion.npz"]


def test_another_minimum_makes_another_specialist(lights: World, workshop: Workshop) -> None:
    one, five = (make("cache", lights.brief, shop) for shop in (replace(workshop, min_origins=1), workshop))
    assert one.card.id != five.card.id
