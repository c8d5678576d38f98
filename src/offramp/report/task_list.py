"""The discovered tasks as a plain-text table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.task import Task

_NAME = 44


def render_tasks(tasks: Sequence[Task]) -> str:
    """Lay tasks out as text, one line each: shares, form of the answers, convertible or not, and why."""
    lines = [f"{'id':<15} {'task':<{_NAME}} {'calls':>7} {'share':>6} {'tokens':>6}  output     convertible"]
    for task in tasks:
        name = task.name if len(task.name) <= _NAME else task.name[: _NAME - 1] + "…"
        lines.append(
            f"{task.id:<15} {name:<{_NAME}} {task.calls:>7} "
            f"{task.share_calls:>6.1%} {task.share_tokens:>6.1%}  "
            f"{task.output.value:<10} {'yes' if task.convertible else 'no'}: {task.reason}"
        )
    return "\n".join(lines)
