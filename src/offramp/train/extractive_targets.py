"""What an extractive student is to learn: where in a request the teacher's arguments stand."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from offramp.core.askers import MIN_ORIGINS, shared
from offramp.core.call import OutputType, decode_json
from offramp.core.render import payload_of
from offramp.engine.extractive_schema import JOINER, Form, Pair, Schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Set

    from offramp.core.dataset import Item
    from offramp.engine.extractive_model import Tokens

LEAST_SEEN = 2
"""A value that is not copied must have been seen this often to become a fixed value; and by enough askers."""

MOST_CONSTANTS = 64
"""Fixed values of one argument at most, the most frequent ones."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Said:
    """An answer taken apart.

    Attributes:
        label: The tool's name, the label, or "" for a JSON object.
        arguments: Argument values by name.
    """

    label: str
    arguments: Mapping[str, Any]


class Saying(NamedTuple):
    """A part of an answer that a student could say without reading it in the request.

    Attributes:
        label: The label, or the tool that the rest belongs to.
        key: The argument; "" where it is the label alone.
        value: JSON text of its value; "" where it is the key alone.
    """

    label: str
    key: str = ""
    value: str = ""


def said(output: OutputType, completion: str) -> Said:
    """Take a training completion apart; the inverse of ``render_completion``."""
    if output is OutputType.LABEL:
        return Said(completion, {})
    name, _, rest = ("", "", completion) if output is OutputType.JSON else completion.partition(" ")
    arguments = decode_json(rest)
    return Said(name, arguments if isinstance(arguments, dict) else {})


def places(payload: str, value: Any) -> tuple[Span, ...] | None:
    """Find where a value was copied from.

    A text is looked for as a whole, then as several texts with commas between them; a list element by
    element. Each place is the first one, as whole words, that is still free.

    Returns:
        Start and end of each part in the payload, in characters; None where a part is not there.
    """
    if isinstance(value, bool) or value is None or value in ("", []):
        return None
    if isinstance(value, int | float):
        return _found(payload, [json.dumps(value)])
    if isinstance(value, str):
        return _found(payload, [value]) or (_found(payload, value.split(JOINER)) if JOINER in value else None)
    if isinstance(value, list) and all(isinstance(part, str) and part for part in value):
        return _found(payload, value)
    return None


def schema_of(items: Sequence[Item], output: OutputType, min_origins: int = MIN_ORIGINS) -> Schema:
    """Collect what the answers of some training calls say.

    Names of tools and of their arguments are taken as they are: a student says those that the request itself
    offers. Whatever else it could say to one asker, enough others were told before.

    Args:
        items: Training calls of one or several tasks.
        output: Form of their answers.
        min_origins: Distinct askers of a task whose calls must hold a label, a fixed value, or a key of a
            JSON answer.
    """
    tasks = tuple(sorted({item.task for item in items}))
    answers = [said(output, item.example.completion) for item in items]
    offered = output is OutputType.TOOL_CALL
    kept = shared(items, map(_sayings, answers), min_origins)
    common = {saying for _, saying in kept}
    labels = tuple(label for label in _recurring(answers, output) if offered or Saying(label) in common)
    index = {label: number for number, label in enumerate(labels)}
    keys = tuple(
        dict.fromkeys(k for a in answers for k in a.arguments if offered or Saying(a.label, k) in common)
    )
    number = {key: place for place, key in enumerate(keys)}
    values: dict[tuple[int, int], list[tuple[Any, bool]]] = defaultdict(list)
    seen: dict[str, set[int]] = {task: set() for task in tasks}
    for item, answer in zip(items, answers, strict=True):
        if answer.label not in index:
            continue
        if offered or (item.task, Saying(answer.label)) in kept:
            seen[item.task].add(index[answer.label])
        payload = payload_of(item.call.request)
        for key in number.keys() & answer.arguments.keys():
            value = answer.arguments[key]
            copied = places(payload, value) is not None
            values[index[answer.label], number[key]].append((value, copied))
    pairs = tuple(
        _pair(label, key, shown, {s.value for s in common if (s.label, s.key) == (labels[label], keys[key])})
        for (label, key), shown in sorted(values.items())
    )
    return Schema(output, tasks, labels, keys, pairs, tuple(tuple(sorted(seen[task])) for task in tasks))


@dataclass(frozen=True, slots=True)
class Target:
    """What a student should say to one request.

    Attributes:
        label: Index of the label.
        tags: The tag of each word; None where an argument could not be traced, so that nothing is learned
            about arguments.
        constants: By key, the index of its fixed value, from 1; keys that are copied or absent are left out.
    """

    label: int
    tags: tuple[int, ...] | None
    constants: Mapping[int, int]


class Tracer:
    """Turns answers into targets.

    Args:
        schema: What there is to say.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._labels = {label: index for index, label in enumerate(schema.labels)}
        self._keys = {key: index for index, key in enumerate(schema.keys)}
        self._constants = {(pair.label, pair.key): pair.constants for pair in schema.pairs}

    def target(self, completion: str, payload: str, tokens: Tokens) -> Target | None:
        """Return the target of one call; None where its label is not one of the schema's."""
        answer = said(self._schema.output, completion)
        label = self._labels.get(answer.label)
        if label is None:
            return None
        tags: list[int] | None = [0] * sum(tokens.opens)
        constants: dict[int, int] = {}
        for name, value in answer.arguments.items():
            key = self._keys.get(name)
            fixed = self._constants.get((label, key), ()) if key is not None else ()
            text = _text(value)
            if key is not None and text in fixed:
                constants[key] = fixed.index(text) + 1
            elif key is None or tags is None or not _tagged(tags, key, places(payload, value), tokens):
                tags = None
        return Target(label, None if tags is None else tuple(tags), constants)


def _tagged(tags: list[int], key: int, spans: Iterable[Span] | None, tokens: Tokens) -> bool:
    """Write an argument's tags; False where its text is not whole words, is taken, or touches another."""
    words = [span for span, opens in zip(tokens.spans, tokens.opens, strict=True) if opens]
    for start, end in spans or ():
        inside = [place for place, (a, _) in enumerate(words) if start <= a < end]
        around = tags[max(0, min(inside, default=0) - 1) : max(inside, default=0) + 2]
        if not inside or words[inside[0]][0] != start or key + 1 in around or any(tags[at] for at in inside):
            return False
        for place in inside:
            tags[place] = key + 1
    return spans is not None


def _recurring(answers: Sequence[Said], output: OutputType) -> list[str]:
    counts = Counter(answer.label for answer in answers)
    # A label that was seen once is more often a mistake than a class.
    least = LEAST_SEEN if output is OutputType.LABEL and counts.most_common(1)[0][1] >= LEAST_SEEN else 1
    return sorted(label for label, times in counts.items() if times >= least)


def _sayings(answer: Said) -> list[Saying]:
    parts = [Saying(answer.label)]
    for key, value in answer.arguments.items():
        parts += [Saying(answer.label, key), Saying(answer.label, key, _text(value))]
    return parts


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _pair(label: int, key: int, shown: Sequence[tuple[Any, bool]], common: Set[str]) -> Pair:
    copied = [value for value, there in shown if there]
    # An argument that is mostly not copied is a choice between fixed values, even where a value's word
    # happens to stand in the request.
    fixed = [value for value, there in shown if not there or 2 * len(copied) < len(shown)]
    counts = Counter(text for value in fixed if (text := _text(value)) in common)
    constants = [text for text, times in counts.most_common(MOST_CONSTANTS) if times >= LEAST_SEEN]
    forms = Counter(_form(value) for value in copied)
    form = forms.most_common(1)[0][0] if forms else Form.TEXT
    return Pair(label, key, form, tuple(constants))


def _form(value: Any) -> Form:
    if isinstance(value, list):
        return Form.LIST
    return Form.TEXT if isinstance(value, str) else Form.NUMBER


def _found(payload: str, parts: Sequence[str]) -> tuple[Span, ...] | None:
    taken: list[Span] = []
    for part in parts:
        span = next(
            (s for s in _occurrences(payload, part) if all(_apart(s, other) for other in taken)), None
        )
        if span is None:
            return None
        taken.append(span)
    return tuple(taken)


def _occurrences(payload: str, part: str) -> Iterable[Span]:
    start = payload.find(part) if part else -1
    while start >= 0:
        end = start + len(part)
        before, after = payload[:start][-1:], payload[end : end + 1]
        if not (before.isalnum() and part[0].isalnum()) and not (after.isalnum() and part[-1].isalnum()):
            yield start, end
        start = payload.find(part, start + 1)


def _apart(first: Span, second: Span) -> bool:
    return first[1] <= second[0] or second[1] <= first[0]
