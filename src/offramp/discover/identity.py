"""Which task of this discovery is which of the last one: ids persist, splits and merges are reported.

Tasks are matched by the calls they share: the rules of the last discovery are applied to the calls of this
one. A task without a common call may still be an old one under a reworded prompt.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offramp.core.json import digest
from offramp.core.task import Change, ChangeKind
from offramp.discover.versions import ALIKE, similarity, tools_alike

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from offramp.core.json import JsonObject
    from offramp.discover.assign import Assigner

    Flows = Mapping[tuple[str, str], int]
    """Calls that went from an old task to a new one, by both ids."""

_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Portrait:
    """What is remembered of a task from one discovery to the next.

    Attributes:
        task: Its id.
        bucket: Where its prompt stands and what response format it asks for.
        text: What is fixed in its prompt.
        tools: Names of its tools.
        kind: Form of its answers, "" where they have no single one.
        values: The closed set of its answers, empty where it is open.
        first: Time of its first call.
        last: Time of its last call.
        quiet: Whether nobody called it in the last discovery.
    """

    task: str
    bucket: str
    text: str
    tools: tuple[str, ...]
    kind: str
    values: frozenset[str]
    first: float
    last: float
    quiet: bool = False

    def became(self, other: Portrait) -> bool:
        """Whether the other may be this task under a reworded prompt."""
        answers = self.kind == other.kind and bool(
            not self.values or not other.values or self.values & other.values
        )
        return (
            answers
            and self.bucket == other.bucket
            and self.last <= other.first
            and tools_alike(self.tools, other.tools)
            and bool(self.text)
            and similarity(self.text, other.text) >= ALIKE
        )

    def to_dict(self) -> JsonObject:
        """Return a JSON object that :meth:`from_dict` reads."""
        return {
            "task": self.task,
            "bucket": self.bucket,
            "text": self.text,
            "tools": list(self.tools),
            "kind": self.kind,
            "values": sorted(self.values),
            "first": self.first,
            "last": self.last,
            "quiet": self.quiet,
        }

    @classmethod
    def from_dict(cls, value: JsonObject) -> Portrait:
        """Read what :meth:`to_dict` wrote."""
        return cls(**{**value, "tools": tuple(value["tools"]), "values": frozenset(value["values"])})


@dataclass(frozen=True, slots=True)
class Memory:
    """What a discovery leaves for the next one.

    Attributes:
        portraits: Of every task, those that nobody called lately too.
        assigner: The rules that told them.
    """

    portraits: tuple[Portrait, ...]
    assigner: Assigner

    def to_dict(self) -> JsonObject:
        """Return a JSON object that :meth:`from_dict` reads, without the assigner."""
        return {"schema": _SCHEMA, "portraits": [portrait.to_dict() for portrait in self.portraits]}

    @classmethod
    def from_dict(cls, value: JsonObject, assigner: Assigner) -> Memory | None:
        """Read what :meth:`to_dict` wrote; None where another version of offramp wrote it."""
        if value.get("schema") != _SCHEMA:
            return None
        return cls(tuple(Portrait.from_dict(item) for item in value["portraits"]), assigner)


@dataclass(frozen=True, slots=True)
class Match:
    """How new tasks are called, and what happened to the old ones.

    Attributes:
        ids: Id to use by the id that a task would have had without a past.
        changes: What happened.
        quiet: Old tasks without a call now, marked so; their rules are kept.
    """

    ids: Mapping[str, str]
    changes: tuple[Change, ...]
    quiet: tuple[Portrait, ...]


def matched(previous: Memory, portraits: Sequence[Portrait], flows: Flows, calls: Mapping[str, int]) -> Match:
    """Match the tasks of a discovery with those of the last one.

    Args:
        previous: What the last discovery left.
        portraits: The tasks found now, under the ids that they have without a past.
        flows: Calls by old and new task.
        calls: Calls of each new task.
    """
    old = {portrait.task: portrait for portrait in previous.portraits}
    ids: dict[str, str] = {}
    for (before, after), _ in sorted(flows.items(), key=lambda item: (-item[1], item[0])):
        if before not in ids.values() and after not in ids and before in old:
            ids[after] = before
    called = {before for before, _ in flows}
    reworded = _reworded(
        [p for p in portraits if p.task not in ids],
        [p for p in previous.portraits if p.task not in called],
    )
    ids |= reworded
    for portrait in portraits:
        if portrait.task not in ids:
            ids[portrait.task] = _fresh(portrait.task, {*ids.values(), *old})
    quiet = [p for p in previous.portraits if p.task not in called and p.task not in reworded.values()]
    known = {after for _, after in flows} | reworded.keys()
    changes = [
        *_changes(ids, flows),
        *(Change(ChangeKind.REWORDED, (b,), (b,), (calls[a],)) for a, b in sorted(reworded.items())),
        *(
            Change(ChangeKind.NEW, (), (ids[p.task],), (calls[p.task],))
            for p in portraits
            if p.task not in known
        ),
        *(Change(ChangeKind.QUIET, (p.task,), (), ()) for p in quiet if not p.quiet),
    ]
    return Match(ids, tuple(changes), tuple(replace(p, quiet=True) for p in quiet))


def _reworded(new: Sequence[Portrait], silent: Sequence[Portrait]) -> dict[str, str]:
    likes = [
        (similarity(before.text, after.text), before.task, after.task)
        for before in silent
        for after in new
        if before.became(after)
    ]
    ids: dict[str, str] = {}
    for _, before, after in sorted(likes, key=lambda item: (-item[0], item[1], item[2])):
        if after not in ids and before not in ids.values():
            ids[after] = before
    return ids


def _fresh(task: str, taken: set[str]) -> str:
    number = 1
    fresh = task
    while fresh in taken:
        number += 1
        fresh = "t-" + digest([task, number], size=6)
    return fresh


def _changes(ids: Mapping[str, str], flows: Flows) -> list[Change]:
    went: dict[str, dict[str, int]] = defaultdict(dict)
    came: dict[str, dict[str, int]] = defaultdict(dict)
    for (before, after), count in flows.items():
        went[before][ids[after]] = count
        came[ids[after]][before] = count
    splits = [(before, _keeper_first(before, targets)) for before, targets in sorted(went.items())]
    merges = [(after, _keeper_first(after, sources)) for after, sources in sorted(came.items())]
    return [
        *(
            Change(ChangeKind.SPLIT, (before,), tuple(targets), tuple(targets.values()))
            for before, targets in splits
            if len(targets) > 1
        ),
        *(
            Change(ChangeKind.MERGED, tuple(sources), (after,), tuple(sources.values()))
            for after, sources in merges
            if len(sources) > 1
        ),
    ]


def _keeper_first(keeper: str, counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (item[0] != keeper, -item[1], item[0])))
