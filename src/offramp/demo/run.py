"""The demo: what a user does in the first week, in minutes, with nothing played."""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from offramp.app import build
from offramp.app.build import heavy
from offramp.app.serving import arguments_of
from offramp.app.summary import Tally, Unseen, summarise
from offramp.certify.agreement import agree
from offramp.core.errors import BadInput, OfframpError, StorageError
from offramp.demo import drive, traffic
from offramp.demo.processes import command, fetch
from offramp.loop import state
from offramp.loop.pipeline import Stages, find_tasks, run_night
from offramp.report.page import render_page
from offramp.report.task_list import render_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from offramp.app import App
    from offramp.config import Settings
    from offramp.core.call import Answer
    from offramp.core.task import Task
    from offramp.demo.drive import Sent
    from offramp.demo.traffic import Recorded
    from offramp.report.summary import Summary

    Say = Callable[[str], None]
    Sessions = Sequence[Sequence[Recorded]]

SETTLE_S = 120.0
LIVE_S = 120.0
DAYS = 5.0
MEGABYTE = 1 / 1024
TITLE = "The bundled traffic: home assistant, intent router, airline agent, text-to-SQL"
NOTES = (
    (
        "Home assistant and intent router were answered by people, the airline and SQL agents by gpt-4o and "
        "gpt-4: see the sample's README for what is recorded and what is made up (sessions, arrival times)."
    ),
    "Shares of the mix are a choice of the sample, and the headline coverage depends on them.",
    (
        "The bound holds per answered call, over the stated mix; it says nothing of correctness where the "
        "teacher itself is wrong."
    ),
)


@dataclass(frozen=True, slots=True)
class Demo:
    """One run.

    Attributes:
        settings: The settings; home is inside ``out``.
        out: Folder of the results.
        limit: About how many calls to use; all where None.
        say: Told what is going on.
    """

    settings: Settings
    out: Path
    limit: int | None
    say: Say


def run(demo: Demo) -> Summary:
    """Run the whole loop and write ``report.html`` and ``summary.json``.

    Raises:
        OfframpError: A step failed; the message says which and why. Results are written at the end or
            not at all.
    """
    stages, started = Stages(), time.perf_counter()
    home = _fresh_home(demo.out)
    app = build(replace(demo.settings, home=home))
    demo.say("1. Reading the bundled traffic")
    sessions = traffic.load(demo.limit)
    seen, unseen = traffic.cut(sessions)
    known = drive.known_answers(sessions)
    stages.timed("load", started)
    try:
        with ExitStack() as running:
            gateway = _start(running, app, demo, stages)
            _drive_seen(gateway, seen, known, demo, stages)
            found = find_tasks(
                app.store, stages, demo.say, days=DAYS * traffic.SEEN_SHARE, measures=app.measures
            )
            demo.say(render_tasks(found[1].tasks))
            demo.say("5. Training candidates and certifying them")
            run_night(app.store, found, app.workshop(demo.say), app.goal, stages, demo.say)
            _go_live(gateway, app, demo, stages)
            outcome = _drive_unseen(gateway, unseen, known, app, demo, stages)
        outcome.ari, outcome.call_sites = _discovery_score(app, sessions)
        summary = summarise(
            app.store,
            app.settings,
            unseen=outcome,
            seconds=stages.seconds,
            peak_rss_mb=_peak_rss_mb(),
            title=TITLE,
            notes=NOTES,
        )
    finally:
        app.close()
    write(demo.out, summary)
    return summary


def _fresh_home(out: Path) -> Path:
    """Make room for this run's store; only a store of offramp's own is ever removed."""
    home = out / "home"
    if home.exists():
        if any(home.iterdir()) and not (home / "master.key").exists():
            raise BadInput(
                f"{home} exists and is no store of offramp.", hint="Name another folder with --out."
            )
        shutil.rmtree(home)
    out.mkdir(parents=True, exist_ok=True)
    return home


def write(out: Path, summary: Summary) -> None:
    """Write ``report.html`` and ``summary.json``, each whole or not at all."""
    texts = {
        "report.html": render_page(summary),
        "summary.json": json.dumps(summary.to_dict(), indent=1, ensure_ascii=False),
    }
    for name, text in texts.items():
        partial = out / f".{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(out / name)


def _start(running: ExitStack, app: App, demo: Demo, stages: Stages) -> str:
    started = time.perf_counter()
    files = [str(path) for path in traffic.files()]
    teacher = running.enter_context(command(["replay", *files, "--port", "0"]))
    demo.say(f"2. The replay teacher answers {teacher['calls']} recorded calls at {teacher['url']}")
    arguments = [*arguments_of(app, "serve"), "--upstream", f"{teacher['url']}/v1"]
    arguments += ["--port", "0", "--base", app.settings.train.base]
    arguments += ["--audit-rate", str(app.settings.certify.audit_rate)]
    gateway = running.enter_context(command(arguments))
    demo.say(f"   The gateway stands in front of it at {gateway['url']}")
    stages.timed("start", started)
    return str(gateway["url"])


def _drive_seen(
    gateway: str, seen: Sessions, known: dict[bytes, set[str]], demo: Demo, stages: Stages
) -> None:
    started = time.perf_counter()
    total = sum(map(len, seen))
    demo.say(f"3. Driving {total} calls in {len(seen)} sessions through the gateway with the openai client")
    sent = asyncio.run(drive.drive(gateway, seen, _progress(demo.say, total)))
    changed = [call for call in sent if not drive.same(call, known)]
    if changed:
        raise OfframpError(
            f"{len(changed)} of {total} answers are not the teacher's, {changed[0].recorded.id}."
        )
    stages.timed("drive", started)
    streamed = sum(call.stream for call in sent)
    demo.say(f"   All {total} answers are the teacher's, word for word; {streamed} were streamed")
    started = time.perf_counter()
    recording = _settled(gateway)
    stages.timed("record", started)
    lost = recording["dropped"] + recording["failed"]
    if lost:
        raise StorageError(f"{lost} of {total} calls could not be recorded: {recording['error']}")
    demo.say(f"4. Recorded {recording['written']} calls, masked and encrypted; none lost")


def _settled(gateway: str) -> dict[str, Any]:
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        recording: dict[str, Any] = fetch(f"{gateway}/offramp/status")["recording"]
        if not recording["waiting"]:
            return recording
        time.sleep(0.2)
    raise OfframpError(f"The recorder is still behind after {SETTLE_S:.0f} s: {recording}.")


def _go_live(gateway: str, app: App, demo: Demo, stages: Stages) -> None:
    started = time.perf_counter()
    wanted = {deployment.specialist for deployment in state.promote(app.store, measures=app.measures)}
    demo.say(f"6. Taking {len(wanted)} certified specialists live: {', '.join(sorted(wanted)) or 'none'}")
    deadline = time.monotonic() + LIVE_S
    while {live["specialist"] for live in fetch(f"{gateway}/offramp/status")["live"]} != wanted:
        if time.monotonic() > deadline:
            raise OfframpError(f"The gateway did not take them live within {LIVE_S:.0f} s.")
        time.sleep(0.2)
    stages.timed("go live", started)


def _drive_unseen(
    gateway: str, unseen: Sessions, known: dict[bytes, set[str]], app: App, demo: Demo, stages: Stages
) -> Unseen:
    started = time.perf_counter()
    total = sum(map(len, unseen))
    demo.say(f"7. Driving the {total} unseen calls through the same gateway")
    sent = asyncio.run(drive.drive(gateway, unseen, _progress(demo.say, total)))
    stages.timed("drive unseen", started)
    outcome = _compared(sent, known, {task.id: task for task in state.load_tasks(app.store)})
    status = fetch(f"{gateway}/offramp/status")
    for live in status["live"]:
        demo.say(
            f"   {live['specialist']}: {live['audited']} audits, {live['disagreements']} disagreed; "
            f"live risk {live['risk_low']:.1%} to {live['risk_high']:.1%} at all times"
        )
    for name, reason in status["rolled_back"].items():
        demo.say(f"   {name} was rolled back: {reason}")
    return outcome


def _compared(sent: Sequence[Sent], known: dict[bytes, set[str]], tasks: dict[str, Task]) -> Unseen:
    """Compare every answer with the recorded one; the teacher's own have to be word for word."""
    outcome = Unseen()
    sessions: dict[str, list[bool]] = {}
    for call in sent:
        tally = outcome.tasks.setdefault(call.task, Tally())
        tally.calls += 1
        marks = sessions.setdefault(call.recorded.session, [])
        if call.route == "teacher":
            if not drive.same(call, known):
                raise OfframpError(f"The teacher's answer to {call.recorded.id} was changed on its way.")
            continue
        tally.answered += 1
        expected = call.expected
        right = (
            call.answer is not None
            and expected is not None
            and _agrees(tasks.get(call.task), call, call.answer, expected)
        )
        tally.disagreements += not right
        marks.append(right)
    outcome.sessions = len(sessions)
    outcome.touched = sum(1 for marks in sessions.values() if marks)
    outcome.disturbed = sum(1 for marks in sessions.values() if not all(marks))
    return outcome


def _agrees(task: Task | None, call: Sent, answer: Answer, expected: Answer) -> bool:
    request = heavy("orjson").loads(call.recorded.request)
    return task is not None and agree(task.output, answer, expected, request, measure=task.measure)


def _discovery_score(app: App, sessions: Sessions) -> tuple[float, int]:
    """Compare the tasks of all calls with the hidden call sites; nothing else ever reads those."""
    assigner = heavy("offramp.discover.assign").Assigner.from_dict(state.load_assigner(app.store))
    calls = [recorded for session in sessions for recorded in session]
    loads = heavy("orjson").loads
    found = [assigner.assign(loads(recorded.request)) or "none" for recorded in calls]
    sites = [recorded.call_site for recorded in calls]
    score: float = heavy("sklearn.metrics").adjusted_rand_score(sites, found)
    return score, len(set(sites))


def _progress(say: Say, total: int) -> Callable[[int], None]:
    step = max(1, total // 5)

    def show(done: int) -> None:
        if done % step == 0 and done < total:
            say(f"   {done} of {total}")

    return show


def _peak_rss_mb() -> float:
    """Largest resident memory of this process or of any of its children, in MB."""
    own, children = (
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    # macOS counts bytes, Linux kilobytes.
    unit = MEGABYTE / 1024 if sys.platform == "darwin" else MEGABYTE
    return max(own, children) * unit
