"""From the calls of one task, or of a group, to a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.askers import MIN_ORIGINS
from offramp.core.dataset import Dataset
from offramp.core.errors import BadInput
from offramp.core.render import observe
from offramp.curate.card import TERMS, describe
from offramp.curate.dedupe import count, set_apart
from offramp.curate.filter import keep
from offramp.curate.split import Shares, find_leakage, require_clean, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from offramp.core.call import Call
    from offramp.core.task import Task


def curate(
    calls: Iterable[Call],
    assignment: Mapping[str, str],
    tasks: Sequence[Task],
    *,
    shares: Shares | None = None,
    terms: str = TERMS,
    min_origins: int = MIN_ORIGINS,
) -> Dataset:
    """Filter, split, deduplicate and render the calls of some tasks.

    Args:
        calls: Calls of any task; those of others are passed over.
        assignment: Task id by call id.
        tasks: One task, or the members of a group that one specialist is to serve.
        shares: Shares of the parts.
        terms: Licence and terms, for the card.
        min_origins: Distinct askers whose answers must hold what constrained decoding may say.

    Returns:
        The dataset; no session, no near-duplicate and no time overlap between its parts.

    Raises:
        BadInput: No call is usable, or the split leaks.
    """
    shares = shares or Shares()
    items, dropped = keep(calls, assignment, {task.id: task for task in tasks})
    if not items:
        names = ", ".join(task.name for task in tasks) or "no task"
        reasons = "; ".join(f"{number} dropped: {reason}" for reason, number in dropped.most_common())
        raise BadInput(
            f"no usable call of {names} ({reasons or 'none recorded'}).",
            hint="`offramp tasks` shows which tasks have calls to learn from.",
        )
    parts, repeats = set_apart(split(items, shares))
    leakage = find_leakage(parts, repeats)
    require_clean(leakage)
    facts = {
        task.id: observe([item for item in parts["train"] if item.task == task.id], min_origins)
        for task in tasks
    }
    card = describe(
        tasks,
        parts,
        repeats,
        dropped=dropped,
        duplicates=count(items),
        leakage=leakage,
        shares=shares,
        terms=terms,
    )
    return Dataset(tuple(task.id for task in tasks), parts, repeats, facts, card)
