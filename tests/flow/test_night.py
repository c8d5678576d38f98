"""A whole night on synthetic traffic: from recorded calls to what is promoted, and what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from offramp.app.decisions import decisions
from offramp.app.summary import summarise
from offramp.config import CertifySettings, Settings
from offramp.core.call import OutputType
from offramp.core.errors import BadInput, NotFound
from offramp.core.measure import Measure, Measures
from offramp.loop import state
from offramp.loop.ladder import Workshop
from offramp.loop.night import Goal
from offramp.loop.pipeline import SHARES, Stages, find_tasks, run_night
from offramp.select import KINDS
from offramp.storage.sqlite import SqliteStore
from offramp.testing.embedder import HashEmbedder
from offramp.testing.engine import FakeTraining, RuleEngine
from offramp.testing.memory_store import MemoryStore
from offramp.testing.traffic import ROOMS, SONGS, TEAMS, Agent, calls_of, say

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from offramp.core.call import Call
    from offramp.core.json import JsonObject
    from offramp.core.model import EngineRequest
    from offramp.loop.night import Conversion
    from offramp.storage.port import Store

SESSIONS = 400
ALPHA, DELTA = 0.1, 0.4


def assistant(request: EngineRequest) -> tuple[str, float]:
    """What a well-trained adapter would do: knows lights and music, guesses in the fog."""
    words = request.prompt.split()
    rooms = [word for word in words if word in ROOMS]
    songs = [word for word in words if word.startswith(SONGS)]
    if rooms:
        name = "light_on" if "on" in words else "light_off"
        return f"{name} {json.dumps({'room': rooms[0]})}", -0.01
    if songs:
        return f"music_play {json.dumps({'title': songs[0]})}", -0.01
    return 'steer_port {"speed":"slow"}', -0.01


def raises(error: BaseException) -> Callable[..., None]:
    def broken(*_: object, **__: object) -> None:
        raise error

    return broken


@dataclass
class World:
    """One installation's store and workshop."""

    store: Store
    folder: Path
    training: FakeTraining = field(default_factory=FakeTraining)
    said: list[str] = field(default_factory=list)
    engines: int = 0
    kinds: tuple[str, ...] = KINDS
    measures: Measures = field(default_factory=Measures)

    def record(self, *kinds: str, sessions: int = SESSIONS, seed: int = 0, first: int = 0) -> None:
        agent = Agent(seed)
        pairs = [getattr(agent, kind)() for _ in range(sessions) for kind in kinds]
        self.store.append(calls_of(pairs, per_session=len(kinds), first=first))

    def engine(self) -> RuleEngine:
        self.engines += 1
        return RuleEngine(assistant)

    def night(self, *, task: str | None = None, goal: Goal | None = None) -> list[Conversion]:
        stages = Stages()
        found = find_tasks(self.store, stages, self.said.append, measures=self.measures)
        workshop = Workshop(
            self.folder, HashEmbedder(), self.engine, self.training, "nano", lambda: 7.0, self.kinds
        )
        goal = goal or Goal(ALPHA, DELTA)
        return run_night(self.store, found, workshop, goal, stages, self.said.append, task=task)

    def task(self, word: str) -> str:
        """Id of the one task whose name holds a word."""
        (found,) = [task.id for task in state.load_tasks(self.store) if word in task.name.lower()]
        return found

    def documents(self) -> JsonObject:
        kinds = (state.CONVERSION, state.CONFIDENCE, state.DEPLOYMENT)
        return {kind: self.store.documents(kind) for kind in kinds} | {"rounds": state.rounds(self.store)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(MemoryStore(), tmp_path / "specialists")


def test_a_label_task_is_certified_and_goes_live(world: World) -> None:
    world.record("route")
    (conversion,) = world.night()
    assert conversion.chosen.kind == "template"
    assert conversion.certified
    assert conversion.certificate is not None
    assert conversion.certificate.risk_upper <= ALPHA
    assert conversion.certificate.delta == pytest.approx(DELTA / 2)
    assert conversion.certificate.measure == Measure.LABEL.wording
    (deployment,) = state.promote(world.store)
    assert state.deployments(world.store) == [deployment]
    assert deployment.specialist == conversion.specialist
    assert deployment.threshold == conversion.certificate.threshold
    assert world.training.runs == 0
    assert world.engines == 0


def test_the_same_night_on_sqlite_leaves_the_same_documents(world: World, tmp_path: Path) -> None:
    on_disk = World(SqliteStore(tmp_path / "offramp.db", b"k" * 32), tmp_path / "on disk")
    for one in (world, on_disk):
        one.record("route", sessions=240)
        one.night()
        state.promote(one.store)
    left, right = (json.loads(json.dumps(one.documents())) for one in (world, on_disk))
    for documents in (left, right):
        for conversion in documents[state.CONVERSION].values():
            conversion.pop("seconds")
            conversion.pop("seconds_per_call")
            for trial in (conversion["chosen"], *conversion["trials"]):
                for timed in ("seconds", "per_call", "usd_per_1000"):
                    trial.pop(timed)
    assert left == right
    on_disk.store.close()


def test_a_task_that_nothing_predicts_is_refused_with_a_reason(world: World) -> None:
    world.record("flip")
    (conversion,) = world.night()
    assert not conversion.certified
    assert conversion.chosen.kind == "keep_llm"
    assert state.promote(world.store) == []
    assert "keep the LLM" in world.said[-1]


def wavering(calls: list[Call], *, every: int) -> list[Call]:
    """Ask each question twice in its session; every so often, the second answer is another team's."""
    asked = []
    for number, call in enumerate(calls):
        said = call.response["choices"][0]["message"]["content"]
        other = next(team for team in TEAMS if team != said)
        answer = say(other if number % every == 0 else said)
        asked += [call, replace(call, id=f"{call.id}-again", at=call.at + 1.0, response=answer)]
    return asked


@pytest.mark.parametrize("ceiling", [False, True])
def test_alpha_follows_the_teachers_own_agreement_only_where_that_is_asked_for(
    world: World, tmp_path: Path, ceiling: bool
) -> None:
    agent = Agent(0)
    calls = calls_of(agent.route() for _ in range(SESSIONS))
    world.store.append(wavering(calls, every=4))
    (conversion,) = world.night(goal=Goal(ALPHA, DELTA, ceiling=ceiling))
    certificate = conversion.certificate
    summary = summarise(world.store, Settings(home=tmp_path, certify=CertifySettings(alpha=ALPHA)))
    if not ceiling:
        assert not conversion.certified
        assert summary.alpha == ALPHA
        return
    assert certificate is not None
    assert conversion.certified
    assert certificate.asked == ALPHA
    assert certificate.self_agreement is not None
    assert certificate.self_agreement == pytest.approx(0.75, abs=0.05)
    assert certificate.alpha == pytest.approx(1 - certificate.self_agreement + 0.01)
    assert "agrees with itself" in certificate.reason
    assert summary.alpha == certificate.alpha


def test_free_text_is_no_unit_at_all(world: World) -> None:
    world.record("rhyme", "route")
    (conversion,) = world.night()
    assert [task.output.value for task in conversion.unit.tasks] == ["label"]
    verse = next(task for task in state.load_tasks(world.store) if not task.convertible)
    with pytest.raises(NotFound, match="not convertible: Free text"):
        world.night(task=verse.id)


def shouting(calls: list[Call]) -> list[Call]:
    """Many an answer's arguments come in capitals: the teacher's whim, which nothing predicts."""
    for number, call in enumerate(calls):
        function = call.response["choices"][0]["message"]["tool_calls"][0]["function"]
        if number % 7 in {0, 2, 5}:
            title = json.loads(function["arguments"])["title"]
            function["arguments"] = json.dumps({"title": title.upper()})
    return calls


def test_what_only_the_loose_measure_calls_the_same_is_certified_only_under_it(world: World) -> None:
    agent = Agent(0)
    world.kinds = ("lora",)
    world.store.append(shouting(calls_of([agent.play() for _ in range(SESSIONS)])))
    (strict,) = world.night()
    assert not strict.certified
    world.measures = Measures(forms={OutputType.TOOL_CALL: Measure.TOOLS_LOOSE})
    (loose,) = world.night()
    assert loose.certificate is not None
    assert loose.certified
    assert loose.certificate.measure == Measure.TOOLS_LOOSE.wording
    assert loose.fields == {}
    # Confidence and threshold are of one measure: another one is another specialist.
    assert world.training.runs == 2
    with pytest.raises(NotFound, match=r"up to punctuation and defaults\); the settings compare"):
        state.promote(world.store, loose.unit.tasks[0].id)
    (deployment,) = state.promote(world.store, measures=world.measures)
    assert deployment.measure == Measure.TOOLS_LOOSE.wording


def test_free_text_is_certified_as_normalised_text_where_that_was_chosen(world: World) -> None:
    agent = Agent(0)
    pairs = []
    for number in range(SESSIONS):
        request, response = agent.route()
        team = response["choices"][0]["message"]["content"]
        answer = f"Thank you for writing to us. Our {team} team takes care of this and answers within a day"
        pairs.append((request, say(answer + (" !" if number % 3 else "."))))
    world.kinds = ("classifier",)
    world.store.append(calls_of(pairs))
    assert world.night() == []
    world.measures = Measures(forms={OutputType.TEXT: Measure.TEXT})
    (conversion,) = world.night()
    assert conversion.unit.output is OutputType.TEXT
    assert conversion.certificate is not None
    assert conversion.certified
    assert conversion.certificate.measure == Measure.TEXT.wording


def test_a_group_defers_the_member_that_guesses(world: World) -> None:
    world.record("light", "play", "steer")
    # The guesses are wrong in a quarter of the calls: too often alone, bearable in the pool.
    (conversion,) = world.night(goal=Goal(0.15, DELTA))
    assert conversion.chosen.kind == "lora"
    assert conversion.certified
    assert conversion.certificate is not None
    deferred = {member.task for member in conversion.certificate.members if member.deferred}
    (fog,) = [task.id for task in conversion.unit.tasks if "boat" in task.name.lower()]
    assert deferred == {fog}
    (deployment,) = state.promote(world.store, conversion.unit.tasks[0].id)
    assert set(deployment.tasks) == {task.id for task in conversion.unit.tasks} - {fog}
    assert deployment.scope == "group"
    assert any("steer" in where for where in conversion.fields)
    assert sum(deployment.mix.values()) == pytest.approx(1.0)


def test_a_summary_says_what_became_of_every_task(world: World, tmp_path: Path) -> None:
    world.record("light", "play", "steer", "rhyme")
    (conversion,) = world.night(goal=Goal(0.15, DELTA))
    summary = summarise(world.store, Settings(home=tmp_path), title="a test")
    assert [task.decision for task in summary.tasks].count("specialist") == 2
    (learned,) = summary.learning
    assert learned.parts.keys() == {"train", "validation", "calibration"}
    assert learned.differing == conversion.fields
    refused = " ".join(task.reason for task in summary.tasks if task.decision == "keep_llm")
    assert "Always deferred" in refused
    assert "Free text" in refused
    assert summary.calls_total == 4 * SESSIONS
    (group,) = summary.groups
    assert conversion.certificate is not None
    assert (group.id, group.n) == (conversion.specialist, conversion.certificate.n)
    assert summary.plan is not None
    # So few calls do not pay for a device, and the plan must not say that they do.
    assert 0 < summary.plan["costs"]["llm_only"] < summary.plan["costs"]["with_offramp"]


def test_what_templates_solve_is_not_trained_for(world: World) -> None:
    world.record("light", "play")
    (conversion,) = world.night()
    assert conversion.chosen.kind == "template"
    (left,) = [trial.note for trial in conversion.trials if trial.kind == "lora"]
    assert "could answer" in left
    assert world.training.runs == 0


def test_the_choice_and_its_reasons_are_stored(world: World) -> None:
    world.record("light", "play", "steer")
    (conversion,) = world.night(goal=Goal(0.15, DELTA))
    (decision,) = decisions(world.store)
    assert decision.chosen == conversion.chosen.kind == decision.considered[0].kind
    assert {one.kind for one in decision.considered} == set(KINDS)
    assert all(one.reason for one in decision.considered)
    assert decision.considered[0].reason.startswith("chosen: ")
    assert all(one.per_call > 0 for one in decision.considered if one.measured)


def test_every_night_spends_from_the_same_delta(world: World) -> None:
    world.record("route")
    deltas = [world.night()[0].certificate for _ in range(3)]
    spent = [certificate.delta for certificate in deltas if certificate is not None]
    assert spent == pytest.approx([DELTA / 2, DELTA / 6, DELTA / 12])
    assert state.rounds(world.store) == 3


def test_units_of_one_night_share_its_delta(world: World) -> None:
    world.record("route", "light")
    first, second = world.night()
    assert first.certificate is not None
    assert second.certificate is not None
    assert [first.certificate.delta, second.certificate.delta] == pytest.approx([DELTA / 4] * 2)


def test_an_interrupted_night_leaves_the_store_and_the_next_one_works(world: World) -> None:
    world.kinds = ("cache", "lora")
    world.record("light", "play")
    world.training.trouble = KeyboardInterrupt()
    before = world.documents()
    with pytest.raises(KeyboardInterrupt):
        world.night()
    assert world.documents() == before
    assert not list(world.folder.glob("lora-*/specialist.json"))
    (conversion,) = world.night()
    assert conversion.certified
    assert world.training.runs == 1
    assert (world.folder / conversion.specialist / "specialist.json").is_file()


def test_a_night_interrupted_after_a_look_at_calibration_calls_has_used_its_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.record("route")
    # Right after the look, before anything is written: only a patch gets there.
    monkeypatch.setattr(state, "save_conversions", raises(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        world.night()
    monkeypatch.undo()
    (conversion,) = world.night()
    assert conversion.certificate is not None
    assert conversion.certificate.delta == pytest.approx(DELTA / 6)
    assert state.rounds(world.store) == 2


def test_a_night_that_looked_at_no_calibration_call_has_used_no_round(world: World) -> None:
    world.record("flip")
    world.night()
    assert state.rounds(world.store) == 0


def test_the_same_data_opens_the_same_specialist_again(world: World) -> None:
    world.kinds = ("cache", "lora")
    world.record("light", "play")
    (first,) = world.night()
    (second,) = world.night()
    assert second.specialist == first.specialist
    assert second.confidence == first.confidence
    assert world.training.runs == 1


def test_more_data_makes_another_specialist(world: World) -> None:
    world.record("route")
    (first,) = world.night()
    world.record("route", sessions=60, seed=1, first=SESSIONS)
    (second,) = world.night()
    assert second.specialist != first.specialist


def test_converting_one_task_keeps_the_others(world: World) -> None:
    world.record("route", "light")
    world.night()
    label = next(task for task in state.load_tasks(world.store) if task.output.value == "label")
    (again,) = world.night(task=label.id)
    assert [task.id for task in again.unit.tasks] == [label.id]
    assert len(world.store.documents(state.CONVERSION)) == 2
    assert len(state.promote(world.store)) == 2


def test_a_full_night_forgets_units_that_are_gone(world: World) -> None:
    world.record("route")
    world.store.put(state.CONVERSION, "t-gone", {"certified": True, "tasks": ["t-gone"]})
    world.night()
    assert "t-gone" not in world.store.documents(state.CONVERSION)


def repeated(fresh_until: int) -> list[Call]:
    """Messages that are new up to some call, and repeat earlier ones from there on."""
    agent = Agent()
    pairs = [agent.route() for _ in range(fresh_until)]
    return calls_of([pairs[number % fresh_until] for number in range(SESSIONS)])


def test_traffic_that_only_repeats_itself_is_answered_from_a_cache(world: World) -> None:
    world.store.append(repeated(30))
    (conversion,) = world.night()
    assert conversion.chosen.kind == "cache"
    assert conversion.certified
    (trial,) = [trial for trial in conversion.trials if trial.kind == "classifier"]
    assert "no validation call is left" in trial.note


def test_without_a_new_calibration_call_only_a_cache_is_certified(world: World) -> None:
    world.store.append(repeated(round((SHARES.train + SHARES.validation / 2) * SESSIONS)))
    (conversion,) = world.night()
    assert (conversion.certified, conversion.chosen.kind) == (True, "cache")
    # Nothing else has a call to be certified on, however well it does on validation calls.
    assert {trial.coverage for trial in conversion.trials if trial.kind != "cache"} == {0.0}


def test_an_unknown_task_is_named(world: World) -> None:
    world.record("route", sessions=70)
    with pytest.raises(NotFound, match="no task 't-nowhere' among the 1"):
        world.night(task="t-nowhere")


def test_what_specialists_answered_teaches_nothing(world: World) -> None:
    agent = Agent()
    calls = calls_of([agent.route() for _ in range(70)])
    theirs = [replace(call, route="classifier-1") for call in calls[::2]]
    world.store.append([*theirs, *calls[1::2]])
    read, discovery = find_tasks(world.store, Stages(), world.said.append)
    assert len(read) == 35
    assert sum(task.calls for task in discovery.tasks) == 35


def test_nothing_recorded_is_a_clear_error(world: World) -> None:
    with pytest.raises(BadInput, match="No calls are recorded yet"):
        world.night()
