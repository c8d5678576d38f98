"""The discovered tasks as a plain-text table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.task import ChangeKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.task import Change, Task

_NAME = 44
_SUBTASKS = 3


def render_tasks(tasks: Sequence[Task]) -> str:
    """Lay tasks out as text: shares, form of the answers, convertible or not, and why.

    The task that could save most comes first. Under each stands what it consists of, where that is more
    than one action.
    """
    figures = f"{'calls':>7} {'share':>6} {'tokens':>6} {'cost':>6} {'alike':>6} {'agrees':>14}"
    lines = [f"{'id':<15} {'task':<{_NAME}} {figures}  output     convertible"]
    for task in sorted(tasks, key=lambda t: (-t.profile.saving_usd, -t.calls, t.id)):
        profile = task.profile
        lines.append(
            f"{task.id:<15} {_cut(task.name):<{_NAME}} {task.calls:>7} "
            f"{task.share_calls:>6.1%} {task.share_tokens:>6.1%} {profile.share_cost:>6.1%} "
            f"{profile.repetitiveness:>6.0%} {_agreement(task):>14}  "
            f"{task.output.value:<10} {'yes' if task.convertible else 'no'}: {task.reason}"
        )
        if task.subtasks:
            lines.append(f"{'':<15} {_subtasks(task)}")
    return "\n".join(lines)


def render_changes(changes: Sequence[Change], tasks: Sequence[Task]) -> str:
    """Say what happened to the tasks since they were last discovered, one line each."""
    names = {task.id: f"{task.id} ({_cut(task.name)})" for task in tasks}
    lines = ["Since the last discovery:"]
    for change in changes:
        before = [names.get(task, task) for task in change.before]
        after = [names.get(task, task) for task in change.after]
        if change.kind is ChangeKind.NEW:
            lines.append(f"  new: {after[0]}, {change.calls[0]} calls")
        elif change.kind is ChangeKind.SPLIT:
            lines.append(f"  split: {before[0]} into {_counted(after, change.calls)}")
        elif change.kind is ChangeKind.MERGED:
            lines.append(f"  merged: {_counted(before, change.calls)} into {after[0]}")
        elif change.kind is ChangeKind.REWORDED:
            lines.append(f"  reworded: {after[0]} has another prompt, {change.calls[0]} calls")
        else:
            lines.append(f"  quiet: {before[0]} has no calls any more; its rules are kept")
    return "\n".join(lines)


def _counted(tasks: Sequence[str], calls: Sequence[int]) -> str:
    return ", ".join(f"{task} {count} calls" for task, count in zip(tasks, calls, strict=True))


def _cut(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"


def _agreement(task: Task) -> str:
    profile = task.profile
    if profile.self_agreement is None:
        return "-"
    return f"{profile.self_agreement:.0%} of {profile.repeats}"


def _subtasks(task: Task) -> str:
    named = [f"{part.share:.0%} {_cut(part.action)}" for part in task.subtasks[:_SUBTASKS]]
    more = len(task.subtasks) - len(named)
    listed = ", ".join(named) + (f", {more} more" if more else "")
    if task.profile.predicted is None or task.profile.usual is None:
        return listed
    return f"{listed}; its words tell {task.profile.predicted:.0%} (a guess: {task.profile.usual:.0%})"
