"""What a call site's answers look like, and whether a specialist is worth trying."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from statistics import mean, median
from typing import TYPE_CHECKING

from offramp.core.call import Answer, Call, OutputType, answer_of, decode_json, last_user_text
from offramp.discover.forms import PURE, Shape, is_closed, shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_SESSIONS = 59
"""Below this a task cannot even be a member of a group: no error in 59 bounds its risk at 5 %."""

OWN_SESSIONS = 236
"""59 calibration sessions at the default calibration share of a quarter."""

FREE_WORDS = 12
"""Mean words of a JSON field from which it is prose, not a value."""

_CODE = {
    "SQL": re.compile(
        r"\s*(?:```sql\s*)?(?:SELECT|SHOW|DESC(?:RIBE)?|WITH|INSERT|UPDATE|DELETE|CREATE)\b", re.IGNORECASE
    ),
    "Python": re.compile(r"\s*(?:```python\s*)?(?:def |class |import |from \w+ import |print\()"),
    "shell": re.compile(
        r"\s*(?:```(?:ba)?sh\s*)?(?:find|ls|cat|grep|cd|echo|awk|sed|rm|cp|mv|mkdir|chmod|tar|git|curl)\b"
    ),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to expect of a call site.

    Attributes:
        output: Form of its answers.
        convertible: Whether a specialist is worth trying.
        reason: Why, or why not, as one sentence.
    """

    output: OutputType
    convertible: bool
    reason: str


def usable_answer(call: Call) -> Answer | None:
    """Return the answer of a call, None where it failed or holds none that can be compared."""
    return answer_of(call.response) if call.status == 200 else None


def judge(calls: Sequence[Call], sessions: int) -> Verdict:
    """Decide the form of a call site's answers and whether they can be certified.

    Args:
        calls: All calls of the site.
        sessions: Number of distinct sessions among them.
    """
    pairs = [(call, answer) for call in calls if (answer := usable_answer(call)) is not None]
    if len(pairs) * 2 < len(calls):
        share = 1 - len(pairs) / len(calls)
        return Verdict(
            OutputType.ERROR, convertible=False, reason=f"{share:.0%} of the calls have no usable answer."
        )
    shapes = [shape_of(answer) for _, answer in pairs]
    kinds = Counter(shape.kind.partition(":")[0] for shape in shapes)
    total = len(shapes)
    if kinds["tool"] >= PURE * total:
        return _by_volume(OutputType.TOOL_CALL, sessions, "Answers are single tool calls")
    if kinds["tool"] + kinds["tools"] > (1 - PURE) * total:
        return Verdict(OutputType.TEXT, convertible=False, reason=_mixed(kinds, total))
    if _is_label([call for call, _ in pairs], shapes):
        distinct = len({shape.value for shape in shapes})
        return _by_volume(OutputType.LABEL, sessions, f"Answers are one of {distinct} labels")
    if kinds["json"] >= PURE * total:
        return _judge_json([answer.text for _, answer in pairs], sessions)
    return Verdict(OutputType.TEXT, convertible=False, reason=_free_text(pairs))


def _by_volume(output: OutputType, sessions: int, what: str) -> Verdict:
    if sessions < MIN_SESSIONS:
        reason = f"Too few calls: {sessions} sessions, {MIN_SESSIONS - sessions} more are needed to try."
        return Verdict(output, convertible=False, reason=reason)
    if sessions < OWN_SESSIONS:
        missing = OWN_SESSIONS - sessions
        reason = f"{what}; as a member of a group: {missing} more sessions before a certificate of its own."
        return Verdict(output, convertible=True, reason=reason)
    return Verdict(output, convertible=True, reason=f"{what}, which can be compared exactly.")


def _is_label(calls: Sequence[Call], shapes: Sequence[Shape]) -> bool:
    """Whether answers are one short text, or one JSON field, from a closed set.

    Repeated requests repeat their answers, so each pair of request and answer counts once.
    """
    pairs = {
        (last_user_text(call.request), shape.value if _may_be_label(shape) else "")
        for call, shape in zip(calls, shapes, strict=True)
    }
    return is_closed([value for _, value in pairs])


def _may_be_label(shape: Shape) -> bool:
    return shape.kind == "text" or (shape.kind.startswith("json:") and "," not in shape.kind)


def _judge_json(texts: Sequence[str], sessions: int) -> Verdict:
    objects = [decoded for text in texts if isinstance(decoded := decode_json(text), dict)]
    values: dict[str, list[object]] = {}
    for item in objects:
        for key, value in item.items():
            values.setdefault(key, []).append(value)
    if any(isinstance(value, dict | list) for listed in values.values() for value in listed):
        reason = "Answers are nested JSON, which no specialist generates yet."
        return Verdict(OutputType.JSON, convertible=False, reason=reason)
    for key, listed in values.items():
        words = [len(value.split()) for value in listed if isinstance(value, str)]
        if words and mean(words) > FREE_WORDS:
            reason = f"JSON field {key!r} is free text: agreement cannot be measured without a judge."
            return Verdict(OutputType.JSON, convertible=False, reason=reason)
    return _by_volume(OutputType.JSON, sessions, "Answers are flat JSON objects")


def _mixed(kinds: Counter[str], total: int) -> str:
    single, several = kinds["tool"] / total, kinds["tools"] / total
    rest = 1 - single - several
    parts = [(single, "one tool call"), (several, "tool calls with text or several at once"), (rest, "text")]
    shown = ", ".join(f"{share:.0%} {what}" for share, what in parts if share)
    return f"Mixed actions ({shown}): a specialist gives one form of answer."


def _free_text(pairs: Sequence[tuple[Call, Answer]]) -> str:
    texts = [answer.text for _, answer in pairs]
    judge_needed = "agreement cannot be measured without a judge."
    for language, pattern in _CODE.items():
        if sum(1 for text in texts if pattern.match(text)) * 2 > len(texts):
            return f"Free text ({language} code): {judge_needed}"
    fenced = sum(1 for text in texts if text.lstrip().startswith("```json"))
    if fenced * 2 > len(texts):
        return f"JSON inside a code fence, with free text around or in it: {judge_needed}"
    turns = median(
        sum(1 for m in call.request.get("messages") or [] if m.get("role") == "user") for call, _ in pairs
    )
    if turns > 1:
        return f"Free text in a dialogue (median {turns:.0f} user turns): {judge_needed}"
    words = median(len(text.split()) for text in texts)
    return f"Free text (median {words:.0f} words): {judge_needed}"
