"""Offramp's own paths without a server: the table, its errors, its description."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from offramp.core import errors
from offramp.core.admission import Admission, Refusal
from offramp.core.call import Dialect
from offramp.dialect import FORMS, form_of
from offramp.gateway.counters import Counters
from offramp.gateway.endpoint import Endpoint, Inquiry, Page, Parameter
from offramp.gateway.openapi import describe
from offramp.gateway.pages import Pages
from offramp.gateway.vitals import Vitals
from offramp.gateway.wire import UNKNOWN, Asked, OpenGuard

if TYPE_CHECKING:
    from offramp.core.json import JsonObject
    from offramp.upstream.port import Headers


@dataclass(slots=True)
class _Reply:
    status: int = 0
    headers: Headers = ()
    body: bytes = b""
    complete: bool = False

    def start(self, status: int, headers: Headers, length: int = UNKNOWN) -> None:
        self.status, self.headers = status, headers

    async def write(self, data: bytes, *, last: bool) -> None:
        self.body += data
        self.complete = last

    def push(self, data: bytes) -> bool:
        self.body += data
        return True

    def field(self, name: str) -> str | None:
        return dict(self.headers).get(name.encode(), b"").decode() or None

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class _Guard:
    refusal: Refusal | None = None
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def admit(self, method: str, path: str, headers: Headers, client: str = "") -> Admission | Refusal:
        self.asked.append((method, path, client))
        return self.refusal or Admission(who="who-1")

    def refuses(self, admission: Admission, model: str) -> Refusal | None:
        return None


def _echo(inquiry: Inquiry) -> JsonObject:
    return {"parameters": inquiry.parameters, "body": inquiry.body, "who": inquiry.admission.who}


async def _later(inquiry: Inquiry) -> JsonObject:
    await asyncio.sleep(0)
    return _echo(inquiry)


_SCHEMA: JsonObject = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "pattern": "\\S"},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "share": {"type": "number", "exclusiveMinimum": 0},
        "role": {"type": "string", "enum": ["a", "b"]},
        "paths": {"type": "array", "items": {"type": "string"}},
    },
}
_TABLE = [
    Endpoint("GET", "/open", "", _echo, "Open"),
    Endpoint(
        "GET",
        "/offramp/tasks",
        "read_tasks",
        _later,
        parameters=[
            Parameter("limit", "Most", "integer", least=1, most=10),
            Parameter("all", "All", "boolean"),
            Parameter("at", "When", "number"),
        ],
    ),
    Endpoint("GET", "/offramp/tasks/{id}", "read_tasks", _echo, parameters=[Parameter("id", "Its id")]),
    Endpoint("DELETE", "/offramp/tasks/{id}", "erase", _echo, parameters=[Parameter("id", "Its id")]),
    Endpoint("POST", "/offramp/keys", "keys", _echo, body=_SCHEMA),
    Endpoint("GET", "/odd", "", lambda _: Page(b"hi", b"text/plain", 203)),
    Endpoint("GET", "/must", "", _echo, parameters=[Parameter("q", "What to find", required=True)]),
]


@pytest.fixture
def guard() -> _Guard:
    return _Guard()


async def _ask(guard: _Guard, method: str, target: str, body: bytes = b"") -> _Reply:
    reply = _Reply()
    pages = Pages(_TABLE, guard, form_of(Dialect.CHAT))
    await pages.answer(Asked(method, target, [(b"host", b"h:1")], body, "1.2.3.4"), reply)
    assert reply.complete
    return reply


async def test_an_endpoint_answers_json(guard: _Guard) -> None:
    reply = await _ask(guard, "GET", "/offramp/tasks")
    assert (reply.status, reply.field("content-type")) == (200, "application/json")
    assert reply.field("content-length") == str(len(reply.body))


async def test_values_of_path_and_query_have_their_types(guard: _Guard) -> None:
    reply = await _ask(guard, "GET", "/offramp/tasks?limit=5&all=true&unknown=x")
    assert reply.json()["parameters"] == {"limit": 5, "all": True}
    assert (await _ask(guard, "GET", "/offramp/tasks/a%2Fb")).json()["parameters"] == {"id": "a/b"}


@pytest.mark.parametrize(
    "query",
    ["limit=x", "limit=", "all=maybe", "limit=1_0", "limit=%205", "limit=0", "limit=11", "at=nan", "at=1e"],
)
async def test_a_value_of_another_type_is_a_400(guard: _Guard, query: str) -> None:
    reply = await _ask(guard, "GET", f"/offramp/tasks?{query}")
    assert (reply.status, reply.json()["error"]["code"]) == (400, "bad_input")


async def test_a_missing_value_is_a_400_that_says_what_it_is(guard: _Guard) -> None:
    reply = await _ask(guard, "GET", "/must")
    assert (reply.status, reply.json()["error"]["hint"]) == (400, "What to find")


async def test_the_guard_is_asked_before_all_but_open_endpoints(guard: _Guard) -> None:
    await _ask(guard, "GET", "/open")
    assert guard.asked == []
    assert (await _ask(guard, "DELETE", "/offramp/tasks/1")).json()["who"] == "who-1"
    await _ask(guard, "PUT", "/offramp/keys?x")
    assert guard.asked == [("DELETE", "/offramp/tasks/1", "1.2.3.4"), ("PUT", "/offramp/keys", "1.2.3.4")]


async def test_a_refusal_is_told_with_its_status(guard: _Guard) -> None:
    guard.refusal = Refusal(429, "Not so often.", 7)
    reply = await _ask(guard, "GET", "/offramp/tasks")
    assert (reply.status, reply.field("retry-after")) == (429, "7")
    guard.refusal = Refusal(401, "Who are you?")
    reply = await _ask(guard, "GET", "/offramp/tasks")
    assert (reply.status, reply.field("www-authenticate")) == (401, 'Bearer realm="offramp"')
    assert reply.json()["error"]["message"] == "Who are you?"


async def test_another_method_is_a_405_that_names_those_there_are(guard: _Guard) -> None:
    reply = await _ask(guard, "PUT", "/offramp/tasks/1")
    assert (reply.status, reply.field("allow")) == (405, "DELETE, GET, HEAD")
    assert (await _ask(guard, "GET", "/offramp/keys")).field("allow") == "POST"


async def test_head_is_answered_as_get_is(guard: _Guard) -> None:
    assert (await _ask(guard, "HEAD", "/open")).status == 200


async def test_an_unknown_path_is_a_404_that_says_what_there_is(guard: _Guard) -> None:
    guard.refusal = Refusal(401, "Who are you?")
    reply = await _ask(guard, "GET", "/chat/completions")
    assert reply.status == 404
    message = reply.json()["error"]["message"]
    assert "/offramp/tasks/{id}" in message
    assert "http://h:1/v1" in message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b'"x"',
        b"{}",
        b'{"name":1}',
        b'{"name":" "}',
        b'{"name":"a","days":true}',
        b'{"name":"a","days":0}',
        b'{"name":"a","days":10}',
        b'{"name":"a","days":1.5}',
        b'{"name":"a","share":0.0}',
        b'{"name":"a","role":"c"}',
        b'{"name":"a","paths":["/v1",1]}',
        b'{"name":"a","paths":"/v1"}',
    ],
)
async def test_a_body_that_is_not_what_it_has_to_be_is_a_400(guard: _Guard, body: bytes) -> None:
    reply = await _ask(guard, "POST", "/offramp/keys", body)
    assert (reply.status, reply.json()["error"]["code"]) == (400, "bad_input")


async def test_a_body_reaches_the_endpoint(guard: _Guard) -> None:
    body = b'{"name":"a","days":3.0,"share":0.1,"role":"b","paths":["/v1"],"more":null}'
    reply = await _ask(guard, "POST", "/offramp/keys", body)
    assert reply.json()["body"] == json.loads(body)


async def test_an_answer_may_have_a_status_and_a_type_of_its_own(guard: _Guard) -> None:
    reply = await _ask(guard, "GET", "/odd")
    assert (reply.status, reply.field("content-type"), reply.body) == (203, "text/plain", b"hi")


_KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", _KINDS)
async def test_every_error_has_a_status_a_code_and_its_hint(kind: type[errors.OfframpError]) -> None:
    def fails(inquiry: Inquiry) -> JsonObject:
        raise kind("It went wrong.", hint="Try this.")

    reply = _Reply()
    pages = Pages([Endpoint("GET", "/x", "", fails)], OpenGuard(), form_of(Dialect.CHAT))
    await pages.answer(Asked("GET", "/x", [], b""), reply)
    told = reply.json()["error"]
    assert 400 <= reply.status < 600
    assert (told["message"], told["hint"]) == ("It went wrong.", "Try this.")
    assert told["code"].islower()


# --- what every gateway has -----------------------------------------------------------------------


async def _vital(target: str, status: JsonObject, *, records: bool = True) -> _Reply:
    vitals = Vitals(Counters(), lambda: status, records=records)
    reply = _Reply()
    pages = Pages(vitals.endpoints(_TABLE), OpenGuard(), form_of(Dialect.CHAT))
    await pages.answer(Asked("GET", target, [], b""), reply)
    return reply


@pytest.mark.parametrize(
    ("status", "records", "expected"),
    [
        ({"recording": {"error": ""}}, True, (200, {"status": "ready", "recording": True})),
        ({}, False, (200, {"status": "ready", "recording": False})),
        ({"recording": {"error": "gone"}}, False, (200, {"status": "ready", "recording": False})),
        (
            {"recording": {"error": "disk full"}},
            True,
            (503, {"status": "not ready", "recording": True}),
        ),
    ],
)
async def test_ready_means_that_calls_can_be_recorded_where_they_are_to_be(
    status: JsonObject, records: bool, expected: tuple[int, JsonObject]
) -> None:
    reply = await _vital("/ready", status, records=records)
    assert (reply.status, reply.json()) == expected


async def test_the_recorders_numbers_are_in_the_metrics() -> None:
    reply = await _vital("/metrics", {"recording": {"dropped": 3, "lag_s": 0.5}})
    assert b"offramp_recorder_dropped_total 3\n" in reply.body
    assert b"offramp_recorder_lag_s 0.5\n" in reply.body


async def test_the_description_knows_every_endpoint_and_every_dialect() -> None:
    described = (await _vital("/openapi.json", {})).json()
    assert described["openapi"].startswith("3.1")
    wanted = {endpoint.path for endpoint in _TABLE} | {f"/v1{path}" for path in FORMS}
    wanted |= {"/health", "/ready", "/metrics", "/offramp/status", "/openapi.json", "/v1/{path}"}
    assert described["paths"].keys() == wanted
    assert set(described["paths"]["/offramp/tasks/{id}"]) == {"get", "head", "delete"}


def test_every_operation_of_the_description_has_an_id_of_its_own() -> None:
    described = describe(_TABLE)
    operations = [
        operation
        for path in described["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    ]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    assert all(operation["responses"] for operation in operations)


def test_parameters_are_described_where_they_stand() -> None:
    described = describe(_TABLE)["paths"]
    (inside,) = described["/offramp/tasks/{id}"]["get"]["parameters"]
    assert (inside["in"], inside["required"]) == ("path", True)
    places = {p["name"]: p["in"] for p in described["/offramp/tasks"]["get"]["parameters"]}
    assert places == {"limit": "query", "all": "query", "at": "query"}
    (limit,) = [p for p in described["/offramp/tasks"]["get"]["parameters"] if p["name"] == "limit"]
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 10}
