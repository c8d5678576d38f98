"""Erasure as an administrator meets it: found, removed, what was built from it, and the proof."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click
import pytest

from offramp.access.audited import AuditedStore
from offramp.app import App, build
from offramp.app.erasure import erase as erase_subject
from offramp.app.security import audit_of, check_audit
from offramp.cli import audit, erase
from offramp.config import RecordSettings, Settings
from offramp.core.errors import BadInput, NotFound
from offramp.loop import state
from offramp.loop.ladder import Workshop
from offramp.loop.night import Goal
from offramp.loop.pipeline import Stages, find_tasks, run_night
from offramp.record.exchange import Exchange
from offramp.record.pseudonym import who_asked
from offramp.select import KINDS
from offramp.testing.embedder import HashEmbedder
from offramp.testing.engine import FakeTraining, RuleEngine
from offramp.testing.traffic import START, Agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from offramp.core.json import JsonObject

JANE = "jane.doe@acme.io"
KEY = "sk-proj-JanesOwnKey1234567890"
SESSIONS = 240
OWN = 12


@dataclass
class Office:
    """One installation with recorded calls."""

    home: Path
    said: list[str] = field(default_factory=list)

    def app(self) -> App:
        return build(Settings(home=self.home))

    def count(self) -> int:
        app = self.app()
        try:
            return app.store.count()
        finally:
            app.close()

    def record(self, *exchanges: Exchange) -> None:
        app = self.app()
        writer = app.open_writer()
        report = writer.write(exchanges)
        assert (report.failed, report.error) == (0, "")
        writer.close()

    def who(self, credential: str, client: str = "") -> str:
        app = self.app()
        try:
            return who_asked(app.pseudonyms, credential, client)
        finally:
            app.close()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with labelled traffic, every twentieth call of it Jane's."""
    home = tmp_path_factory.mktemp("recorded") / "home"
    office = Office(home)
    theirs, others = office.who("Bearer sk-other"), office.who("", "10.0.0.9")
    agent = Agent()
    exchanges = []
    for number in range(SESSIONS):
        request, response = agent.route()
        if number % (SESSIONS // OWN) == 0:
            request["messages"][1]["content"] += f" signed {JANE}"
        who = theirs if number % 2 else others
        exchanges.append(exchange(request, response, number=number, who=who))
    office.record(*exchanges)
    return home


@pytest.fixture
def office(recorded: Path, tmp_path: Path) -> Office:
    shutil.copytree(recorded, tmp_path / "home")
    return Office(tmp_path / "home")


@pytest.fixture
def run(office: Office, capsys: pytest.CaptureFixture[str]) -> Callable[..., JsonObject]:
    def command(*arguments: str, code: int = 0) -> JsonObject:
        capsys.readouterr()
        assert invoked(erase.command, office, *arguments, "--json") == code
        made: JsonObject = json.loads(capsys.readouterr().out)
        return made

    return command


def invoked(command: click.Command, office: Office, *arguments: str) -> int:
    try:
        command.main(list(arguments), obj={"home": str(office.home)}, standalone_mode=False)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def exchange(
    request: JsonObject, response: JsonObject, *, number: int = 10_000, who: str = "", run: str = ""
) -> Exchange:
    request = {**request, "metadata": {"session_id": f"s-{number}"}}
    return Exchange(
        json.dumps(request).encode(),
        json.dumps(response).encode(),
        START + 60.0 * number,
        who=who,
        run=run,
    )


def ask(content: str, **fields: object) -> JsonObject:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": content}], **fields}


SAID = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}]
}


def night(office: Office, *kinds: str) -> None:
    app = office.app()
    workshop = Workshop(
        app.settings.specialists_path,
        HashEmbedder(),
        lambda: RuleEngine(lambda _: ("", 0.0)),
        FakeTraining(),
        "nano",
        kinds=kinds or KINDS,
    )
    stages = Stages()
    say = office.said.append
    found = find_tasks(app.store, stages, say)
    (conversion,) = run_night(app.store, found, workshop, Goal(0.1, 0.4), stages, say)
    assert conversion.certified
    state.promote(app.store)
    app.close()


def test_a_dry_run_tells_and_removes_nothing(office: Office, run: Callable[..., JsonObject]) -> None:
    told = run("--subject", JANE, "--dry-run")
    assert (told["found"], told["by"], told["proof"]) == (OWN, {"surrogate": OWN}, None)
    assert told["removed"] == 0
    assert office.count() == SESSIONS


def test_a_persons_calls_go_and_it_is_proven(office: Office, run: Callable[..., JsonObject]) -> None:
    told = run("--subject", JANE)
    assert told["removed"] == told["found"] == OWN
    assert office.count() == SESSIONS - OWN
    assert told["proof"]["clean"]
    assert told["proof"]["searched_calls"] == SESSIONS - OWN
    assert told["proof"]["searched_files"] >= 3
    assert run("--subject", JANE)["found"] == 0


def test_the_ids_of_removed_calls_are_in_no_file(office: Office, run: Callable[..., JsonObject]) -> None:
    app = office.app()
    ids = {call.id for call in app.store.calls()}
    app.close()
    run("--subject", JANE)
    app = office.app()
    gone = ids - {call.id for call in app.store.calls()}
    app.close()
    assert len(gone) == OWN
    written = b"".join(path.read_bytes() for path in office.home.rglob("*") if path.is_file())
    assert [number for number in gone if number.encode() in written] == []
    assert any(number.encode() in written for number in ids - gone)


def test_calls_are_found_by_key_user_session_and_address(
    office: Office, run: Callable[..., JsonObject]
) -> None:
    who = office.who(f"Bearer {KEY}")
    app = office.app()
    named = app.pseudonyms.of("run", "sess-from-a-header")
    app.close()
    office.record(
        exchange(ask("one"), SAID, number=10_001, who=who),
        exchange(ask("two", user="u-4711"), SAID, number=10_002, who=who),
        exchange(ask("three", user="u-4711"), SAID, number=10_003),
        exchange(ask("four"), SAID, number=10_004, run=named),
        exchange(ask("five"), SAID, number=10_005, who=office.who("", "10.9.8.7")),
    )
    assert run("--subject", KEY, "--dry-run")["by"] == {"origin": 2}
    assert run("--subject", "u-4711", "--dry-run")["found"] == 2
    assert run("--subject", "sess-from-a-header", "--dry-run")["by"] == {"session": 1}
    assert run("--subject", "10.9.8.7", "--dry-run")["by"] == {"origin": 1}
    assert run("--subject", "u-4711")["proof"]["clean"]
    assert run("--subject", KEY)["found"] == 1
    assert office.count() == SESSIONS + 2


def test_other_calls_of_a_session_are_told_and_taken_on_demand(
    office: Office, run: Callable[..., JsonObject]
) -> None:
    office.record(
        exchange(ask("my mail is jo@roe.io"), SAID, number=20_000),
        exchange(ask("and now?"), SAID, number=20_000),
    )
    told = run("--subject", "jo@roe.io", "--dry-run")
    assert (told["found"], told["others_in_their_sessions"]) == (1, 1)
    assert run("--subject", "jo@roe.io", "--whole-sessions")["removed"] == 2


def test_what_was_built_from_the_calls_is_told_and_marked(
    office: Office, run: Callable[..., JsonObject]
) -> None:
    night(office, "cache", "classifier")
    told = run("--subject", JANE)
    (dataset,) = told["datasets"]
    assert sum(dataset["calls"].values()) == OWN
    kinds = {one["id"]: one["kind"] for one in told["specialists"]}
    assert set(kinds.values()) == {"cache", "classifier"}
    (marked,) = told["marked_for_retraining"]
    assert kinds[marked] == "classifier"
    assert told["certificates"] == [marked]
    assert told["proof"]["clean"]
    app = office.app()
    assert set(state.marked_for_retraining(app.store)) == {marked}
    assert [one.specialist for one in state.deployments(app.store)] == [marked]
    app.close()


@pytest.mark.parametrize("kind", ["cache", "template"])
def test_what_holds_words_of_calls_goes_at_once(
    kind: str, office: Office, run: Callable[..., JsonObject]
) -> None:
    night(office)
    (folder,) = (office.home / "specialists").glob(f"{kind}-*")
    told = run("--subject", JANE)
    assert folder.name in told["retired"]
    assert not folder.exists()
    app = office.app()
    assert folder.name not in [one.specialist for one in state.deployments(app.store)]
    app.close()


def test_a_half_written_folder_of_words_goes_too(office: Office, run: Callable[..., JsonObject]) -> None:
    night(office, "classifier")
    for name in ("template-0123456789", "probe-x1y2"):
        half = office.home / "specialists" / name
        half.mkdir()
        (half / "templates.json").write_text("[]")
    told = run("--subject", JANE)
    assert {"template-0123456789", "probe-x1y2"} <= set(told["retired"])
    assert {path.name.partition("-")[0] for path in half.parent.iterdir()} == {"classifier"}


def test_on_demand_every_specialist_goes_at_once(office: Office, run: Callable[..., JsonObject]) -> None:
    night(office)
    told = run("--subject", JANE, "--retire")
    assert {name.partition("-")[0] for name in told["retired"]} == {"cache", "template", "classifier"}
    assert told["marked_for_retraining"] == []
    app = office.app()
    assert state.deployments(app.store) == []
    assert state.promote(app.store) == []
    app.close()


def test_what_was_marked_is_retired_later(office: Office, run: Callable[..., JsonObject]) -> None:
    night(office)
    (marked,) = run("--subject", JANE)["marked_for_retraining"]
    assert run("--retire") == {"retired": [marked]}
    assert not (office.home / "specialists" / marked).exists()
    assert run("--retire") == {"retired": []}


def test_after_retraining_nothing_is_built_from_the_calls(
    office: Office, run: Callable[..., JsonObject]
) -> None:
    night(office)
    run("--subject", JANE, "--retire")
    night(office)
    assert run("--subject", JANE, "--dry-run")["specialists"] == []


def test_a_specialist_older_than_lineage_counts_as_fitted_on_them(
    office: Office, run: Callable[..., JsonObject]
) -> None:
    folder = office.home / "specialists" / "lora-old"
    folder.mkdir(parents=True)
    (folder / "specialist.json").write_text(json.dumps({"kind": "lora", "dataset": "unheard of"}))
    told = run("--subject", JANE)
    assert [(one["id"], one["calls"]) for one in told["specialists"]] == [("lora-old", None)]
    assert told["marked_for_retraining"] == ["lora-old"]


class Cut(AuditedStore):
    """A store that ends the process, so to speak, before it removes anything."""

    def remove(self, ids: Iterable[str]) -> int:
        raise KeyboardInterrupt


def test_an_erasure_that_was_cut_short_is_completed_by_the_next(
    office: Office, run: Callable[..., JsonObject]
) -> None:
    night(office)
    app = office.app()
    app.store = Cut(app.store, audit_of(app), "a test")
    with pytest.raises(KeyboardInterrupt):
        erase_subject(app, JANE)
    (marked,) = state.marked_for_retraining(app.store)
    app.close()
    assert office.count() == SESSIONS
    told = run("--subject", JANE)
    assert (told["removed"], told["marked_for_retraining"]) == (OWN, [marked])
    assert told["proof"]["clean"]


def test_calls_that_arrive_while_erasing_are_erased_too(office: Office, tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    ring.mkdir()
    (ring / "ring-of-a-running-gateway").touch()
    app = build(Settings(home=office.home, record=RecordSettings(ring_folder=str(ring))))

    def record_late() -> None:
        while office.count() == SESSIONS:
            time.sleep(0.01)
        office.record(exchange(ask(f"late, but from {JANE}"), SAID))

    late = threading.Thread(target=record_late)
    late.start()
    done = erase_subject(app, JANE)
    late.join()
    app.close()
    assert done.removed == OWN + 1
    assert done.proof is not None
    assert done.proof.clean


def test_a_file_that_still_holds_the_value_fails_the_proof(
    office: Office, run: Callable[..., JsonObject]
) -> None:
    (office.home / "notes.txt").write_text(f"ask {JANE} again")
    told = run("--subject", JANE, code=1)
    assert not told["proof"]["clean"]
    (hit,) = told["proof"]["files"]
    assert hit == {"path": str(office.home / "notes.txt"), "what": "value"}


def test_a_document_that_still_holds_a_trace_fails_the_proof(
    office: Office, run: Callable[..., JsonObject]
) -> None:
    app = office.app()
    app.store.put(state.TASK, "t-1", {"name": f"Write to {JANE}"})
    app.close()
    assert run("--subject", JANE, code=1)["proof"]["documents"] == ["task/t-1"]


def test_erasures_are_in_the_audit_log_without_the_subject(
    office: Office, run: Callable[..., JsonObject]
) -> None:
    run("--subject", JANE)
    app = office.app()
    checked = check_audit(app)
    app.close()
    assert checked.intact
    said = [(entry.action, entry.what, entry.count) for entry in checked.entries]
    assert said == [
        ("read_bodies", "erase: search", SESSIONS),
        ("erase", "a subject", OWN),
        ("read_bodies", "erase: proof", SESSIONS - OWN),
        ("erase", "proof: nothing is left", OWN),
    ]
    assert JANE not in (office.home / "audit.log").read_text()


def test_the_subject_may_come_over_standard_input(
    office: Office, run: Callable[..., JsonObject], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.write(writer, JANE.encode() + b"\n")
    os.close(writer)
    with os.fdopen(reader) as lines:
        monkeypatch.setattr("sys.stdin", lines)
        assert run("--subject", "-", "--dry-run")["found"] == OWN


def test_the_text_form_says_what_happened(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    night(office)
    capsys.readouterr()
    assert invoked(erase.command, office, "--subject", JANE) == 0
    said = capsys.readouterr().out
    assert f"Found {OWN} calls ({OWN} by surrogate). Removed {OWN}." in said
    assert "marked for retraining: offramp convert" in said
    assert "retired, its folder removed" in said
    assert "Proof: no trace is left" in said
    assert JANE not in said


def test_the_text_form_says_what_is_left_and_where(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    (office.home / "notes.txt").write_text(f"ask {JANE} again")
    app = office.app()
    app.store.put(state.TASK, "t-1", {"name": f"Write to {JANE}"})
    app.close()
    capsys.readouterr()
    assert invoked(erase.command, office, "--subject", JANE) == 1
    said = capsys.readouterr().err
    assert "TRACES ARE LEFT" in said
    assert f"{office.home / 'notes.txt'}: value" in said
    assert "document task/t-1" in said


def test_the_text_form_of_a_dry_run_and_of_retiring(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    night(office)
    office.record(exchange(ask("mail jo@roe.io"), SAID), exchange(ask("and now?"), SAID))
    capsys.readouterr()
    assert invoked(erase.command, office, "--subject", "jo@roe.io", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "Nothing was removed: a dry run." in said
    assert "1 other calls of their sessions hold no trace" in said
    invoked(erase.command, office, "--subject", JANE, "--dry-run")
    assert "it would be marked for retraining, or retired" in capsys.readouterr().out
    invoked(erase.command, office, "--retire")
    assert "nothing is marked for retraining" in capsys.readouterr().out


def test_what_makes_no_sense_is_refused(office: Office, tmp_path: Path) -> None:
    with pytest.raises(click.UsageError):
        invoked(erase.command, office)
    with pytest.raises(BadInput):
        invoked(erase.command, office, "--subject", "ab")
    with pytest.raises(NotFound):
        invoked(erase.command, Office(tmp_path / "nowhere"), "--subject", JANE)


def test_a_tampered_log_is_told_by_the_command(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    invoked(erase.command, office, "--subject", JANE)
    capsys.readouterr()
    assert invoked(audit.command, office, "verify") == 0
    assert "4 entries, all whole. Head: 4:" in capsys.readouterr().out
    log = office.home / "audit.log"
    log.write_bytes(log.read_bytes().replace(b"a subject", b"a weather"))
    assert invoked(audit.command, office, "verify") == 1
    assert "Line 2 was altered" in capsys.readouterr().out
    assert invoked(audit.command, office, "verify", "--json") == 1
    assert not json.loads(capsys.readouterr().out)["intact"]
    invoked(audit.command, office)
    shown = capsys.readouterr()
    assert "read_bodies" in shown.out
    assert "tampered" in shown.err
