"""Keys from the command line to the gateway's door, over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from offramp.access import token
from offramp.access.keys import KEY, Grant
from offramp.access.roles import Action, Role, permits
from offramp.app import App, build
from offramp.app.security import audit_of, check_audit, guard_of, keys_of
from offramp.cli import audit, keys, main
from offramp.config import GatewaySettings, RecordSettings, Settings
from offramp.core.admission import Admission
from offramp.gateway.admin import Admin
from offramp.gateway.app import Gateway
from offramp.record.exchange import Exchange
from offramp.record.tap import DirectTap
from offramp.storage.sqlite import SqliteStore
from offramp.testing.scripted_teacher import ScriptedTeacher
from offramp.upstream.openai import OpenAIUpstream
from offramp.upstream.serving import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import click

    from offramp.access.guard import Guard
    from offramp.core.json import JsonObject

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALL: JsonObject = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
GRANT: JsonObject = {"name": "made over HTTP", "role": "viewer"}
ENDPOINTS: dict[tuple[str, str], tuple[Action, JsonObject | None]] = {
    ("POST", "/v1/chat/completions"): (Action.CALL, CALL),
    ("GET", "/v1/models"): (Action.CALL, None),
    ("GET", "/offramp/status"): (Action.READ_STATUS, None),
    ("GET", "/metrics"): (Action.METRICS, None),
    ("GET", "/offramp/tasks"): (Action.READ_TASKS, None),
    ("GET", "/offramp/calls"): (Action.READ_BODIES, None),
    ("GET", "/offramp/calls/no-such-call"): (Action.READ_BODIES, None),
    ("POST", "/offramp/promote"): (Action.PROMOTE, {"task": "t-0"}),
    ("POST", "/offramp/rollback"): (Action.ROLLBACK, {"task": "t-0"}),
    ("GET", "/offramp/keys"): (Action.KEYS, None),
    ("POST", "/offramp/keys"): (Action.KEYS, GRANT),
    ("DELETE", "/offramp/keys/no-such-key"): (Action.KEYS, None),
    ("GET", "/offramp/audit"): (Action.AUDIT, None),
}


@dataclass
class House:
    """A gateway with a guard, its teacher, and a key of each role."""

    app: App
    guard: Guard
    teacher: ScriptedTeacher
    client: aiohttp.ClientSession
    taken: list[Exchange]
    keys: dict[Role, str]

    async def ask(
        self, method: str, path: str, body: JsonObject | None = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.request(method, path, json=body, headers=named) as response:
            text = await response.text()
            fields = {name.lower(): value for name, value in response.headers.items()}
            return response.status, _decoded(text), fields

    def command(self, command: click.Command, *arguments: str) -> None:
        obj = {"home": str(self.app.settings.home)}
        with contextlib.suppress(SystemExit):
            command.main(list(arguments), obj=obj, standalone_mode=False)
        self.guard.reload(self.app.store)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def made(capsys: pytest.CaptureFixture[str]) -> JsonObject:
    value: JsonObject = json.loads(capsys.readouterr().out)
    return value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    home = tmp_path_factory.mktemp("home")
    teacher, taken = ScriptedTeacher(), list[Exchange]()
    app = build(Settings(home=home, record=RecordSettings(skip="/v1/embeddings", redact="structured")))
    writer = DirectTap(app.open_writer())

    def tap(exchange: Exchange) -> None:
        taken.append(exchange)
        writer.put(exchange)

    async with contextlib.AsyncExitStack() as stack:
        behind = await stack.enter_async_context(Server(teacher, grace_s=1))
        upstream = OpenAIUpstream(behind.address.url)
        stack.push_async_callback(upstream.aclose)
        guard = guard_of(app)
        gateway = Gateway(upstream, tap=tap, guard=guard, endpoints=Admin(app).endpoints())
        stack.push_async_callback(gateway.aclose)
        front = await stack.enter_async_context(Server(gateway, grace_s=1))
        client = await stack.enter_async_context(aiohttp.ClientSession(front.address.url))
        house = House(app, guard, teacher, client, taken, {})
        for role in Role:
            house.keys[role] = _add(house, f"the {role}", role)
        yield house
    app.close()


def _add(house: House, name: str, role: Role) -> str:
    _, text = keys_of(house.app).add(Grant(name, role))
    house.guard.reload(house.app.store)
    return text


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=" ".join)
@pytest.mark.parametrize("role", Role)
async def test_every_role_at_every_endpoint(house: House, role: Role, endpoint: tuple[str, str]) -> None:
    action, body = ENDPOINTS[endpoint]
    status, said, _ = await house.ask(*endpoint, body, x_offramp_key=house.keys[role])
    assert (status == 403) is not permits(role, action)
    assert status not in (401, 500)
    if status == 403:
        assert f"the right to {action}" in said["error"]["message"]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=" ".join)
async def test_no_endpoint_answers_without_a_key(house: House, endpoint: tuple[str, str]) -> None:
    heard = len(house.teacher.heard)
    status, said, fields = await house.ask(
        *endpoint, ENDPOINTS[endpoint][1], authorization="Bearer sk-theirs"
    )
    assert status == 401
    assert "offramp keys add" in said["error"]["message"]
    assert "www-authenticate" in fields
    assert len(house.teacher.heard) == heard


async def test_health_answers_without_a_key(house: House) -> None:
    assert (await house.ask("GET", "/health"))[0] == 200


@pytest.mark.parametrize("field", ["authorization", "x_api_key", "x_offramp_key"])
async def test_the_key_never_reaches_teacher_or_record(house: House, field: str) -> None:
    text = house.keys[Role.AGENT]
    value = f"Bearer {text}" if field == "authorization" else text
    status, _, _ = await house.ask("POST", "/v1/chat/completions", CALL, **{field: value})
    assert status == 200
    assert text not in repr(house.teacher.heard[-1])
    assert text not in repr(house.taken[-1])
    home = house.app.settings.home
    assert not [path for path in home.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


async def test_the_providers_credential_goes_on_beside_a_key(house: House) -> None:
    await house.ask(
        "POST",
        "/v1/chat/completions",
        CALL,
        x_offramp_key=house.keys[Role.AGENT],
        authorization="Bearer sk-theirs",
    )
    assert house.teacher.heard[-1].header("authorization") == "Bearer sk-theirs"


async def test_who_asked_is_the_key_whatever_else_was_sent(house: House) -> None:
    for credential in ("Bearer sk-1", "Bearer sk-2"):
        await house.ask(
            "POST",
            "/v1/chat/completions",
            CALL,
            x_offramp_key=house.keys[Role.AGENT],
            authorization=credential,
        )
    one, other = house.taken[-2:]
    assert one.who == other.who != ""


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/v1/embeddings", {}), ("/v1/chat/completions", {"x_offramp_record": "no"})],
    ids=["route", "client"],
)
async def test_a_call_that_is_opted_out_passes_and_is_not_recorded(
    house: House, path: str, headers: dict[str, str]
) -> None:
    before = len(house.taken)
    status, _, _ = await house.ask("POST", path, CALL, x_offramp_key=house.keys[Role.AGENT], **headers)
    assert status == 200
    assert len(house.taken) == before


async def test_a_key_made_on_the_command_line_opens_the_door_and_closes_it(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.command(keys.command, "add", "ci", "--role", "agent", "--json")
    key = made(capsys)
    assert (await house.ask("POST", "/v1/chat/completions", CALL, x_offramp_key=key["key"]))[0] == 200
    house.command(keys.command, "revoke", "ci", "--json")
    assert made(capsys)["revoked"] is not None
    status, said, _ = await house.ask("POST", "/v1/chat/completions", CALL, x_offramp_key=key["key"])
    assert status == 401
    assert "was revoked" in said["error"]["message"]


async def test_limits_of_a_key_hold_over_http(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--per-minute", "2", "--model", "gpt-4o", "--path", "/v1/chat", "--no-record", "--days", "1")
    house.command(keys.command, "add", "narrow", "--role", "agent", *flags, "--json")
    key = made(capsys)["key"]
    before = len(house.taken)
    assert (await house.ask("GET", "/v1/models", x_offramp_key=key))[0] == 403
    status, said, _ = await house.ask(
        "POST", "/v1/chat/completions", {**CALL, "model": "o3"}, x_offramp_key=key
    )
    assert status == 403
    assert "gpt-4o" in said["error"]["message"]
    assert (await house.ask("POST", "/v1/chat/completions", CALL, x_offramp_key=key))[0] == 200
    status, _, fields = await house.ask("POST", "/v1/chat/completions", CALL, x_offramp_key=key)
    assert status == 429
    assert int(fields["retry-after"]) > 0
    assert len(house.taken) == before


async def test_a_key_that_may_not_be_trained_on_marks_its_calls(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.command(keys.command, "add", "private", "--role", "agent", "--no-train", "--json")
    key = made(capsys)["key"]
    await house.ask("POST", "/v1/chat/completions", CALL, x_offramp_key=key)
    stored = {call.id: call for call in house.app.store.calls()}
    assert not stored[house.taken[-1].id].trainable
    assert any(call.trainable for call in stored.values())


async def test_reading_a_body_over_http_is_in_the_audit_log(house: House) -> None:
    await house.ask("POST", "/v1/chat/completions", CALL, x_offramp_key=house.keys[Role.AGENT])
    number = house.taken[-1].id
    status, said, _ = await house.ask(
        "GET", f"/offramp/calls/{number}", x_offramp_key=house.keys[Role.CURATOR]
    )
    assert (status, said["id"]) == (200, number)
    checked = await asyncio.to_thread(check_audit, house.app)
    assert checked.intact
    entry = checked.entries[-1]
    assert (entry.action, entry.count) == ("read_bodies", 1)
    assert entry.who == house.keys[Role.CURATOR].split("_")[1]


async def test_a_list_of_keys_shows_no_secret(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.command(keys.command, "list", "--json")
    listed = capsys.readouterr().out
    assert "the admin" in listed
    house.command(keys.command, "list")
    shown = capsys.readouterr().out
    status, over_http, _ = await house.ask("GET", "/offramp/keys", x_offramp_key=house.keys[Role.ADMIN])
    assert status == 200
    for said in (listed, shown, json.dumps(over_http)):
        assert "ofk_" not in said
        assert "hash" not in said


async def test_a_new_key_alone_is_on_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    obj = {"home": str(tmp_path / "home")}
    keys.command.main(["add", "ci", "--role", "agent"], obj=obj, standalone_mode=False)
    said = capsys.readouterr()
    assert token.read(said.out.strip()) is not None
    assert "shown this once" in said.err
    app = build(Settings(home=tmp_path / "home"))
    keys_of(app).revoke("ci")
    app.store.delete(KEY, keys_of(app).all()[0].id)
    app.close()
    keys.command.main(["list"], obj=obj, standalone_mode=False)
    assert "There are no keys" in capsys.readouterr().out


async def test_changes_of_keys_are_in_the_audit_log(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.command(keys.command, "add", "seen", "--role", "viewer", "--json")
    number = made(capsys)["id"]
    house.command(keys.command, "revoke", "seen")
    house.command(audit.command, "show", "--json")
    assert f"add {number} (viewer)" in (said := capsys.readouterr().out)
    assert f"revoke {number}" in said


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_listening_to_others_without_keys_is_refused(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(tmp_path / "home"), "serve", "--host", host, "--port", "0"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"gateway.host is '{host}'" in said
    assert "offramp keys add" in said


@pytest.mark.parametrize("teacher", ["upstream", "anthropic"])
async def test_a_gateway_that_is_its_own_teacher_is_refused(
    teacher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"OFFRAMP_GATEWAY_{teacher.upper()}", "http://localhost:8499/v1")
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(tmp_path / "home"), "serve", "--port", "8499"])
    assert ended.value.code == 2
    assert f"gateway.{teacher} is http://localhost:8499/v1, which is where offramp itself" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "home").exists()


async def test_a_guard_of_an_address_that_others_reach_never_opens(tmp_path: Path) -> None:
    app = build(Settings(home=tmp_path, gateway=GatewaySettings(host="0.0.0.0")))
    refused: Callable[..., Any] = guard_of(app).admit
    assert refused("POST", "/v1/chat/completions", []).status == 401
    app.close()


async def test_keys_audit_log_and_pseudonyms_outlive_the_master_key(tmp_path: Path) -> None:
    app = build(Settings(home=tmp_path))
    assert isinstance(app.store, SqliteStore)
    _, text = keys_of(app).add(Grant("ci", Role.AGENT))
    audit_of(app).write("keys", "before")
    who = app.pseudonyms.of("user", "u-1")
    app.store.rotate_key()
    app.store.rotate_master(app.settings.key_path)
    app.close()
    app = build(Settings(home=tmp_path))
    said = guard_of(app).admit("POST", "/v1/chat/completions", [(b"x-offramp-key", text.encode())])
    audit_of(app).write("keys", "after")
    assert isinstance(said, Admission)
    assert check_audit(app).intact
    assert app.pseudonyms.of("user", "u-1") == who
    app.close()
