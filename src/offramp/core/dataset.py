"""A dataset: the calls of one task or of a group, split once and for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offramp.core.call import Answer, Call
    from offramp.core.json import JsonObject
    from offramp.core.model import Example
    from offramp.core.render import AnswerFacts

PARTS = ("train", "validation", "calibration", "test")
"""The parts in order of time: fit, choose, certify, report."""


@dataclass(frozen=True, slots=True)
class Item:
    """One call that may be learned from or measured on.

    Attributes:
        call: The call.
        task: Id of its task.
        answer: The teacher's answer.
        example: The call as a training pair.
        key: Equal for near-duplicates: hash of the task and of the payload's letters and digits.
    """

    call: Call
    task: str
    answer: Answer
    example: Example
    key: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """The calls of one task or of a group, in disjoint parts.

    Attributes:
        tasks: Ids of the tasks.
        parts: Items by part, in order of time. No session and no near-duplicate is in two parts.
        repeats: By part, its calls whose near-duplicate stands in an earlier part. They are left out of
            the parts, where they would flatter a specialist; a cache is measured on parts and repeats.
        facts: By task, what its training answers have in common.
        card: The dataset card.
    """

    tasks: tuple[str, ...]
    parts: Mapping[str, tuple[Item, ...]]
    repeats: Mapping[str, tuple[Item, ...]]
    facts: Mapping[str, AnswerFacts]
    card: JsonObject
