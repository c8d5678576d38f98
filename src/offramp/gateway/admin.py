"""What can be done over HTTP besides calls: tasks, recorded calls, deployments, keys, the audit log."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

from offramp.access.keys import Grant, Key, Scopes
from offramp.access.roles import Action, Role
from offramp.app.security import audit_of, check_audit, keys_of, reading
from offramp.core.errors import NotFound
from offramp.gateway.endpoint import Endpoint, Parameter
from offramp.loop import state

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.app.build import App
    from offramp.core.call import Call
    from offramp.core.json import JsonObject
    from offramp.gateway.endpoint import Inquiry

MOST = 1000
"""Most calls or entries in one answer."""

_NAMES: JsonObject = {"type": "array", "items": {"type": "string"}}
_TASK: JsonObject = {"type": "object", "properties": {"task": {"type": "string"}}, "required": ["task"]}
_GRANT: JsonObject = {
    "type": "object",
    "required": ["name", "role"],
    "properties": {
        "name": {"type": "string", "pattern": "\\S"},
        "role": {"type": "string", "enum": [role.value for role in Role]},
        "days": {"type": "number", "exclusiveMinimum": 0, "maximum": 36_500},
        "calls_per_minute": {"type": "integer", "minimum": 0, "maximum": 1_000_000_000},
        "record": {"type": "boolean"},
        "trainable": {"type": "boolean"},
        "paths": _NAMES,
        "models": _NAMES,
    },
}
_BAD = [(400, "What was sent is not what is allowed.")]
_NONE = [(404, "There is none of that name.")]
_ID = Parameter("id", "Its id.", required=True)
_LIMIT = Parameter("limit", f"Most to return, {MOST} at most.", type="integer", least=1, most=MOST)


class Admin:
    """The endpoints of one installation.

    Args:
        app: The installation.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    def endpoints(self) -> list[Endpoint]:
        """Return the table; each row's action is what the guard asks of a key's role."""
        calls, keys = "/offramp/calls", "/offramp/keys"
        since = Parameter("since", "Seconds since the epoch from which on.", type="number")
        return [
            _get("/offramp/tasks", Action.READ_TASKS, self._tasks, "The tasks discovered"),
            _get(calls, Action.READ_BODIES, self._calls, "Recorded calls, without bodies", since, _LIMIT),
            _get(calls + "/{id}", Action.READ_BODIES, self._call, "One recorded call, masked", _ID),
            _post("/offramp/promote", Action.PROMOTE, self._promote, "Put a task's specialist live", _TASK),
            _post("/offramp/rollback", Action.ROLLBACK, self._roll_back, "Back to the LLM", _TASK),
            _get(keys, Action.KEYS, self._keys, "All keys, without their text"),
            _post(keys, Action.KEYS, self._add_key, "Make a key; its text is shown this once", _GRANT),
            Endpoint(
                "DELETE",
                keys + "/{id}",
                Action.KEYS,
                self._revoke,
                "Revoke a key",
                parameters=[_ID],
                statuses=_NONE,
            ),
            _get("/offramp/audit", Action.AUDIT, self._audit, "The audit log; is it whole?", _LIMIT),
        ]

    def _tasks(self, inquiry: Inquiry) -> JsonObject:
        del inquiry
        return {"tasks": [asdict(task) for task in state.load_tasks(self._app.store)]}

    async def _calls(self, inquiry: Inquiry) -> JsonObject:
        limit = _limit(inquiry)
        since = max(0.0, float(inquiry.parameters.get("since") or 0.0))
        store = reading(self._app, "list over HTTP", who=inquiry.admission.key)
        found = await asyncio.to_thread(lambda: list(store.calls(since=since, limit=limit)))
        return {"calls": [_head(call) for call in found]}

    async def _call(self, inquiry: Inquiry) -> JsonObject:
        store = reading(self._app, "one call over HTTP", who=inquiry.admission.key)
        wanted = inquiry.parameters["id"]
        call = await asyncio.to_thread(store.call, wanted)
        if call is None:
            raise NotFound(f"There is no call {wanted!r}.", hint="GET /offramp/calls lists them.")
        return {**_head(call), "request": call.request, "response": call.response, "meta": call.meta}

    def _promote(self, inquiry: Inquiry) -> JsonObject:
        task = inquiry.body["task"]
        deployed = state.promote(self._app.store, task, measures=self._app.measures)
        self._enter(inquiry, Action.PROMOTE, task)
        return {"live": [deployment.to_dict() for deployment in deployed]}

    def _roll_back(self, inquiry: Inquiry) -> JsonObject:
        task = inquiry.body["task"]
        out = state.roll_back(self._app.store, task)
        self._enter(inquiry, Action.ROLLBACK, task)
        return {"out": [deployment.specialist for deployment in out]}

    def _keys(self, inquiry: Inquiry) -> JsonObject:
        del inquiry
        used = keys_of(self._app).last_used()
        return {"keys": [{**_shown(key), "last_used": used.get(key.id)} for key in keys_of(self._app).all()]}

    def _add_key(self, inquiry: Inquiry) -> JsonObject:
        key, text = keys_of(self._app).add(_grant(inquiry.body))
        self._enter(inquiry, Action.KEYS, f"add {key.id} ({key.role})")
        return {**_shown(key), "key": text}

    def _revoke(self, inquiry: Inquiry) -> JsonObject:
        key = keys_of(self._app).revoke(inquiry.parameters["id"])
        self._enter(inquiry, Action.KEYS, f"revoke {key.id}")
        return _shown(key)

    async def _audit(self, inquiry: Inquiry) -> JsonObject:
        checked = await asyncio.to_thread(check_audit, self._app)
        entries = [asdict(entry) for entry in checked.entries[-_limit(inquiry) :]]
        faults = [asdict(fault) for fault in checked.faults]
        return {"intact": checked.intact, "faults": faults, "entries": entries}

    def _enter(self, inquiry: Inquiry, action: Action, what: str) -> None:
        audit_of(self._app).write(action, what, who=inquiry.admission.key)


def _get(
    path: str, action: Action, handler: Callable[[Inquiry], object], summary: str, *parameters: Parameter
) -> Endpoint:
    statuses = [*(_BAD if parameters else []), *(_NONE if "{" in path else [])]
    return Endpoint(
        "GET",
        path,
        action,
        handler,  # type: ignore[arg-type]  # each is a Handler; Callable cannot say "this or awaitable"
        summary,
        parameters=parameters,
        statuses=statuses,
    )


def _post(
    path: str, action: Action, handler: Callable[[Inquiry], JsonObject], summary: str, body: JsonObject
) -> Endpoint:
    statuses = [*_BAD, *_NONE, (409, "The name is another's already.")]
    return Endpoint("POST", path, action, handler, summary, body=body, statuses=statuses)


def _limit(inquiry: Inquiry) -> int:
    return int(inquiry.parameters.get("limit", 100))


def _head(call: Call) -> JsonObject:
    return {
        "id": call.id,
        "at": call.at,
        "session": call.session,
        "origin": call.origin,
        "dialect": call.dialect.value,
        "route": call.route,
        "status": call.status,
        "stream": call.stream,
        "latency_s": call.latency_s,
        "prompt_tokens": call.usage.prompt_tokens,
        "completion_tokens": call.usage.completion_tokens,
        "trainable": call.trainable,
    }


def _shown(key: Key) -> JsonObject:
    return {name: value for name, value in key.to_dict().items() if name != "hash"}


def _grant(body: JsonObject) -> Grant:
    scopes = {name: tuple(body.get(name, ())) for name in ("paths", "models")}
    more: JsonObject = {name: body[name] for name in ("days", "record", "trainable") if name in body}
    more["calls_per_minute"] = int(body.get("calls_per_minute", 0))
    return Grant(name=body["name"], role=Role(body["role"]), scopes=Scopes(**scopes), **more)
