"""Keys, guard, audit log and audited reading of one installation."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from offramp.access.audit import FILE, AuditLog, head_of
from offramp.access.audited import AuditedStore
from offramp.access.guard import Guard, is_loopback
from offramp.access.keys import Keys
from offramp.access.routes import RouteRules
from offramp.access.verify import check
from offramp.record.pseudonym import who_asked

if TYPE_CHECKING:
    from offramp.access.verify import Checked
    from offramp.app.build import App


def keys_of(app: App) -> Keys:
    """Open the keys."""
    return Keys(app.store, _secret(app, "keys"))


def guard_of(app: App) -> Guard:
    """Make the gateway's guard with the keys loaded; without keys it is open on a loopback address only."""
    gateway = app.settings.gateway
    rules = RouteRules.of(
        app.settings.record.skip,
        trainable=gateway.trainable,
        anthropic_trainable=gateway.anthropic_trainable,
    )
    guard = Guard(
        _secret(app, "keys"),
        pseudonym=lambda key: who_asked(app.pseudonyms, key, ""),
        rules=rules,
        open_without_keys=is_loopback(gateway.host),
    )
    guard.reload(app.store)
    return guard


def audit_of(app: App, who: str = "") -> AuditLog:
    """Open the audit log, in the name of the operating system's user where no other is given."""
    return AuditLog(app.settings.home / FILE, _secret(app, "audit"), app.store, who=who)


def reading(app: App, purpose: str, *, who: str = "") -> AuditedStore:
    """Return the store for a reader: every call read is in the audit log first."""
    return AuditedStore(app.store, audit_of(app), purpose, who=who)


def check_audit(app: App) -> Checked:
    """Check the audit log."""
    return check(app.settings.home / FILE, _secret(app, "audit"), head_of(app.store))


def leave_no_core() -> None:
    """Let this process, and those that it starts, leave no core file, which would hold calls unmasked."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - not on Windows

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _secret(app: App, purpose: str) -> bytes:
    return app.store.secret(purpose)
