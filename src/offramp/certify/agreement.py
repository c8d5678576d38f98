"""Whether two answers are the same answer, per form of output or by a judge, and where they differ."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from offramp.certify import normal
from offramp.certify.defaults import defaults_of
from offramp.core.call import Answer, OutputType, ToolCall, decode_json
from offramp.core.errors import BadInput
from offramp.core.json import canonical
from offramp.core.measure import Measure, default_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from offramp.core.json import JsonObject


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where an answer is not the teacher's.

    Attributes:
        path: Where: ``/city/name`` in JSON, ``/set_alarm/time`` in tool calls; "" is the whole answer. Items
            of a list are ``*``. It holds names of fields and tools, never values.
        kind: ``"missing"`` (the teacher has it), ``"extra"`` (only we have it), ``"type"`` or ``"value"``.
    """

    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one request.

    Attributes:
        request: The request.
        ours: The specialist's answer.
        teacher: The teacher's.
    """

    request: JsonObject
    ours: Answer
    teacher: Answer


class Judge(Protocol):
    """Decides whether two answers to a request are the same."""

    @property
    def name(self) -> str:
        """What it is, for the certificate: model, version and prompt."""
        ...

    def same(self, pairs: Sequence[Pair], /) -> list[bool]:
        """Return for each pair whether its answers are the same; False where it cannot tell.

        Raises:
            OfframpError: It could be asked about none of them.
        """
        ...


def agreeing(
    output: OutputType, pairs: Sequence[Pair], *, measure: Measure | None = None, judge: Judge | None = None
) -> list[bool]:
    """Decide for many pairs whether our answer is the teacher's.

    Args:
        output: Form of the task's answers.
        pairs: The answers.
        measure: In which sense; the form's own where not given.
        judge: Who decides where the measure is a judge.

    Raises:
        BadInput: A judge is to decide, and none is given.
        OfframpError: The judge could not be asked.
    """
    if measure is not Measure.JUDGE:
        return [agree(output, pair.ours, pair.teacher, pair.request, measure=measure) for pair in pairs]
    if judge is None:
        raise BadInput(
            "Answers are to be compared by a judge, and none is set up.",
            hint="Set [judge] model, and measure it: offramp judge check.",
        )
    return judge.same(pairs)


def agree(
    output: OutputType,
    ours: Answer,
    teacher: Answer,
    request: JsonObject | None = None,
    *,
    measure: Measure | None = None,
) -> bool:
    """Decide whether our answer is the teacher's, see ``same``.

    Args:
        output: Form of the task's answers.
        ours: The specialist's answer.
        teacher: The teacher's answer.
        request: The request.
        measure: In which sense, but for a judge's (see ``agreeing``); the form's own where not given.

    Returns:
        True where they agree; always False where the form has no measure and none is given.
    """
    measure = measure or default_of(output)
    return measure is not None and same(measure, ours, teacher, request)


def same(measure: Measure, ours: Answer, teacher: Answer, request: JsonObject | None = None) -> bool:
    """Decide whether two answers are the same in a sense.

    Labels are when their normalised text is (case, white space, enclosing quotes, a full stop at the end),
    or when both are JSON objects with the same single field whose labels are. JSON is as a value: key
    order, white space and ``1`` against ``1.0`` do not matter. Tool calls are when the same calls are made
    with arguments equal as JSON; text beside them does not matter. They stand side by side in one answer, so
    their order does not matter either, unless the measure says so. The loose measure takes strings up to
    case, white space and punctuation, and an optional argument that is left out for its default. Text is
    the same up to case, white space and punctuation. Where in doubt the answer is False, which costs
    coverage and never breaks a promise.

    Args:
        measure: The sense.
        ours: The specialist's answer.
        teacher: The teacher's answer.
        request: The request; the loose measure reads its tools' defaults.
    """
    try:
        return _key(measure, ours, request) == _key(measure, teacher, request)
    except (ValueError, RecursionError):  # one of them is no usable answer of this form
        return False


def differences(
    output: OutputType,
    ours: Answer,
    teacher: Answer,
    request: JsonObject | None = None,
    *,
    measure: Measure | None = None,
) -> tuple[Difference, ...]:
    """Tell where an answer is not the teacher's, field by field; empty where they agree, see ``agree``.

    Tool calls of the same name are compared in turn. Whatever is no usable answer of the form, and labels
    and text, differ as a whole, and so do calls that differ in their order alone.
    """
    if agree(output, ours, teacher, request, measure=measure):
        return ()
    loose = measure is Measure.TOOLS_LOOSE
    try:
        if output is OutputType.JSON and not (ours.tool_calls or teacher.tool_calls):
            found = _fields(normal.whole(json.loads(ours.text)), normal.whole(json.loads(teacher.text)), "")
        elif output is OutputType.TOOL_CALL and ours.tool_calls and teacher.tool_calls:
            found = _tools(*(_arguments(calls.tool_calls, request, loose=loose) for calls in (ours, teacher)))
        else:
            found = []
    except (ValueError, RecursionError):
        found = []
    return tuple(dict.fromkeys(found)) or (Difference("", "value"),)


def _key(measure: Measure, answer: Answer, request: JsonObject | None) -> tuple[list[str], str]:
    """Equal for equal answers.

    Raises:
        ValueError: The answer has not this form.
    """
    if measure is Measure.JUDGE:
        raise ValueError("only a judge can tell")
    loose = measure is Measure.TOOLS_LOOSE
    defaults = defaults_of(request) if loose and request is not None else {}
    calls = [_loose(call, defaults) if loose else _strict(call) for call in answer.tool_calls]
    calls = calls if measure is Measure.TOOLS_IN_ORDER else sorted(calls)
    if measure in {Measure.TOOLS, Measure.TOOLS_IN_ORDER, Measure.TOOLS_LOOSE}:
        if not calls:
            raise ValueError("no tool call")
        return calls, ""
    if measure is Measure.LABEL:
        return calls, _label_key(answer.text)
    if measure is Measure.JSON:
        return calls, canonical(normal.whole(json.loads(answer.text)))
    text = normal.loose(answer.text)
    if not text:
        raise ValueError("no text")
    return calls, text


def _strict(call: ToolCall) -> str:
    return canonical(normal.whole([call.name, call.arguments]))


def _loose(call: ToolCall, defaults: dict[str, JsonObject]) -> str:
    return canonical([call.name, _given(call, defaults)])


def _given(call: ToolCall, defaults: dict[str, JsonObject]) -> JsonObject:
    """The arguments of a call in loose form, with the defaults of those that were left out."""
    given: JsonObject = normal.loose_values({**defaults.get(call.name, {}), **call.arguments})
    return given


def _label_key(text: str) -> str:
    value = decode_json(text)
    if isinstance(value, dict) and len(value) == 1:
        return canonical(
            {
                name: normal.label(held) if isinstance(held, str) else normal.whole(held)
                for name, held in value.items()
            }
        )
    if isinstance(value, dict):
        return canonical(normal.whole(value))
    label = normal.label(text)
    if not label:
        raise ValueError("no label")
    return label


def _arguments(
    calls: Iterable[ToolCall], request: JsonObject | None, *, loose: bool
) -> list[tuple[str, JsonObject]]:
    defaults = defaults_of(request) if loose and request is not None else {}
    return [(call.name, _given(call, defaults) if loose else normal.whole(call.arguments)) for call in calls]


def _tools(
    ours: Sequence[tuple[str, JsonObject]], teacher: Sequence[tuple[str, JsonObject]]
) -> list[Difference]:
    """Compare calls of the same name in turn, and say which have no counterpart."""
    found = []
    for name in dict.fromkeys(name for name, _ in (*teacher, *ours)):
        mine, theirs = ([given for own, given in calls if own == name] for calls in (ours, teacher))
        found += [Difference(f"/{name}", "missing")] * (len(theirs) - len(mine))
        found += [Difference(f"/{name}", "extra")] * (len(mine) - len(theirs))
        for here, there in zip(mine, theirs, strict=False):
            found += _fields(here, there, f"/{name}")
    return found


def _fields(ours: Any, teacher: Any, path: str) -> list[Difference]:
    if canonical(ours) == canonical(teacher):
        return []
    if isinstance(ours, dict) and isinstance(teacher, dict):
        found = []
        for name in sorted({*ours, *teacher}):
            inside = f"{path}/{name}"
            if name not in ours:
                found.append(Difference(inside, "missing"))
            elif name not in teacher:
                found.append(Difference(inside, "extra"))
            else:
                found += _fields(ours[name], teacher[name], inside)
        return found
    if isinstance(ours, list) and isinstance(teacher, list):
        found = [one for pair in zip(ours, teacher, strict=False) for one in _fields(*pair, f"{path}/*")]
        found += [Difference(f"{path}/*", "missing")] * (len(teacher) > len(ours))
        return found + [Difference(f"{path}/*", "extra")] * (len(ours) > len(teacher))
    alike = _kind(ours) == _kind(teacher)
    return [Difference(path, "value" if alike else "type")]


def _kind(value: Any) -> str:
    """Name a JSON type; all numbers are of one."""
    if isinstance(value, bool) or value is None:
        return str(type(value))
    return "number" if isinstance(value, int | float) else type(value).__name__
