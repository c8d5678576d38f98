"""What an extractive student can say: names, arguments, fixed values; and how a request limits it."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from offramp.core.call import OutputType
from offramp.core.render import constraint_of, payload_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offramp.core.json import JsonObject
    from offramp.engine.specialist import TaskCard

OUTSIDE = 0
"""The tag of a word that no argument is copied from; that of key k is k + 1.

Neighbouring words of one key are one value. Marking where a value begins would also keep apart two that
touch, which is rare, and cuts many in two that are one."""

JOINER = ", "
"""What stands between several copied values of one argument that is a single text."""


class Form(enum.StrEnum):
    """What the copied text of an argument becomes."""

    TEXT = "text"
    NUMBER = "number"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Pair:
    """One argument of one tool, or one key of a flat JSON answer.

    Attributes:
        label: Index of the tool among the schema's labels.
        key: Index of the argument's name among the schema's keys.
        form: What its copied text becomes.
        constants: JSON texts of values that are not copied from the request.
    """

    label: int
    key: int
    form: Form = Form.TEXT
    constants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Schema:
    """What a student can say.

    Attributes:
        output: Form of the answers.
        tasks: Task ids; each has a learned vector of its own.
        labels: Names of tools; whole completions where answers are labels; one empty name for JSON.
        keys: Names of arguments; two tools that name an argument alike share its tags.
        pairs: The arguments that training showed, by tool.
        of_task: By task, the labels that training showed.
    """

    output: OutputType
    tasks: tuple[str, ...]
    labels: tuple[str, ...]
    keys: tuple[str, ...] = ()
    pairs: tuple[Pair, ...] = ()
    of_task: tuple[tuple[int, ...], ...] = ()

    @property
    def tags(self) -> int:
        """Number of tags: outside, and one for each key."""
        return 1 + len(self.keys)

    @property
    def constants(self) -> int:
        """Number of outputs of the head for fixed values; the first of each pair that has any means none."""
        return sum(1 + len(pair.constants) for pair in self.pairs if pair.constants)

    def constant_ranges(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Return which outputs of that head belong to a pair, by (label, key), as start and end."""
        ranges: dict[tuple[int, int], tuple[int, int]] = {}
        start = 0
        for pair in self.pairs:
            if pair.constants:
                end = start + 1 + len(pair.constants)
                ranges[pair.label, pair.key] = (start, end)
                start = end
        return ranges

    def to_dict(self) -> JsonObject:
        """Render as a JSON object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: JsonObject) -> Schema:
        """Read what `to_dict` wrote."""
        pairs = tuple(
            Pair(pair["label"], pair["key"], Form(pair["form"]), tuple(pair["constants"]))
            for pair in value["pairs"]
        )
        return cls(
            OutputType(value["output"]),
            tuple(value["tasks"]),
            tuple(value["labels"]),
            tuple(value["keys"]),
            pairs,
            tuple(tuple(labels) for labels in value["of_task"]),
        )


@dataclass(frozen=True, slots=True)
class Choices:
    """What may be said to one request.

    Attributes:
        payload: The text that values are copied from.
        task: Index of its task.
        keys: By label that may be answered, the keys that it may have, in order.
    """

    payload: str
    task: int
    keys: Mapping[int, tuple[int, ...]]


class Limits:
    """Finds out what a schema allows as an answer to a request.

    Args:
        schema: What the student can say at all.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._labels = {label: index for index, label in enumerate(schema.labels)}
        self._tasks = {task: index for index, task in enumerate(schema.tasks)}
        self._keys: dict[int, dict[str, int]] = {}
        for pair in schema.pairs:
            self._keys.setdefault(pair.label, {})[schema.keys[pair.key]] = pair.key

    def choices(self, task: str, card: TaskCard, request: JsonObject) -> Choices:
        """Return what may be said: what training showed, as far as the request's own tools allow it.

        Args:
            task: Id of the task, one of the schema's.
            card: The task's card.
            request: The chat-completions request.
        """
        index = self._tasks[task]
        payload = payload_of(request)
        if self._schema.output is OutputType.LABEL:
            return Choices(payload, index, dict.fromkeys(self._schema.of_task[index], ()))
        constraint = constraint_of(request, card.output, card.facts)
        shapes = constraint.tools if constraint is not None else ()
        allowed: dict[int, tuple[int, ...]] = {}
        for shape in shapes:
            label = self._labels.get(shape.name)
            if label is not None:
                known = self._keys.get(label, {})
                allowed[label] = tuple(known[name] for name in shape.arguments if name in known)
        return Choices(payload, index, allowed)
