"""Planted secrets and personal data, searched for in every byte that any process of offramp wrote."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sqlite3
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio

import offramp
from offramp.access.erase import DOCUMENTS
from offramp.access.search import search_files
from offramp.access.traces import forms
from offramp.app import build
from offramp.config import Settings
from offramp.record.exchange import Exchange
from offramp.record.folder import ring_folders
from offramp.record.parse import Parser
from offramp.record.writer import Writer
from offramp.testing.scripted_teacher import Scripted, ScriptedTeacher, says, streamed, whole
from offramp.upstream.serving import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from offramp.app import App
    from offramp.core.json import JsonObject

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE_S = 60.0
SOURCE = str(Path(offramp.__file__).parents[1])
CANARIES = {
    "email": "canary.bird@quillfeather.io",
    "email in the answer": "answering.wren@quillfeather.io",
    "phone": "+1 415 555 2671",
    "card": "4539 1488 0343 6467",
    "iban": "DE89 3704 0044 0532 0130 00",
    "ssn": "536-22-8719",
    "ip": "81.2.69.142",
    "ipv6": "2a02:8109:8a40:1b2c::77aa",
    "api key": "sk-proj-CanaryCanaryCanary0123456789abcd",
    "aws key": "AKIAZQ3CANARYBIRD42K",
    "password": "Tr0ub4dor&3-canary",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOiJiaXJkIn0.c2lnbmF0dXJlLW9mLWNhbmFyeQ",
    "url password": "p4ss-of-the-canary-url",
    "authorization": "sk-live-authorization-canary-77",
    "anthropic key": "sk-ant-api03-header-canary-88",
    "azure key": "azure-header-canary-99",
    "cookie": "cookie-canary-5a5a5a",
    "set-cookie": "set-cookie-canary-6b6b6b",
    "forwarded": "93.184.216.99",
    "user": "user-canary-1001",
    "safety identifier": "safety-canary-1002",
    "cache key": "cache-key-canary-1003",
    "metadata": "customer-canary-1004",
    "speaker": "speaker_canary_1005",
    "session header": "session-header-canary-1006",
    "session field": "session-field-canary-1007",
    "query": "query-canary-1008-abcdef",
    "unreadable": "unreadable.canary@quillfeather.io",
    "error": "sk-proj-EchoedInAnErrorCanary0123456789",
}
IN_TEXT = ("email", "phone", "card", "iban", "ssn", "ip", "ipv6", "api key", "aws key", "jwt")
HEADERS = {
    "authorization": f"Bearer {CANARIES['authorization']}",
    "x-api-key": CANARIES["anthropic key"],
    "api-key": CANARIES["azure key"],
    "cookie": f"sid={CANARIES['cookie']}",
    "x-forwarded-for": CANARIES["forwarded"],
    "x-session-id": CANARIES["session header"],
}
CHAT = "/v1/chat/completions"
SECRET_COOKIE = (b"set-cookie", f"sid={CANARIES['set-cookie']}; HttpOnly".encode())


def text() -> str:
    named = "\n".join(f"my {name} is {CANARIES[name]}" for name in IN_TEXT)
    address = f"https://root:{CANARIES['url password']}@db.quillfeather.io/x"
    return f"{named}\npassword: {CANARIES['password']}, db at {address}"


def chat(**fields: object) -> JsonObject:
    messages = [
        {"role": "system", "content": f"You serve {CANARIES['email']}."},
        {"role": "user", "name": CANARIES["speaker"], "content": text()},
        {"role": "assistant", "content": None, "tool_calls": [tool(json.dumps({"note": text()}))]},
        {"role": "tool", "tool_call_id": "call_1", "content": json.dumps({"rows": [text()]})},
    ]
    return {
        "model": "gpt-4o",
        "messages": messages,
        "user": CANARIES["user"],
        "safety_identifier": CANARIES["safety identifier"],
        "prompt_cache_key": CANARIES["cache key"],
        "metadata": {"customer": CANARIES["metadata"], "session_id": CANARIES["session field"]},
        **fields,
    }


def tool(arguments: str) -> JsonObject:
    return {"id": "call_1", "type": "function", "function": {"name": "note", "arguments": arguments}}


def answer() -> JsonObject:
    said = f"Wrote to {CANARIES['email in the answer']} and {text()}"
    return says(said, tool_calls=[{"name": "note", "arguments": json.dumps({"to": text()})}])


def script() -> list[tuple[str, JsonObject | bytes, Scripted]]:
    """What is asked, where, and what the teacher says to it."""
    plain = whole(answer(), headers=[SECRET_COOKIE])
    error = {"error": {"message": f"Incorrect API key provided: {CANARIES['error']}", "type": "invalid"}}
    claude = {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": text()}]}
    claude["metadata"] = {"user_id": CANARIES["user"]}
    said = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": text()}]}
    broken = f'{{"messages": [{{"role": "user", "content": "{CANARIES["unreadable"]}'.encode()
    return [
        (CHAT, chat(), plain),
        (CHAT, chat(stream=True), streamed(answer())),
        (f"{CHAT}?api-key={CANARIES['query']}", chat(), plain),
        (CHAT, chat(), whole(error, status=401)),
        (CHAT, chat(), Scripted([b'{"half": "' + CANARIES["email"].encode()], breaks_off=True)),
        (CHAT, chat(), Scripted([f"not JSON: {CANARIES['unreadable']}".encode()])),
        (CHAT, broken, whole(error, status=400)),
        ("/v1/messages", claude, whole(said)),
        ("/v1/responses", {"model": "m", "input": text(), "user": CANARIES["user"]}, whole({"output": []})),
        ("/v1/embeddings", {"model": "e", "input": [text()]}, whole({"data": []})),
        ("/v1/completions", {"model": "c", "prompt": text()}, whole({"choices": [{"text": text()}]})),
        ("/v1/files", {"file": text()}, whole({"id": "file-1"})),
    ]


def needles() -> dict[bytes, str]:
    """Every canary in every form: as it is, without its blanks, JSON, URL, hexadecimal, base64."""
    spelt = {
        (name, value) for name, canary in CANARIES.items() for value in (canary, canary.replace(" ", ""))
    }
    return {form: name for name, value in spelt for form in forms(value)}


@dataclass
class Run:
    """A gateway of its own, the folders it may write to, and what it printed.

    Attributes:
        root: Home, temporary files and logs are in it.
        found: What searches while it ran have found.
        sizes: Bytes that were searched in each place.
        environment: Settings of the gateway.
    """

    root: Path
    found: set[tuple[str, str]] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.root / "home"

    def places(self) -> list[Path]:
        return [self.root, *ring_folders(self.home)]

    def search(self) -> None:
        for place in self.places():
            hits, _, size = search_files([place], needles())
            self.found |= {(Path(hit.path).name, hit.what) for hit in hits}
            self.sizes[str(place)] = max(size, self.sizes.get(str(place), 0))


async def start(run: Run, name: str, *arguments: str) -> asyncio.subprocess.Process:
    with (run.root / f"{name}.err").open("ab") as err:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "offramp",
            "--home",
            str(run.home),
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=err,
            cwd=run.root,
            env={**os.environ, "TMPDIR": str(run.root / "tmp"), "PYTHONPATH": SOURCE, **run.environment},
            start_new_session=True,
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    """A run of the real gateway and recorder: everything said twice, a crash between."""
    run = Run(tmp_path_factory.mktemp("run"))
    (run.root / "tmp").mkdir()
    for end in (9, 15):
        await serve(run, end)
    listed = await start(run, "tasks", "tasks", "--json")
    out, _ = await listed.communicate()
    assert listed.returncode == 0
    (run.root / "tasks.out").write_bytes(out)
    run.search()
    yield run


async def serve(run: Run, end: int) -> None:
    teacher = ScriptedTeacher()
    async with Server(teacher, grace_s=1) as behind:
        url = behind.address.url
        run.environment = {"OFFRAMP_GATEWAY_ANTHROPIC": url}
        flags = ["serve", "--upstream", url, "--port", "0", "--json"]
        process = await start(run, "serve", *flags)
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
            await speak(run, teacher, json.loads(line)["url"])
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(end)
            await asyncio.wait_for(process.wait(), PATIENCE_S)
            run.search()


async def speak(run: Run, teacher: ScriptedTeacher, url: str) -> None:
    async with aiohttp.ClientSession(url, cookie_jar=aiohttp.DummyCookieJar()) as client:
        for path, body, response in script():
            teacher.then(response)
            sent = body if isinstance(body, bytes) else json.dumps(body).encode()
            fields = {**HEADERS, "content-type": "application/json"}
            with contextlib.suppress(aiohttp.ClientError):
                async with client.post(path, data=sent, headers=fields) as answered:
                    await answered.read()
            run.search()
    heard = repr(teacher.heard)
    assert CANARIES["authorization"] in heard
    assert CANARIES["cookie"] in heard


def opened(app: App) -> str:
    """Everything that the store holds, decrypted."""
    calls = [
        [call.origin, call.session, call.request, call.response, call.meta] for call in app.store.calls()
    ]
    documents = [app.store.documents(kind) for kind in DOCUMENTS]
    return json.dumps([calls, documents], ensure_ascii=False)


def left_in(said: str) -> set[str]:
    raw = said.encode()
    return {name for needle, name in needles().items() if needle in raw}


async def test_no_byte_that_was_written_holds_a_canary(run: Run) -> None:
    assert run.found == set()
    assert len(run.sizes) == 3
    assert min(run.sizes[str(place)] for place in (run.root, run.places()[1])) > 10_000


async def test_the_traffic_was_recorded(run: Run) -> None:
    app = build(Settings(home=run.home))
    calls = list(app.store.calls())
    app.close()
    assert len(calls) >= 2 * 6
    assert {call.dialect.value for call in calls} == {
        "chat",
        "messages",
        "responses",
        "embeddings",
        "completions",
    }
    assert any("note" in json.dumps(call.response) for call in calls)


async def test_no_canary_is_in_what_the_store_decrypts(run: Run) -> None:
    app = build(Settings(home=run.home))
    said = opened(app)
    app.close()
    assert left_in(said) == set()
    assert "my email is" in said


async def test_the_search_finds_every_canary_in_a_store_of_plaintext(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "plain.db")
    database.execute("CREATE TABLE calls (body TEXT)")
    bodies = [json.dumps([chat(), answer(), dict(HEADERS), *map(repr, script())])]
    bodies += [f"{name}: {value}" for name, value in CANARIES.items()]
    database.executemany("INSERT INTO calls VALUES (?)", [(body,) for body in bodies])
    database.commit()
    database.close()
    hits, _, _ = search_files([tmp_path], needles())
    assert {hit.what for hit in hits} == CANARIES.keys()


@pytest.mark.parametrize("write", ["hex", "base64", "url", "json"])
async def test_the_search_finds_every_canary_however_it_is_written(write: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff\0".join(WRITERS[write](value) for value in CANARIES.values()))
    hits, _, _ = search_files([tmp_path], needles())
    assert {hit.what for hit in hits} == CANARIES.keys()


def _in_url(value: str) -> bytes:
    return quote(f"x={value}&y", safe="").encode()


def _in_base64(value: str) -> bytes:
    return base64.b64encode(f"{{'{value}'}}".encode())


WRITERS: dict[str, Callable[[str], bytes]] = {
    "hex": lambda value: value.encode().hex().encode(),
    "base64": _in_base64,
    "url": _in_url,
    "json": lambda value: json.dumps({"text": f"é{value}é"}).encode(),
}


@dataclass(frozen=True)
class _Unmasked:
    value: JsonObject
    counts: dict[str, int] = field(default_factory=dict)


async def test_without_redaction_the_decrypted_store_would_hold_canaries(tmp_path: Path) -> None:
    app = build(Settings(home=tmp_path / "home"))
    writer = Writer(app.store, Parser(_Unmasked, app.pseudonym_key))
    report = writer.write(exchanges(script()))
    assert report.failed == 0
    left = left_in(opened(app))
    app.close()
    assert left >= {*IN_TEXT, "password", "url password", "email in the answer", "error"}
    hits, _, _ = search_files([tmp_path], needles())
    assert hits == []


def exchanges(said: Iterable[tuple[str, JsonObject | bytes, Scripted]]) -> list[Exchange]:
    return [
        Exchange(json.dumps(body).encode(), b"".join(response.pieces), 1.0, status=response.status)
        for path, body, response in said
        if path == CHAT and not isinstance(body, bytes)
    ]
