"""The command line as a user meets it: what it prints, what it exits with, what it leaves behind."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
import socket
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import openai
import pytest

from offramp.app import build
from offramp.cli import main
from offramp.cli.root import COMMANDS, HIDDEN
from offramp.config import Settings
from offramp.storage.crypto import load_key
from offramp.testing.scripted_teacher import ScriptedTeacher, says, whole
from offramp.testing.traffic import Agent, calls_of, write_log
from offramp.upstream.serving import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from offramp.core.json import JsonObject

SESSIONS = 70
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Ran:
    """What one command did."""

    code: int
    out: str
    err: str

    def json(self) -> JsonObject:
        value: JsonObject = json.loads(self.out)
        return value

    @property
    def complaint(self) -> str:
        """The one line that an error is."""
        (line,) = self.err.splitlines()
        assert line.startswith("offramp: ")
        return line


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def offramp(*arguments: str) -> Ran:
        capsys.readouterr()
        code = 0
        try:
            main(["--home", str(home), *arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return offramp


@pytest.fixture
def log(tmp_path: Path) -> Path:
    agent = Agent()
    pairs = [pair for _ in range(SESSIONS) for pair in (agent.route(), agent.rhyme())]
    path = tmp_path / "log.jsonl"
    path.write_text(write_log(calls_of(pairs, per_session=2)))
    return path


@pytest.fixture
def taken_port() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def broken(log: Path, at: int, line: str) -> Path:
    lines = log.read_text().splitlines()
    lines.insert(at - 1, line)
    log.write_text("\n".join(lines))
    return log


def recorded(home: Path) -> int:
    app = build(Settings(home=home))
    try:
        return app.store.count()
    finally:
        app.close()


@pytest.mark.parametrize("name", [*COMMANDS, *HIDDEN])
def test_every_command_explains_itself(run: Callable[..., Ran], name: str) -> None:
    ran = run(name, "--help")
    assert ran.code == 0
    assert f"offramp {name}" in ran.out


def test_the_root_lists_every_command(run: Callable[..., Ran]) -> None:
    out = run("--help").out
    assert all(name in out for name in COMMANDS)
    assert not any(name in out.split("Commands:")[1] for name in HIDDEN)


def test_an_unknown_command_exits_with_2(run: Callable[..., Ran]) -> None:
    ran = run("fly")
    assert ran.code == 2
    assert "No such command 'fly'" in ran.err


def test_importing_again_adds_nothing(run: Callable[..., Ran], log: Path, home: Path) -> None:
    first = run("import", str(log), "--json").json()
    again = run("import", str(log), "--json").json()
    assert first == {"read": 2 * SESSIONS, "added": 2 * SESSIONS, "skipped": 0}
    assert again == {"read": 2 * SESSIONS, "added": 0, "skipped": 0}
    assert recorded(home) == 2 * SESSIONS


def test_a_gzipped_log_is_read_like_a_plain_one(run: Callable[..., Ran], log: Path) -> None:
    packed = log.with_suffix(".jsonl.gz")
    packed.write_bytes(gzip.compress(log.read_bytes()))
    assert run("import", str(packed), "--json").json()["added"] == 2 * SESSIONS


def test_a_gzip_cut_short_is_named_and_nothing_is_stored(
    run: Callable[..., Ran], log: Path, home: Path
) -> None:
    packed = log.with_suffix(".jsonl.gz")
    packed.write_bytes(gzip.compress(log.read_bytes())[:-200])
    ran = run("import", str(packed))
    assert ran.code == 2
    assert f"{packed} breaks off" in ran.complaint
    assert recorded(home) == 0


@pytest.mark.parametrize("command", ["import", "scan", "replay"])
def test_a_missing_file_is_named(run: Callable[..., Ran], command: str, tmp_path: Path) -> None:
    ran = run(command, str(tmp_path / "nowhere.jsonl"))
    assert ran.code == 2
    assert "nowhere.jsonl" in ran.complaint


def test_a_broken_line_is_named_and_nothing_is_stored(run: Callable[..., Ran], log: Path, home: Path) -> None:
    ran = run("import", str(broken(log, 3, "{nonsense")))
    assert ran.code == 2
    assert f"{log}, line 3" in ran.complaint
    assert "not JSON" in ran.complaint
    assert recorded(home) == 0


def test_a_line_nested_too_deeply_is_named(run: Callable[..., Ran], log: Path, home: Path) -> None:
    deep = '{"messages":' + "[" * 900 + "]" * 900 + ', "x": 1}'
    ran = run("import", str(broken(log, 2, deep)))
    assert ran.code == 2
    assert f"{log}, line 2" in ran.complaint


def test_broken_lines_are_left_out_and_counted_on_demand(run: Callable[..., Ran], log: Path) -> None:
    broken(log, 3, "{nonsense")
    ran = run("import", str(broken(log, 7, '{"request": {}}')), "--skip-broken")
    assert ran.code == 0
    assert f"Read {2 * SESSIONS} calls" in ran.out
    assert "Left out 2 broken lines" in ran.err
    assert "line 3" in ran.err


def test_tasks_come_as_json(run: Callable[..., Ran], log: Path) -> None:
    run("import", str(log))
    ran = run("tasks", "--json")
    tasks = json.loads(ran.out)
    assert {(task["output"], task["convertible"], task["calls"]) for task in tasks} == {
        ("label", True, SESSIONS),
        ("text", False, SESSIONS),
    }
    assert sum(task["share_calls"] for task in tasks) == pytest.approx(1.0)


def test_tasks_are_priced_as_the_settings_say(
    run: Callable[..., Ran], log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("import", str(log))
    bundled = [task["profile"]["cost_usd"] for task in json.loads(run("tasks", "--json").out)]
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"models": {"gpt-4o": {"input": 1e3, "output": 1e3}}}))
    monkeypatch.setenv("OFFRAMP_PLAN_PRICES", str(prices))
    mine = [task["profile"]["cost_usd"] for task in json.loads(run("tasks", "--json").out)]
    assert min(mine) > 100 * max(bundled)


def test_tasks_come_as_a_table(run: Callable[..., Ran], log: Path) -> None:
    run("import", str(log))
    out = run("tasks").out
    assert "Answers are one of 3 labels" in out
    assert "Free text" in out


def test_a_quick_scan_leaves_nothing_behind(
    run: Callable[..., Ran], log: Path, home: Path, tmp_path: Path
) -> None:
    page = tmp_path / "scan.html"
    summary = run("scan", str(log), "--quick", "--json", "--out", str(page)).json()
    assert summary["calls_total"] == 2 * SESSIONS
    assert len(summary["tasks"]) == 2
    assert "<html" in page.read_text()
    assert not home.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("plan",),
        ("report",),
        ("tasks",),
        ("convert",),
        ("promote",),
        ("rollback", "t-1"),
        ("status", "--json"),
    ],
)
def test_without_a_store_one_line_says_what_to_do(
    run: Callable[..., Ran], home: Path, arguments: tuple[str, ...]
) -> None:
    ran = run(*arguments)
    assert ran.code == 2
    assert f"There is no store yet at {home / 'offramp.db'}." in ran.complaint
    assert "offramp import" in ran.complaint
    assert ran.out == ""
    assert not home.exists()


def test_doctor_finds_no_store_and_creates_none(run: Callable[..., Ran], home: Path) -> None:
    checks = {check["name"]: check for check in json.loads(run("doctor", "--json").out)}
    assert checks["store"]["ok"]
    assert "none yet" in checks["store"]["found"]
    assert not home.exists()


def test_doctor_says_what_is_wrong_and_exits_with_1(
    run: Callable[..., Ran], log: Path, home: Path, tmp_path: Path
) -> None:
    run("import", str(log))
    replace_key(home)
    ran = run("doctor")
    assert ran.code == 1
    assert "FAIL store: The key does not open this store." in ran.out


def test_status_before_anything_is_discovered(run: Callable[..., Ran], log: Path) -> None:
    run("import", str(log))
    assert run("status").out == f"{2 * SESSIONS} calls recorded, 0 tasks discovered, 0 specialists live.\n"
    told = run("status", "--json").json()
    assert (told["calls"], told["tasks"], told["live"], told["retrain"]) == (2 * SESSIONS, 0, [], {})
    assert told["recording"] == {"waiting": 0, "lag_s": 0.0, "stalled": False, "lost": 0, "error": ""}


def test_a_plan_needs_tasks(run: Callable[..., Ran], log: Path) -> None:
    run("import", str(log))
    ran = run("plan")
    assert ran.code == 2
    assert "no traffic to plan for yet" in ran.complaint
    run("tasks")
    assert run("plan", "--json").json()["device"]


def test_a_report_of_discovered_tasks_is_one_page(run: Callable[..., Ran], log: Path, tmp_path: Path) -> None:
    run("import", str(log))
    run("tasks")
    page = tmp_path / "page.html"
    assert run("report", "--out", str(page)).out == f"Wrote {page}.\n"
    assert "Free text" in page.read_text()


def test_a_kind_that_is_none_is_named_before_anything_is_read(run: Callable[..., Ran], log: Path) -> None:
    run("import", str(log))
    ran = run("convert", "--kinds", "cache,magic")
    assert ran.code == 2
    assert "'magic'; allowed are cache, template, classifier" in ran.complaint


def test_only_the_wished_kinds_are_tried(run: Callable[..., Ran], log: Path) -> None:
    run("import", str(log))
    ran = run("convert", "--kinds", "template,cache", "--json")
    assert ran.code == 0
    tried = [set(task["candidates"]) for task in ran.json()["tasks"] if task["candidates"]]
    assert tried
    assert all(kinds <= {"template", "cache"} for kinds in tried)


def test_nothing_certified_means_nothing_promoted(run: Callable[..., Ran], log: Path) -> None:
    run("import", str(log))
    assert "Nothing is certified" in run("promote").out
    assert run("promote", "--json").out.strip() == "[]"
    assert run("promote", "t-1").code == 2


def test_nothing_live_means_nothing_to_roll_back(run: Callable[..., Ran], log: Path) -> None:
    run("import", str(log))
    ran = run("rollback", "t-1")
    assert ran.code == 2
    assert "live: nothing is live" in ran.complaint


def test_a_setting_out_of_range_is_named(run: Callable[..., Ran], log: Path) -> None:
    ran = run("scan", str(log), "--alpha", "1.5")
    assert ran.code == 2
    assert "certify.alpha is 1.5" in ran.complaint


def replace_key(home: Path) -> None:
    load_key(home / "other.key", create=True)
    (home / "other.key").replace(home / "master.key")


@pytest.mark.parametrize("arguments", [("status",), ("tasks",), ("serve", "--port", "0")])
def test_a_wrong_key_fails_closed(
    run: Callable[..., Ran], log: Path, home: Path, arguments: tuple[str, ...]
) -> None:
    run("import", str(log))
    replace_key(home)
    ran = run(*arguments)
    assert ran.code == 3
    assert "The key does not open this store." in ran.err
    assert ran.out == ""


def test_a_lost_key_is_not_replaced(run: Callable[..., Ran], log: Path, home: Path) -> None:
    run("import", str(log))
    (home / "master.key").unlink()
    ran = run("import", str(log))
    assert ran.code == 3
    assert "no key file" in ran.complaint
    assert not (home / "master.key").exists()


def test_a_taken_port_is_one_line_for_serve(run: Callable[..., Ran], taken_port: int) -> None:
    ran = run("serve", "--no-record", "--port", str(taken_port))
    assert ran.code == 2
    assert f"Port {taken_port} on 127.0.0.1 is taken" in ran.complaint


def test_a_taken_port_is_one_line_for_replay(run: Callable[..., Ran], log: Path, taken_port: int) -> None:
    ran = run("replay", str(log), "--port", str(taken_port))
    assert ran.code == 2
    assert f"Port {taken_port} on 127.0.0.1 is taken" in ran.complaint


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_serve_ends_in_order_and_keeps_what_it_recorded(home: Path, number: signal.Signals) -> None:
    teacher = ScriptedTeacher(otherwise=whole(says("hello yourself")))
    async with Server(teacher, grace_s=1) as behind:
        arguments = ["--home", str(home), "serve", "--upstream", behind.address.url, "--port", "0", "--json"]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "offramp",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            ready = json.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE_S))
            async with openai.AsyncOpenAI(
                base_url=f"{ready['url']}/v1", api_key="sk-1", max_retries=0
            ) as client:
                answer = await client.chat.completions.create(
                    model="gpt-4o", messages=[{"role": "user", "content": "hello"}]
                )
            process.send_signal(number)
            _, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert answer.choices[0].message.content == "hello yourself"
    assert (process.returncode, err) == (0, b"")
    assert recorded(home) == 1
