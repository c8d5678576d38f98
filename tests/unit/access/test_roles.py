from __future__ import annotations

from pathlib import Path

import pytest

from offramp.access.guard import Guard
from offramp.access.keys import Grant, Keys
from offramp.access.roles import ROLES, Action, Role, matrix, permits
from offramp.core.admission import Admission, Refusal
from offramp.testing.memory_store import MemoryStore

SECRET = b"k" * 32
DOCS = Path(__file__).parents[3] / "docs/security.md"
WAYS = {
    Action.CALL: ("POST", "/v1/chat/completions"),
    Action.READ_STATUS: ("GET", "/offramp/status"),
    Action.METRICS: ("GET", "/metrics"),
    Action.READ_TASKS: ("GET", "/offramp/tasks"),
    Action.READ_BODIES: ("GET", "/offramp/calls/c-1"),
    Action.EXPORT: ("GET", "/offramp/export"),
    Action.IMPORT: ("POST", "/offramp/import"),
    Action.CONVERT: ("POST", "/offramp/convert"),
    Action.PROMOTE: ("POST", "/offramp/promote"),
    Action.ROLLBACK: ("POST", "/offramp/rollback"),
    Action.KEYS: ("POST", "/offramp/keys"),
    Action.ERASE: ("POST", "/offramp/erase"),
    Action.AUDIT: ("GET", "/offramp/audit"),
    Action.ROTATE: ("POST", "/offramp/rotate"),
}
# Written down apart from the code, so that a change of rights is made twice, on purpose.
MAY = {
    Role.AGENT: {"call"},
    Role.VIEWER: {"read_status", "metrics", "read_tasks"},
    Role.CURATOR: {"read_status", "metrics", "read_tasks", "read_bodies", "export", "import"},
    Role.TRAINER: {"read_status", "metrics", "read_tasks", "convert"},
    Role.OPERATOR: {"read_status", "metrics", "read_tasks", "promote", "rollback"},
    Role.ADMIN: {action.value for action in Action},
}


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("role", Role)
def test_every_cell_of_the_matrix_is_what_the_guard_does(role: Role, action: Action) -> None:
    store = MemoryStore()
    _, text = Keys(store, SECRET).add(Grant("a key", role))
    guard = Guard(SECRET, pseudonym=str)
    guard.reload(store)
    said = guard.admit(*WAYS[action], [(b"x-offramp-key", text.encode())])
    if action.value in MAY[role]:
        assert isinstance(said, Admission)
    else:
        assert isinstance(said, Refusal)
        assert said.status == 403
        assert action.value in said.message
        assert role.value in said.message


def test_the_matrix_covers_every_role_and_action() -> None:
    assert ROLES.keys() == set(Role) == MAY.keys()
    assert WAYS.keys() == set(Action)
    assert sum(permits(role, action) for role in Role for action in Action) == sum(map(len, MAY.values()))


def test_only_an_admin_may_what_no_other_role_may() -> None:
    for action in (Action.KEYS, Action.ERASE, Action.AUDIT, Action.ROTATE):
        assert [role for role in Role if permits(role, action)] == [Role.ADMIN]


def test_the_page_on_security_shows_the_matrix_of_the_code() -> None:
    assert matrix() in DOCS.read_text(encoding="utf-8")
