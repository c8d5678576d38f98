"""All checks in the order of a first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.app.doctor import machine, store, teacher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from offramp.app.doctor.finding import Finding
    from offramp.config import Settings

CHECKS: tuple[Callable[[Settings], Finding], ...] = (
    machine.python,
    machine.train_extra,
    machine.disk,
    machine.shared_memory,
    store.rights,
    store.store,
    store.recording,
    store.base_model,
    store.judge,
    machine.port,
    store.binding,
    teacher.upstream,
    teacher.anthropic,
    teacher.proxy,
    teacher.agents,
)


def examine(settings: Settings, *, network: bool = True) -> Iterator[Finding]:
    """Run the checks.

    Args:
        settings: What to check.
        network: Whether the teachers are asked too.
    """
    for check in CHECKS:
        if network or check not in (teacher.upstream, teacher.anthropic):
            yield check(settings)
