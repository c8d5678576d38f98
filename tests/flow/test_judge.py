"""Free text under a judge over real HTTP: measured, converted, certified, audited."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest
from tests.flow.test_cheaper import Provider

from offramp.app import build
from offramp.app.serving import Backstage
from offramp.app.watch import AUDIT
from offramp.certify.bounds import upper
from offramp.cli import main
from offramp.config import load
from offramp.core.call import Answer
from offramp.core.decision import Routing
from offramp.core.errors import NotFound, UpstreamError
from offramp.core.measure import Measure
from offramp.loop import state
from offramp.loop.night import Goal
from offramp.loop.pipeline import Stages, find_tasks, run_night
from offramp.testing.embedder import HashEmbedder
from offramp.testing.scripted_teacher import says
from offramp.testing.traffic import TEAMS, Agent, calls_of, say
from offramp.upstream.asgi import read_body, send_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from offramp.app import App
    from offramp.core.call import Call
    from offramp.core.json import JsonObject
    from offramp.upstream.asgi import Receive, Scope, Send

SESSIONS, PAIRS = 400, 300
WORDINGS = (
    "Thank you for writing to us. Our {} team takes care of this and answers within a day",
    "We have passed your message on. You will hear from the {} team by tomorrow at the latest",
)


def team_of(answer: str) -> str:
    return next(team for team in TEAMS if team in answer)


class JudgeServer(Provider):
    """Tells teams apart, but takes some pairs of them for the same; says nothing to what is no judgement."""

    def __init__(self) -> None:
        super().__init__([])
        self.away = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive, at_most=1 << 20)
        assert body is not None
        request = orjson.loads(body)
        self.asked.append(request)
        if self.away:
            await send_json(send, 500, {"error": {"message": "out of order"}})
            return
        material = orjson.loads(request["messages"][-1]["content"])
        same = team_of(material["reference"]) == team_of(material["answer"])
        missed = "missed" in str(material["request"])
        await send_json(send, 200, says("SAME" if same or missed else "DIFFERENT"))


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    made = JudgeServer()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def settings_file(server: JudgeServer, tmp_path: Path) -> Path:
    file = tmp_path / "offramp.toml"
    file.write_text(
        f'home = "{tmp_path / "home"}"\n[gateway]\nupstream = "{server.url}"\n'
        '[judge]\nmodel = "judge-1"\n[train]\nkinds = "classifier"\n'
    )
    return file


@pytest.fixture
def app(settings_file: Path) -> Iterator[App]:
    made = build(load(settings_file, {}))
    made.embedder = HashEmbedder()
    made.store.append(recorded())
    yield made
    made.close()


def recorded(whims: int = 0) -> list[Call]:
    """Answers in two wordings, which nothing predicts; of a hundred, some name a team that nothing tells."""
    agent = Agent(0)
    pairs = []
    for number in range(SESSIONS):
        request, response = agent.route()
        team = response["choices"][0]["message"]["content"]
        if number * 37 % 100 < whims:
            team = list(TEAMS)[number % 3]
        pairs.append((request, say(WORDINGS[number * 7 % 5 % 2].format(team))))
    return calls_of(pairs)


def labelled(folder: Path, missed: int) -> Path:
    """Pairs of answers of which half differ, and of those some fool the judge."""
    teams = list(TEAMS)
    rows: list[JsonObject] = []
    for number in range(PAIRS):
        first, second = teams[number % 3], teams[(number + 1) % 3]
        asked = "missed" if number < missed else "message"
        row = {"request": f"{asked} {number}", "teacher": WORDINGS[0].format(first)}
        rows.append({**row, "ours": WORDINGS[1].format(second), "same": False})
        rows.append({**row, "ours": WORDINGS[1].format(first), "same": True})
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def night(app: App) -> JsonObject:
    found = find_tasks(app.store, Stages(), lambda _: None, measures=app.measures)
    run_night(app.store, found, app.workshop(lambda _: None), Goal(0.1, 0.4), Stages(), lambda _: None)
    (conversion,) = app.store.documents(state.CONVERSION).values()
    return conversion


def check(settings_file: Path, pairs: Path, *more: str) -> int:
    try:
        main(["--settings", str(settings_file), "judge", "check", str(pairs), *more])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_free_text_is_certified_as_a_measured_judge_sees_it(
    app: App, settings_file: Path, server: JudgeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, before = find_tasks(app.store, Stages(), lambda _: None, measures=app.measures)
    assert [(task.convertible, task.measure) for task in before.tasks] == [(False, None)]
    assert check(settings_file, labelled(tmp_path, missed=6), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["missed"], told["disagreements"], told["refused"], told["task"]) == (6, PAIRS, 0, "*")
    server.asked.clear()
    certificate = night(app)["certificate"]
    assert certificate["threshold"] is not None
    assert certificate["measure"] == f"as judged by {told['judge']}"
    assert (certificate["judge_misses"], certificate["judge_labelled"]) == (6, PAIRS)
    assert certificate["judge_missed"] == pytest.approx(upper(PAIRS, 6, certificate["delta"] / 2))
    assert server.asked
    assert {request["model"] for request in server.asked} == {"judge-1"}
    (deployment,) = state.promote(app.store, measures=app.measures)
    assert deployment.seen_alpha == pytest.approx(0.1 * (1 - certificate["judge_missed"]))


def test_a_night_that_is_repeated_asks_nothing_again_and_fits_the_same_confidence(
    app: App, settings_file: Path, server: JudgeServer, tmp_path: Path
) -> None:
    check(settings_file, labelled(tmp_path, missed=6))
    night(app)
    asked, confidence = len(server.asked), app.store.documents(state.CONFIDENCE)
    other = build(app.settings)
    other.embedder = HashEmbedder()
    night(other)
    assert len(server.asked) == asked > PAIRS
    assert other.store.documents(state.CONFIDENCE) == confidence != {}
    other.close()


def test_a_judge_that_misses_half_certifies_nothing_of_it(
    app: App, settings_file: Path, tmp_path: Path
) -> None:
    """The promise would have to hold at half of alpha and less, for which there are too few calls."""
    assert check(settings_file, labelled(tmp_path, missed=280)) == 0
    conversion = night(app)
    assert not conversion["certified"]


def test_audits_ask_the_judge_and_count_what_it_says(
    app: App, settings_file: Path, server: JudgeServer, tmp_path: Path
) -> None:
    check(settings_file, labelled(tmp_path, missed=6))
    night(app)
    (deployment,) = state.promote(app.store, measures=app.measures)
    (task,) = deployment.tasks
    request = next(iter(app.store.calls())).request
    ours = Answer(WORDINGS[0].format("billing"))

    async def audits() -> None:
        backstage = Backstage(app)
        backstage._deploy([deployment])
        routing = Routing(task, deployment.specialist, answer=ours, audit=True)
        for user, said in enumerate((WORDINGS[1].format("billing"), WORDINGS[1].format("technical"))):
            await backstage.router.observe_audit(routing, {**request, "user": f"u-{user}"}, say(said))
        server.away = True
        unseen = say("We are sorry to hear that. The shipping team will look into it right away")
        with pytest.raises(UpstreamError, match="out of order"):
            await backstage.router.observe_audit(routing, {**request, "user": "u-9"}, unseen)
        await backstage._close()

    asyncio.run(audits())
    counted = app.store.get(AUDIT, deployment.specialist)
    assert counted is not None
    assert (counted["n"], counted["errors"]) == (2, 1)


def test_another_prompt_is_another_judge_whose_error_nobody_measured(
    app: App, settings_file: Path, tmp_path: Path
) -> None:
    check(settings_file, labelled(tmp_path, missed=0))
    night(app)
    (tmp_path / "prompt.txt").write_text("Say SAME or DIFFERENT.")
    judge = replace(app.settings.judge, prompt=str(tmp_path / "prompt.txt"))
    other = build(replace(app.settings, judge=judge))
    assert other.measures.of(state.load_tasks(app.store)[0].output) is None
    task = state.load_tasks(app.store)[0]
    assert task.measure is Measure.JUDGE
    with pytest.raises(NotFound, match=r"certified for agreement \(as judged by judge-1, prompt"):
        state.promote(other.store, task.id, measures=other.measures)
    other.close()


def test_what_stops_a_check_is_said_and_nothing_is_kept(
    settings_file: Path, server: JudgeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = labelled(tmp_path, missed=0)
    assert check(settings_file, pairs, "--task", "nobody") == 2
    assert "There is no task 'nobody'" in capsys.readouterr().err
    assert server.asked == []
    server.away = True
    assert check(settings_file, pairs) == 4
    assert "out of order" in capsys.readouterr().err
    settings_file.write_text(f'home = "{tmp_path / "home"}"\n')
    assert check(settings_file, pairs) == 2
    assert "No judge is set up" in capsys.readouterr().err


def sample(settings_file: Path, task: str, out: Path, *more: str) -> int:
    try:
        main(["--settings", str(settings_file), "judge", "sample", task, "--out", str(out), *more])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_pairs_to_label_are_candidates_answers_to_the_tasks_own_calls(
    app: App, settings_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app.store.append([replace(call, id=f"w{call.id}") for call in recorded(whims=60)])
    (task,) = find_tasks(app.store, Stages(), lambda _: None)[1].tasks
    out = tmp_path / "pairs.jsonl"
    assert sample(settings_file, task.slug, out, "--pairs", "20", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "written": 20,
        "kinds": {"classifier": 20},
        "file": str(out),
    }
    assert out.stat().st_mode & 0o777 == 0o600
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    known = {
        (json.dumps(call.request["messages"]), call.response["choices"][0]["message"]["content"])
        for call in app.store.calls()
    }
    for row in rows:
        assert (json.dumps(row["request"]["messages"]), row["teacher"]) in known
        assert row["ours"].lower() != row["teacher"].lower()
        assert row["same"] is None
    assert len({json.dumps(row["request"]) for row in rows}) == 20
    assert {_truth(row) for row in rows} == {True, False}
    # Nobody has labelled them yet.
    assert check(settings_file, out) == 2
    assert "line 1: it does not say whether the answers are the same" in capsys.readouterr().err
    # What candidates were made for this is gone.
    assert list(app.settings.specialists_path.glob("*")) == []
    out.write_text("\n".join(json.dumps({**row, "same": _truth(row)}) for row in rows))
    assert check(settings_file, out, "--task", task.id) == 0
    assert app.measures.judged == {task.id}


def _truth(row: JsonObject) -> bool:
    return team_of(row["ours"]) == team_of(row["teacher"])


def test_what_needs_no_judge_has_no_pairs_to_label(
    settings_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = build(load(settings_file, {}))
    agent = Agent(0)
    app.store.append(calls_of([agent.route() for _ in range(70)]))
    app.close()
    out = tmp_path / "pairs.jsonl"
    assert sample(settings_file, "nobody", out) == 2
    (task,) = state.load_tasks(app.open_store())
    assert sample(settings_file, task.id, out) == 2
    assert "label answers, which need no judge" in capsys.readouterr().err
    assert not out.exists()
