"""The OpenAPI 3.1 description of the gateway, made from its table of endpoints."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import offramp
from offramp.dialect import FORMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.json import JsonObject
    from offramp.gateway.endpoint import Endpoint, Parameter

_ERROR: JsonObject = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "code": {"type": "string"},
                "hint": {"type": "string"},
            },
        }
    },
}
_ANY: JsonObject = {
    "description": "What the teacher answers, byte for byte; or the gateway's own error in the API's form."
}


def describe(endpoints: Sequence[Endpoint]) -> JsonObject:
    """Describe the gateway.

    Args:
        endpoints: Its own; the paths under ``/v1`` are described in general terms, their bodies are the
            teacher's.
    """
    paths: JsonObject = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
        if endpoint.method == "GET":
            paths[endpoint.path]["head"] = _operation(endpoint) | {"operationId": _id("HEAD", endpoint.path)}
    for path in sorted(FORMS):
        paths[f"/v1{path}"] = {"post": _forwarded("POST", f"/v1{path}", "Recorded; a specialist may answer.")}
    rest = {"name": "path", "in": "path", "required": True, "schema": {"type": "string"}}
    paths["/v1/{path}"] = {
        "parameters": [rest],
        "get": _forwarded("GET", "/v1/{path}", "Passed on, not recorded; so is every other method."),
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "offramp",
            "version": offramp.__version__,
            "description": "Takes an agent's routine calls off the large model.",
        },
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-offramp-key"}},
        },
        "security": [{"key": []}, {}],
    }


def _operation(endpoint: Endpoint) -> JsonObject:
    answer = {"description": "The answer.", "content": {endpoint.content_type: {"schema": endpoint.answer}}}
    operation: JsonObject = {
        "operationId": _id(endpoint.method, endpoint.path),
        "summary": endpoint.summary,
        "responses": {"200": answer} | {str(status): _problem(text) for status, text in _problems(endpoint)},
    }
    if endpoint.parameters:
        operation["parameters"] = [_parameter(endpoint, parameter) for parameter in endpoint.parameters]
    if endpoint.body is not None:
        content = {"application/json": {"schema": endpoint.body}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _problems(endpoint: Endpoint) -> list[tuple[int, str]]:
    problems = list(endpoint.statuses)
    if endpoint.parameters or endpoint.body is not None:
        problems.append((400, "A parameter or the body is not what it has to be."))
    if "{" in endpoint.path:
        problems.append((404, "There is none of that name."))
    if endpoint.action:
        problems += [(401, "No key, or an unknown one."), (403, "The key's role does not allow it.")]
        problems.append((429, "Too often."))
    return problems


def _problem(text: str) -> JsonObject:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _parameter(endpoint: Endpoint, parameter: Parameter) -> JsonObject:
    in_path = f"{{{parameter.name}}}" in endpoint.path
    return {
        "name": parameter.name,
        "in": "path" if in_path else "query",
        "required": in_path or parameter.required,
        "description": parameter.meaning,
        "schema": parameter.schema,
    }


def _forwarded(method: str, path: str, summary: str) -> JsonObject:
    return {
        "operationId": _id(method, path),
        "summary": summary,
        "responses": {"default": _ANY, str(HTTPStatus.OK.value): _ANY},
    }


def _id(method: str, path: str) -> str:
    words = path.replace("{", "").replace("}", "").replace(".", "_").replace("-", "_").strip("/").split("/")
    return "_".join([method.lower(), *words])
