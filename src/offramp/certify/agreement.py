"""Whether two answers are the same answer, per form of output."""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any, Final

from offramp.core.call import Answer, OutputType, decode_json
from offramp.core.json import canonical

_MEASURABLE: Final = frozenset({OutputType.LABEL, OutputType.JSON, OutputType.TOOL_CALL})
_AROUND: Final = "\"'` .!"


def measurable(output: OutputType) -> bool:
    """Tell whether agreement on this form of output can be decided without a judge.

    Free text and errors cannot: nothing about them is certified.
    """
    return output in _MEASURABLE


def agree(output: OutputType, ours: Answer, teacher: Answer) -> bool:
    """Decide whether our answer is the teacher's answer.

    Labels agree when their normalised text does (case, white space, enclosing quotes, a full stop at the
    end), or when both are JSON objects with the same single field whose labels do. JSON agrees as a
    value: key order, white space and ``1`` against ``1.0`` do not matter. Tool calls agree when the same
    calls are made, in any order, with arguments equal as JSON; text beside them does not matter. Where
    in doubt the answer is False, which costs coverage and never breaks a promise.

    Args:
        output: Form of the task's answers.
        ours: The specialist's answer.
        teacher: The teacher's answer.

    Returns:
        True where they agree; always False where the form is not measurable.
    """
    if output not in _MEASURABLE:
        return False
    try:
        return _key(output, ours) == _key(output, teacher)
    except (ValueError, RecursionError):  # one of them is no usable answer of this form
        return False


def _key(output: OutputType, answer: Answer) -> tuple[list[str], str]:
    """Equal for equal answers.

    Raises:
        ValueError: The answer has not this form.
    """
    calls = sorted(canonical(_whole([call.name, call.arguments])) for call in answer.tool_calls)
    if output is OutputType.TOOL_CALL:
        if not calls:
            raise ValueError("no tool call")
        return calls, ""
    text = (
        _label_key(answer.text) if output is OutputType.LABEL else canonical(_whole(json.loads(answer.text)))
    )
    return calls, text


def _label_key(text: str) -> str:
    value = decode_json(text)
    if isinstance(value, dict) and len(value) == 1:
        return canonical(
            {name: _label(held) if isinstance(held, str) else _whole(held) for name, held in value.items()}
        )
    if isinstance(value, dict):
        return canonical(_whole(value))
    label = _label(text)
    if not label:
        raise ValueError("no label")
    return label


def _label(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(_AROUND)


def _whole(value: Any) -> Any:
    """Make whole floats integers, all the way down.

    Raises:
        ValueError: A number is not finite, which JSON cannot hold.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a number is not finite")
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value
