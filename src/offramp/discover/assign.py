"""Which task a request belongs to, decided from the request alone and before it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.discover.openings import Side, instruction_of
from offramp.discover.signature import SignatureReader
from offramp.discover.templates import Template

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from offramp.core.json import JsonObject
    from offramp.discover.signature import Signature

_SCHEMA = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """One template of a bucket and the task it leads to."""

    bucket: str
    template: Template
    task: str


@dataclass(frozen=True, slots=True)
class Fork:
    """Several tasks behind one prompt, told apart by an instruction in the first user message.

    Attributes:
        side: Where the instruction stands.
        tasks: Task id by hash of the instruction.
        rest: Task of every other message, "" where there is none.
    """

    side: Side
    tasks: Mapping[int, str]
    rest: str

    def task(self, instruction: int) -> str | None:
        """Return the task of a message with this instruction."""
        return self.tasks.get(instruction, self.rest) or None


class Assigner:
    """Maps requests to task ids.

    Known signatures first, then the templates of the request's bucket (the one with most fixed words
    that matches), then the task that takes all of a bucket, and the same for buckets of any tools. The
    answer is a function of the request and of what the assigner was made from; the reader inside only
    remembers what it computed. Safe to share between threads.

    Args:
        exact: Task id by signature key.
        rules: Templates; of two that match, the one with more fixed words wins.
        rest: Task id by bucket, for calls without a prompt that only their tools identify.
        worded: Task id by hash of the prompt, by signature key, where values tell call sites apart.
        forks: By the task that the prompt alone would lead to.
    """

    def __init__(
        self,
        exact: Mapping[str, str],
        rules: Sequence[Rule],
        rest: Mapping[str, str],
        worded: Mapping[str, Mapping[str, str]],
        forks: Mapping[str, Fork] | None = None,
    ) -> None:
        self._exact = dict(exact)
        self._worded = {key: dict(tasks) for key, tasks in worded.items()}
        self._rest = dict(rest)
        self._forks = dict(forks or {})
        self._rules: dict[str, list[Rule]] = {}
        for rule in sorted(rules, key=lambda r: (-r.template.words, r.template.anchors, r.task)):
            self._rules.setdefault(rule.bucket, []).append(rule)
        self._reader = SignatureReader()

    def assign(self, request: JsonObject) -> str | None:
        """Return the task id of a chat-completions request, None for an unknown call site."""
        look = self._reader.look(request)
        task = self.place(look.signature, look.wording)
        fork = self.fork(task)
        return task if fork is None else fork.task(instruction_of(request, fork.side))

    def place(self, signature: Signature, wording: str) -> str | None:
        """Return the task that a signature leads to, before forks.

        Args:
            signature: The request's.
            wording: Hash of its prompt with the values in place.
        """
        key = signature.key
        if key in self._worded:
            return self._worded[key].get(wording)
        found = self._exact.get(key)
        if found is not None:
            return found
        return self._in(signature.bucket, signature) or self._in(signature.open_bucket, signature)

    def fork(self, task: str | None) -> Fork | None:
        """Return what tells apart the tasks behind one prompt, None where the prompt is one task."""
        return self._forks.get(task) if task is not None else None

    def renamed(self, ids: Mapping[str, str]) -> Assigner:
        """Return the same rules with other ids; those not named stay."""

        def new(task: str) -> str:
            return ids.get(task, task)

        return Assigner(
            {key: new(task) for key, task in self._exact.items()},
            [Rule(r.bucket, r.template, new(r.task)) for rules in self._rules.values() for r in rules],
            {key: new(task) for key, task in self._rest.items()},
            {key: {w: new(t) for w, t in tasks.items()} for key, tasks in self._worded.items()},
            {
                new(task): Fork(fork.side, {h: new(t) for h, t in fork.tasks.items()}, new(fork.rest))
                for task, fork in self._forks.items()
            },
        )

    def with_tasks_of(self, older: Assigner, tasks: Container[str]) -> Assigner:
        """Return these rules and, below them, an older assigner's for some tasks that these do not know.

        A task that nobody called since keeps its rules this way, and the specialist that serves it.
        """
        worded = {
            key: {w: t for w, t in own.items() if t in tasks}
            for key, own in older._worded.items()
            if key not in self._exact
        }
        rules = [r for rules in older._rules.values() for r in rules if r.task in tasks]
        return Assigner(
            {k: t for k, t in older._exact.items() if t in tasks and k not in self._worded} | self._exact,
            [*rules, *(rule for rules in self._rules.values() for rule in rules)],
            {bucket: t for bucket, t in older._rest.items() if t in tasks} | self._rest,
            {k: t | self._worded.get(k, {}) for k, t in worded.items() if t} | self._worded_only(worded),
            {t: fork for t, fork in older._forks.items() if t in tasks} | self._forks,
        )

    def _worded_only(self, others: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
        return {key: own for key, own in self._worded.items() if not others.get(key)}

    def _in(self, bucket: str, signature: Signature) -> str | None:
        for rule in self._rules.get(bucket, ()):
            if rule.template.matches(signature.frame):
                return rule.task
        return self._rest.get(bucket)

    def to_dict(self) -> JsonObject:
        """Return a JSON object that :meth:`from_dict` reads; equal for equal assigners."""
        rules = [
            {
                "bucket": rule.bucket,
                "anchors": list(rule.template.anchors),
                "open_start": rule.template.open_start,
                "open_end": rule.template.open_end,
                "task": rule.task,
            }
            for bucket in sorted(self._rules)
            for rule in self._rules[bucket]
        ]
        forks = {
            task: {
                "side": fork.side.value,
                "tasks": {str(instruction): own for instruction, own in sorted(fork.tasks.items())},
                "rest": fork.rest,
            }
            for task, fork in sorted(self._forks.items())
        }
        return {
            "schema": _SCHEMA,
            "exact": dict(sorted(self._exact.items())),
            "rules": rules,
            "rest": dict(sorted(self._rest.items())),
            "worded": {key: dict(sorted(tasks.items())) for key, tasks in sorted(self._worded.items())},
            "forks": forks,
        }

    @classmethod
    def from_dict(cls, value: JsonObject) -> Assigner:
        """Read what :meth:`to_dict` wrote, in this version or the one before.

        Raises:
            BadInput: It was written by another version of offramp.
        """
        if value.get("schema") not in {1, _SCHEMA}:
            raise BadInput(
                f"the stored assigner has schema {value.get('schema')!r}; this offramp reads 1 to {_SCHEMA}.",
                hint="Run `offramp tasks` to discover the tasks again.",
            )
        rules = [
            Rule(
                item["bucket"],
                Template(tuple(item["anchors"]), open_start=item["open_start"], open_end=item["open_end"]),
                item["task"],
            )
            for item in value["rules"]
        ]
        forks = {
            task: Fork(Side(fork["side"]), {int(h): t for h, t in fork["tasks"].items()}, fork["rest"])
            for task, fork in value.get("forks", {}).items()
        }
        return cls(value["exact"], rules, value["rest"], value["worded"], forks)
