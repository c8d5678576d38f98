"""What ``/openapi.json`` says is what the endpoints do: its shape, and every operation with drawn inputs."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.gateway.core import Reply

from offramp.access.keys import Grant
from offramp.access.roles import Role
from offramp.app import build
from offramp.app.security import guard_of, keys_of
from offramp.config import RecordSettings, Settings
from offramp.gateway.admin import Admin
from offramp.gateway.app import Gateway
from offramp.gateway.wire import Asked
from offramp.testing.replay import InProcessUpstream
from offramp.testing.scripted_teacher import ScriptedTeacher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from offramp.core.json import JsonObject

Operation = tuple[str, str]
_METHODS = {"get", "head", "post", "put", "delete", "patch", "options"}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "string": str,
    "array": list,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


class Installation:
    """A gateway with all of its own endpoints, and an admin's key."""

    def __init__(self, home: Any) -> None:
        self.app = build(Settings(home=home, record=RecordSettings(redact="structured")))
        _, self.key = keys_of(self.app).add(Grant("admin", Role.ADMIN))
        self.gateway = Gateway(
            InProcessUpstream(ScriptedTeacher()),
            guard=guard_of(self.app),
            endpoints=Admin(self.app).endpoints(),
        )
        self.described: JsonObject = self.ask("GET", "/openapi.json").json()

    def ask(self, method: str, target: str, body: bytes = b"", *, key: bool = True) -> Reply:
        headers = [(b"host", b"h"), *([(b"x-offramp-key", self.key.encode())] if key else [])]
        reply = Reply()
        asyncio.run(self.gateway.answer(Asked(method, target, headers, body), reply))
        assert reply.complete
        return reply

    def operations(self) -> Iterator[tuple[str, str, JsonObject]]:
        for path, item in self.described["paths"].items():
            for method in _METHODS & item.keys():
                yield method, path, item[method]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("home"))
    yield made
    made.app.close()


def _values(schema: JsonObject) -> st.SearchStrategy[Any]:
    """Draw what a schema allows."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return _OF_TYPE[schema["type"]](schema)


def _texts(schema: JsonObject) -> st.SearchStrategy[str]:
    # The one pattern there is asks for a character that is no blank.
    return _WRITTEN.map("x".__add__) if "pattern" in schema else st.text(max_size=20)


def _numbers(schema: JsonObject) -> st.SearchStrategy[float]:
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    open_ = "exclusiveMinimum" in schema
    return st.floats(least, schema.get("maximum"), exclude_min=open_, allow_nan=False, allow_infinity=False)


def _objects(schema: JsonObject) -> st.SearchStrategy[JsonObject]:
    needed = schema.get("required", ())
    fields = {name: _values(inner) for name, inner in schema.get("properties", {}).items()}
    return st.fixed_dictionaries(
        {name: value for name, value in fields.items() if name in needed},
        optional={name: value for name, value in fields.items() if name not in needed},
    )


_WRITTEN = st.text("ab1 é%?#;./-", max_size=10)
_OF_TYPE: dict[str, Callable[[JsonObject], st.SearchStrategy[Any]]] = {
    "string": _texts,
    "integer": lambda schema: st.integers(schema.get("minimum"), schema.get("maximum")),
    "number": _numbers,
    "boolean": lambda _: st.booleans(),
    "array": lambda schema: st.lists(_values(schema["items"]), max_size=3),
    "object": _objects,
}
_ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


def _target(path: str, parameters: list[JsonObject], values: dict[str, Any]) -> str:
    written = {
        name: json.dumps(value) if isinstance(value, bool) else str(value) for name, value in values.items()
    }
    query = {p["name"]: written[p["name"]] for p in parameters if p["in"] == "query" and p["name"] in written}
    for name, value in written.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    return f"{path}?{urlencode(query)}" if query else path


@st.composite
def _request(draw: st.DrawFn, path: str, operation: JsonObject, *, valid: bool) -> tuple[str, bytes]:
    """Draw target and body of a request, as the description has them or with anything in their places."""
    parameters = operation.get("parameters", [])
    values = {}
    for parameter in parameters:
        schema = parameter["schema"] | ({"pattern": "."} if parameter["in"] == "path" or not valid else {})
        if parameter["required"] or draw(st.booleans()):
            values[parameter["name"]] = draw(_values(schema) if valid else _texts(schema))
    body = b""
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        if valid:
            body = json.dumps(draw(_values(schema))).encode()
        else:
            odd = st.fixed_dictionaries({}, optional=dict.fromkeys(schema["properties"], _ANYTHING))
            body = draw(st.one_of(odd.map(json.dumps).map(str.encode), st.binary(max_size=20)))
    return _target(path, parameters, values), body


def _keeps_to(value: Any, schema: JsonObject) -> bool:
    if "const" in schema:
        return bool(value == schema["const"])
    of_type = isinstance(value, _TYPES[schema["type"]])
    if not of_type:
        return False
    fields = schema.get("properties", {})
    return all(name in value for name in schema.get("required", ())) and all(
        _keeps_to(value[name], inner) for name, inner in fields.items() if name in value
    )


def _resolved(described: JsonObject, schema: JsonObject) -> JsonObject:
    for word in schema.get("$ref", "").removeprefix("#/").split("/") if "$ref" in schema else ():
        described = described[word]
    return described if "$ref" in schema else schema


def _check_answer(described: JsonObject, operation: JsonObject, method: str, reply: Reply) -> None:
    said = operation["responses"][str(reply.status)]
    content_type = (reply.field("content-type") or "").partition(";")[0]
    assert content_type in said["content"]
    schema = _resolved(described, said["content"][content_type]["schema"])
    if method != "head" and content_type == "application/json":
        assert _keeps_to(reply.json(), schema)


_DRAWN = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


@_DRAWN
@given(data=st.data())
def test_what_is_described_is_taken_and_answered_as_described(
    installation: Installation, data: st.DataObject
) -> None:
    for method, path, operation in installation.operations():
        if path.startswith("/v1"):
            continue
        target, body = data.draw(_request(path, operation, valid=True), label=f"{method} {path}")
        reply = installation.ask(method.upper(), target, body)
        assert reply.status in {200, 404, 409}
        _check_answer(installation.described, operation, method, reply)


@_DRAWN
@given(data=st.data())
def test_what_is_not_described_is_answered_as_described(
    installation: Installation, data: st.DataObject
) -> None:
    for method, path, operation in installation.operations():
        if path.startswith("/v1"):
            continue
        target, body = data.draw(_request(path, operation, valid=False), label=f"{method} {path}")
        reply = installation.ask(method.upper(), target, body)
        assert reply.status < 500
        _check_answer(installation.described, operation, method, reply)


def test_without_a_key_nothing_is_said_but_what_is_open(installation: Installation) -> None:
    for method, path, operation in installation.operations():
        if not path.startswith("/v1"):
            reply = installation.ask(method.upper(), path, b"{}", key=False)
            assert reply.status == (401 if "401" in operation["responses"] else 200)
            _check_answer(installation.described, operation, method, reply)


def test_the_description_has_the_shape_of_openapi_3_1(installation: Installation) -> None:
    described = installation.described
    assert re.fullmatch(r"3\.1\.\d+", described["openapi"])
    assert described["info"].keys() >= {"title", "version"}
    ids = [operation["operationId"] for _, _, operation in installation.operations()]
    assert len(set(ids)) == len(ids) > 20
    for path, item in described["paths"].items():
        assert path.startswith("/")
        assert item.keys() <= _METHODS | {"parameters"}
        for method in _METHODS & item.keys():
            _check_shape(described, path, [*item.get("parameters", []), *item[method].get("parameters", [])])
            _check_responses(described, item[method]["responses"])


def _check_shape(described: JsonObject, path: str, parameters: list[JsonObject]) -> None:
    inside = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
    assert inside == set(re.findall(r"\{(\w+)\}", path))
    for parameter in parameters:
        assert parameter["in"] in {"path", "query"}
        assert parameter["required"] is True or parameter["in"] == "query"
        assert parameter["schema"]["type"] in _TYPES


def _check_responses(described: JsonObject, responses: JsonObject) -> None:
    assert responses
    for status, response in responses.items():
        assert re.fullmatch(r"[1-5]\d\d|default", status)
        assert isinstance(response["description"], str)
        for content in response.get("content", {}).values():
            assert _resolved(described, content["schema"])["type"] in _TYPES
