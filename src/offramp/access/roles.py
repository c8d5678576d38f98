"""Roles, actions, and the one table that says which role may do which action."""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Role(enum.StrEnum):
    """What a key is for."""

    AGENT = "agent"
    VIEWER = "viewer"
    CURATOR = "curator"
    TRAINER = "trainer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Action(enum.StrEnum):
    """What can be asked of an installation."""

    CALL = "call"
    READ_STATUS = "read_status"
    METRICS = "metrics"
    READ_TASKS = "read_tasks"
    READ_BODIES = "read_bodies"
    EXPORT = "export"
    IMPORT = "import"
    CONVERT = "convert"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    KEYS = "keys"
    ERASE = "erase"
    AUDIT = "audit"
    ROTATE = "rotate"


_LOOK = frozenset({Action.READ_STATUS, Action.METRICS, Action.READ_TASKS})

ROLES: Mapping[Role, frozenset[Action]] = MappingProxyType(
    {
        Role.AGENT: frozenset({Action.CALL}),
        Role.VIEWER: _LOOK,
        Role.CURATOR: _LOOK | {Action.READ_BODIES, Action.EXPORT, Action.IMPORT},
        # Trains on bodies without showing them to anyone.
        Role.TRAINER: _LOOK | {Action.CONVERT},
        Role.OPERATOR: _LOOK | {Action.PROMOTE, Action.ROLLBACK},
        Role.ADMIN: frozenset(Action),
    }
)
"""The actions of each role; what is not in its row is refused."""


def permits(role: Role, action: Action) -> bool:
    """Whether a role may do an action."""
    return action in ROLES[role]


def matrix() -> str:
    """Render the table of roles and actions as Markdown, as `docs/security.md` shows it."""
    head = ["| action | " + " | ".join(Role) + " |", "|---|" + "---|" * len(Role)]
    rows = [
        f"| `{action}` | " + " | ".join("yes" if permits(role, action) else "-" for role in Role) + " |"
        for action in Action
    ]
    return "\n".join([*head, *rows]) + "\n"
