"""Which answers of training calls a specialist may keep to say again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.askers import shared
from offramp.core.render import payload_of
from offramp.train.template import slotted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.dataset import Item


def answers_kept(items: Sequence[Item], min_origins: int) -> list[bool]:
    """Tell of each call whether what its answer adds to its request was said to enough askers of its task.

    Values that stand in the request do not count: whoever asks it says them first.

    Args:
        items: Training calls.
        min_origins: Distinct askers at least.
    """
    added = [slotted(payload_of(item.call.request), item.example.completion)[0] for item in items]
    kept = shared(items, ([pieces] for pieces in added), min_origins)
    return [(item.task, pieces) in kept for item, pieces in zip(items, added, strict=True)]
