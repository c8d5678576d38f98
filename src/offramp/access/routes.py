"""What a request to the gateway asks for, by method and path."""

from __future__ import annotations

from dataclasses import dataclass

from offramp.access.roles import Action

_OPEN = ("/health", "/openapi.json", "/offramp/openapi.json")
"""What anybody may ask: whether the gateway is up, and how it is spoken to."""

_OWN: tuple[tuple[str, Action], ...] = (
    ("/metrics", Action.METRICS),
    ("/offramp/status", Action.READ_STATUS),
    ("/offramp/tasks", Action.READ_TASKS),
    ("/offramp/calls", Action.READ_BODIES),
    ("/offramp/export", Action.EXPORT),
    ("/offramp/import", Action.IMPORT),
    ("/offramp/convert", Action.CONVERT),
    ("/offramp/promote", Action.PROMOTE),
    ("/offramp/rollback", Action.ROLLBACK),
    ("/offramp/keys", Action.KEYS),
    ("/offramp/erase", Action.ERASE),
    ("/offramp/audit", Action.AUDIT),
    ("/offramp/rotate", Action.ROTATE),
)
_LAST = Action.ROTATE
"""Asked for a path that is not listed: only an admin may, so that a new path is closed until it is listed."""


def action_of(path: str) -> Action | None:
    """Return what a path (without its query) asks for, None where anybody may ask."""
    if path.startswith("/v1/") or path == "/v1":
        return Action.CALL
    if path in _OPEN:
        return None
    return next((action for start, action in _OWN if _under(path, start)), _LAST)


def _under(path: str, start: str) -> bool:
    return path == start or path.startswith(start + "/")


@dataclass(frozen=True, slots=True)
class RouteRules:
    """What holds of a path, whoever asks.

    Attributes:
        skip: Beginnings of paths that are not recorded.
        trainable: Whether the terms of the teacher allow training on its answers.
        anthropic_trainable: The same for the teacher behind ``/v1/messages``.
    """

    skip: tuple[str, ...] = ()
    trainable: bool = True
    anthropic_trainable: bool = True

    @classmethod
    def of(cls, skip: str, *, trainable: bool = True, anthropic_trainable: bool = True) -> RouteRules:
        """Read ``record.skip`` (comma-separated paths) and what the settings say of each teacher."""
        paths = tuple(path.strip() for path in skip.split(",") if path.strip())
        return cls(paths, trainable, anthropic_trainable)

    def records(self, path: str) -> bool:
        """Whether calls of a path are recorded."""
        return not any(_under(path, start.rstrip("/")) for start in self.skip)

    def may_train(self, path: str) -> bool:
        """Whether the answers that come by a path may be trained on."""
        return self.anthropic_trainable if _under(path, "/v1/messages") else self.trainable
