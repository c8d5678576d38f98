"""Offramp's own paths: a table of endpoints, JSON in and out, and errors that say what to do."""

from __future__ import annotations

import inspect
import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

import orjson

from offramp.core import errors
from offramp.core.errors import BadInput, OfframpError
from offramp.dialect.codec import encode
from offramp.gateway.endpoint import Endpoint, Inquiry, Page, check
from offramp.gateway.problem import Problem, refused, told
from offramp.gateway.wire import Admission, Refusal, send_whole
from offramp.upstream.port import header_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.json import JsonObject
    from offramp.dialect import Form
    from offramp.gateway.endpoint import Answered
    from offramp.gateway.wire import Asked, Guard, Reply
    from offramp.upstream.port import Headers

_log = logging.getLogger("offramp.gateway")

_NAME = re.compile(r"\{(\w+)\}")
_OPEN = Admission()
# The first class that fits gives the status.
_STATUSES: tuple[tuple[type[OfframpError], int], ...] = (
    (errors.NotFound, 404),
    (errors.AddressInUse, 409),
    (errors.NameTaken, 409),
    (errors.MissingExtra, 501),
    (errors.UserError, 400),
    (errors.StorageError, 503),
    (errors.UpstreamTimeout, 504),
    (errors.UpstreamError, 502),
    (errors.EngineError, 503),
    (OfframpError, 500),
)


class Pages:
    """Answers requests for offramp's own paths.

    Args:
        endpoints: The table; the first path that fits is taken.
        guard: Asked before an endpoint that is not open to all. That a path does not exist is told to
            anybody, as ``/openapi.json`` does: who forgot the ``/v1`` is helped by nothing else.
        form: How errors are told.
    """

    def __init__(self, endpoints: Sequence[Endpoint], guard: Guard, form: Form) -> None:
        self._guard = guard
        self._form = form
        self._routes: list[tuple[re.Pattern[str], dict[str, Endpoint]]] = []
        for endpoint in endpoints:
            self._add(endpoint)

    def _add(self, endpoint: Endpoint) -> None:
        pattern = re.compile(_NAME.sub(r"(?P<\1>[^/]+)", endpoint.path))
        for known, methods in self._routes:
            if known.pattern == pattern.pattern:
                methods.setdefault(endpoint.method, endpoint)
                return
        self._routes.append((pattern, {endpoint.method: endpoint}))

    async def answer(self, asked: Asked, reply: Reply) -> None:
        """Answer one request."""
        path, _, query = asked.target.partition("?")
        methods, named = self._found(path)
        if not methods:
            await self._tell(self._unknown(asked, path), reply)
            return
        endpoint = methods.get("GET" if asked.method == "HEAD" else asked.method)
        admitted = self._admitted(asked, path, endpoint)
        if isinstance(admitted, Refusal):
            await self._tell(refused(admitted), reply)
        elif endpoint is None:
            allowed = sorted({*methods, "HEAD"} if "GET" in methods else methods)
            message = f"{path} does not take {asked.method}; it takes {', '.join(allowed)}."
            allow = (b"allow", ", ".join(allowed).encode())
            await self._tell(Problem(405, message, "method_not_allowed"), reply, extra=[allow])
        else:
            await self._served(endpoint, asked, (named, query), admitted, reply)

    def _found(self, path: str) -> tuple[dict[str, Endpoint], dict[str, str]]:
        for pattern, methods in self._routes:
            if match := pattern.fullmatch(path):
                return methods, {name: unquote(value) for name, value in match.groupdict().items()}
        return {}, {}

    def _admitted(self, asked: Asked, path: str, endpoint: Endpoint | None) -> Admission | Refusal:
        if endpoint is not None and not endpoint.action:
            return _OPEN
        return self._guard.admit(asked.method, path, asked.headers, asked.client)

    async def _served(
        self,
        endpoint: Endpoint,
        asked: Asked,
        given: tuple[dict[str, str], str],
        admission: Admission,
        reply: Reply,
    ) -> None:
        try:
            inquiry = Inquiry(_parameters(endpoint, *given), _body(endpoint, asked.body), admission)
            answered = endpoint.handler(inquiry)
            page = _page(await answered if inspect.isawaitable(answered) else answered)
        except OfframpError as error:
            await self._tell(_problem(error), reply, hint=error.hint)
            return
        await send_whole(reply, page.status, [(b"content-type", page.content_type)], page.body)

    async def _tell(self, problem: Problem, reply: Reply, *, hint: str = "", extra: Headers = ()) -> None:
        fields, body = told(problem, self._form)
        if hint:
            payload = orjson.loads(body)
            payload["error"]["hint"] = hint
            body = encode(payload)
        await send_whole(reply, problem.status, [*fields, *extra], body)

    def _unknown(self, asked: Asked, path: str) -> Problem:
        host = (header_of(asked.headers, b"host") or b"...").decode("latin-1")
        own = ", ".join(pattern for pattern in self._paths())
        message = (
            f"offramp has no {asked.method} {path}. It serves /v1/... (the teacher's API) and {own}. "
            f"Set the client's base URL to http://{host}/v1."
        )
        return Problem(404, message, "not_found")

    def _paths(self) -> list[str]:
        return [next(iter(methods.values())).path for _, methods in self._routes]


def _parameters(endpoint: Endpoint, named: dict[str, str], query: str) -> JsonObject:
    texts = {**dict(parse_qsl(query, keep_blank_values=True)), **named}
    values: JsonObject = {}
    for parameter in endpoint.parameters:
        if parameter.name in texts:
            values[parameter.name] = parameter.read(texts[parameter.name])
        elif parameter.required:
            raise BadInput(f"The parameter {parameter.name} is missing.", hint=parameter.meaning)
    return values


def _body(endpoint: Endpoint, body: bytes) -> JsonObject:
    if endpoint.body is None:
        return {}
    try:
        return check(orjson.loads(body), endpoint.body)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"The body is no JSON: {error}.", hint="Send one JSON object.") from None


def _page(answered: Answered) -> Page:
    return answered if isinstance(answered, Page) else Page(encode(answered))


def _problem(error: OfframpError) -> Problem:
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    if status >= 500:
        _log.error("%s", error)
    code = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    return Problem(status, error.message, code)
