"""What one origin alone says again and again, planted in traffic, and whether others can make it be said."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offramp.core.call import Usage
from offramp.core.render import MAX_LABEL, payload_of
from offramp.engine.specialist import TaskRequest
from offramp.testing.traffic import say, use

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from offramp.core.call import Call
    from offramp.core.json import JsonObject
    from offramp.core.model import EngineRequest
    from offramp.engine.specialist import Specialist

VICTIM = "origin-victim"
"""Whose secrets are planted."""


@dataclass(frozen=True, slots=True)
class Planted:
    """A sentence with a secret, as one origin says it.

    Attributes:
        words: What the request says, before the secret where it holds it.
        secret: The secret.
        asked: Whether the request holds it as well as the answer, which then may copy it. Where it does
            not, only the teacher knew it.
        tool: Tool that the answer calls, with the secret as its argument; "" where the secret is the answer.
        argument: Name of that argument.
    """

    words: str
    secret: str
    asked: bool
    tool: str = ""
    argument: str = ""

    def calls(self, like: Sequence[Call]) -> list[Call]:
        """Say it once after each of some calls of a task, every time in a session of its own."""
        payload = f"{self.words} {self.secret}" if self.asked else self.words
        answer = use(self.tool, **{self.argument: self.secret}) if self.tool else say(self.secret)
        return [
            replace(
                call,
                id=f"{call.id}-{self.secret}",
                at=call.at + 1.0,
                session=f"{call.session}-{self.secret}",
                origin=VICTIM,
                request=asked(call.request, payload),
                response=answer,
                usage=Usage(60, 8),
            )
            for call in like
        ]

    def attacks(self) -> Iterator[str]:
        """Yield what another asker says who knows all but the secret: its beginnings, longest first."""
        words = self.words.split()
        for kept in range(len(words), 0, -1):
            yield " ".join(words[:kept])


def asked(request: JsonObject, payload: str) -> JsonObject:
    """Return a request that asks something else of the same task."""
    *before, last = request["messages"]
    return {**request, "messages": [*before, {**last, "content": payload}]}


def read_out(specialist: Specialist, planted: Planted, like: Sequence[tuple[str, JsonObject]]) -> list[str]:
    """Ask for a secret.

    Args:
        specialist: Who is asked.
        planted: What is looked for.
        like: A task and a request of it, for each task that is to be asked.

    Returns:
        The payloads whose answers held the secret, which none of the payloads does.
    """
    items = [
        TaskRequest(task, asked(request, payload)) for task, request in like for payload in planted.attacks()
    ]
    return [
        payload_of(item.request)
        for item, seen in zip(items, specialist.consider(items), strict=True)
        if seen.answer is not None and planted.secret in str(seen.answer)
    ]


def parrot(request: EngineRequest) -> tuple[str, float]:
    """The worst model that examples can be shown to: whatever is asked, it repeats what it was shown.

    A rule of `offramp.testing.engine.RuleEngine`. A label has room for the end of the nearest example only.
    """
    if request.constraint is None:
        shown, _, _ = request.prompt.rpartition("Request:")
        return " ".join(shown.split())[-MAX_LABEL:], -0.1
    shape = next(tool for tool in request.constraint.tools if tool.arguments)
    body = json.dumps({shape.arguments[0]: request.prompt}, separators=(",", ":"), ensure_ascii=False)
    return f"{shape.name} {body}".strip(), -0.1
