"""Every likely mistake is found, and said how to mend."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from offramp.app import build
from offramp.app.doctor import Finding, Level, examine, machine, store, teacher
from offramp.certify.judge import JudgeError
from offramp.config import JudgeSettings, Settings, load
from offramp.loop.judge import save_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Api(ThreadingHTTPServer):
    """Answers every GET as it is told to."""

    daemon_threads = True
    status = 401
    body = b"{}"
    date = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Get)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


class _Get(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        self.send_response_only(self.server.status)
        self.send_header("date", self.server.date or formatdate(usegmt=True))
        self.send_header("content-length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(environ={}, overrides={"home": tmp_path / "home", "gateway.port": free_port()})


@pytest.fixture(autouse=True)
def no_agent_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def asking(settings: Settings, url: str) -> Finding:
    return teacher.upstream(replace(settings, gateway=replace(settings.gateway, upstream=url)))


def test_a_teacher_that_wants_a_key_is_there(settings: Settings, api: Api) -> None:
    assert asking(settings, api.url).level is Level.OK


def test_a_base_url_without_the_version_is_noticed(settings: Settings, api: Api) -> None:
    api.status = 404
    found = asking(settings, api.url)
    assert found.level is Level.WARN
    assert "/v1" in found.hint


def test_a_clock_that_is_off_is_noticed(settings: Settings, api: Api) -> None:
    api.date = formatdate(time.time() + 600, usegmt=True)
    found = asking(settings, api.url)
    assert found.level is Level.WARN
    assert "clock" in found.hint


def test_a_teacher_that_is_away_is_a_failure(settings: Settings) -> None:
    found = asking(settings, f"http://127.0.0.1:{free_port()}/v1")
    assert found.level is Level.FAIL
    assert "cannot be reached" in found.found


def test_a_teacher_that_is_offramp_itself_is_a_failure(settings: Settings) -> None:
    found = asking(settings, f"http://localhost:{settings.gateway.port}/v1")
    assert found.level is Level.FAIL
    assert "circles" in found.found


def test_a_teacher_with_no_scheme_is_a_failure(settings: Settings) -> None:
    assert asking(settings, "api.example.com/v1").level is Level.FAIL


def test_anthropic_away_is_only_a_warning(settings: Settings) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    found = teacher.anthropic(replace(settings, gateway=replace(settings.gateway, anthropic=url)))
    assert found.level is Level.WARN


@pytest.mark.parametrize(
    ("told", "level", "said"),
    [
        ("", Level.WARN, "not set"),
        ("http://127.0.0.1:{port}/v1", Level.OK, "is http"),
        ("http://127.0.0.1:{port}", Level.WARN, "lacks /v1"),
        ("https://api.openai.com/v1", Level.WARN, "not offramp"),
    ],
)
def test_where_the_agents_are_sent_is_checked(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, told: str, level: Level, said: str
) -> None:
    if told:
        monkeypatch.setenv("OPENAI_BASE_URL", told.format(port=settings.gateway.port))
    found = teacher.agents(settings)
    assert (found.level, said in found.found) == (level, True)


def test_a_proxy_between_agents_and_offramp_is_noticed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:secret@proxy:3128")
    found = teacher.proxy(settings)
    assert "NO_PROXY" in found.hint
    assert "secret" not in found.found
    monkeypatch.setenv("NO_PROXY", settings.gateway.host)
    assert teacher.proxy(settings).level is Level.OK


def test_a_free_port_is_fine(settings: Settings) -> None:
    assert machine.port(settings).found.endswith("is free")


def test_a_port_that_offramp_holds_is_fine(settings: Settings, api: Api) -> None:
    api.status, api.body = 200, b'{"status": "ok", "version": "9.9"}'
    found = machine.port(replace(settings, gateway=replace(settings.gateway, port=api.port)))
    assert (found.level, "offramp 9.9 runs" in found.found) == (Level.OK, True)


def test_a_port_that_another_program_holds_is_a_failure(settings: Settings, api: Api) -> None:
    found = machine.port(replace(settings, gateway=replace(settings.gateway, port=api.port)))
    assert found.level is Level.FAIL


def test_a_key_that_others_can_read_is_a_failure(settings: Settings) -> None:
    settings.home.mkdir(mode=0o700)
    settings.key_path.touch(mode=0o644)
    found = store.rights(settings)
    assert found.level is Level.FAIL
    assert f"chmod go-rwx {settings.key_path}" in found.hint


def test_a_key_of_another_store_is_a_failure_in_one_sentence(settings: Settings) -> None:
    for home in ("other", "home"):
        app = build(replace(settings, home=settings.home.with_name(home)))
        app.store.put("note", "n", {"a": 1})
        app.close()
    settings.key_path.write_bytes((settings.home.with_name("other") / "master.key").read_bytes())
    found = store.store(settings)
    assert (found.level, found.found) == (Level.FAIL, "The key does not open this store")
    assert found.hint


def test_a_lack_of_shared_memory_is_noticed(settings: Settings, tmp_path: Path) -> None:
    missing = replace(settings.record, ring_folder=str(tmp_path / "none"))
    assert machine.shared_memory(replace(settings, record=missing)).level is Level.WARN
    huge = replace(settings.record, ring_folder=str(tmp_path), ring_mb=1 << 24)
    assert machine.shared_memory(replace(settings, record=huge)).level is Level.FAIL


def test_recording_that_is_off_is_noticed(settings: Settings) -> None:
    off = replace(settings, record=replace(settings.record, enabled=False))
    assert store.recording(off).level is Level.WARN


@pytest.mark.parametrize(("host", "level"), [("127.0.0.1", Level.OK), ("0.0.0.0", Level.FAIL)])
def test_an_open_address_without_keys_is_a_failure(settings: Settings, host: str, level: Level) -> None:
    found = store.binding(replace(settings, gateway=replace(settings.gateway, host=host)))
    assert found.level is level
    assert not settings.home.exists()


def test_every_check_says_what_to_do_where_something_is_wrong(settings: Settings) -> None:
    findings = list(examine(settings, network=False))
    assert len(findings) >= 10
    assert all(bool(finding.hint) == (finding.level is not Level.OK) for finding in findings)
    assert not settings.home.exists()


def test_a_judge_that_nobody_measured_is_warned_of(tmp_path: Path) -> None:
    bare = Settings(home=tmp_path / "home")
    assert store.judge(bare).level is Level.OK
    set_up = replace(bare, judge=JudgeSettings(model="m"))
    assert store.judge(set_up).level is Level.OK
    app = build(set_up)
    app.store.count()
    found = store.judge(set_up)
    assert (found.level, found.hint) == (Level.WARN, "Label pairs of answers: offramp judge check FILE.")
    judge = app.judge
    assert judge is not None
    save_error(app.store, JudgeError(judge.name, 10, 1, 10, 0))
    app.close()
    assert store.judge(set_up).level is Level.OK
    broken = replace(set_up, judge=JudgeSettings(model="m", prompt=str(tmp_path / "none.txt")))
    assert store.judge(broken).level is Level.FAIL
