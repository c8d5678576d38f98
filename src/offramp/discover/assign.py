"""Which task a request belongs to, decided from the request alone and before it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.discover.signature import SignatureReader, wording_of
from offramp.discover.templates import Template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from offramp.core.json import JsonObject

_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """One template of a bucket and the task it leads to."""

    bucket: str
    template: Template
    task: str


class Assigner:
    """Maps requests to task ids.

    Known signatures first, then the templates of the request's bucket (the one with most fixed words
    that matches), then the task that takes all of a bucket. The answer is a function of the request and
    of what the assigner was made from; the reader inside only remembers what it computed. Safe to share
    between threads.

    Args:
        exact: Task id by signature key.
        rules: Templates; of two that match, the one with more fixed words wins.
        rest: Task id by bucket, for calls without a prompt that only their tools identify.
        worded: Task id by hash of the prompt, by signature key, where values tell call sites apart.
    """

    def __init__(
        self,
        exact: Mapping[str, str],
        rules: Sequence[Rule],
        rest: Mapping[str, str],
        worded: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._exact = dict(exact)
        self._worded = {key: dict(tasks) for key, tasks in worded.items()}
        self._rest = dict(rest)
        self._rules: dict[str, list[Rule]] = {}
        for rule in sorted(rules, key=lambda r: (-r.template.words, r.template.anchors, r.task)):
            self._rules.setdefault(rule.bucket, []).append(rule)
        self._reader = SignatureReader()

    def assign(self, request: JsonObject) -> str | None:
        """Return the task id of a chat-completions request, None for an unknown call site."""
        signature = self._reader.read(request)
        key = signature.key
        if key in self._worded:
            return self._worded[key].get(wording_of(request))
        found = self._exact.get(key)
        if found is not None:
            return found
        bucket = signature.bucket
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
        return {
            "schema": _SCHEMA,
            "exact": dict(sorted(self._exact.items())),
            "rules": rules,
            "rest": dict(sorted(self._rest.items())),
            "worded": {key: dict(sorted(tasks.items())) for key, tasks in sorted(self._worded.items())},
        }

    @classmethod
    def from_dict(cls, value: JsonObject) -> Assigner:
        """Read what :meth:`to_dict` wrote.

        Raises:
            BadInput: It was written by another version of offramp.
        """
        if value.get("schema") != _SCHEMA:
            raise BadInput(
                f"the stored assigner has schema {value.get('schema')!r}; this offramp reads {_SCHEMA}.",
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
        return cls(value["exact"], rules, value["rest"], value["worded"])
