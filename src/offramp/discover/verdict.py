"""What a call site's answers look like, and whether a specialist is worth trying."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from statistics import mean, median
from typing import TYPE_CHECKING

from offramp.core.call import OutputType
from offramp.core.measure import FITTING, Measure, default_of
from offramp.discover.forms import PURE, Shape, is_closed
from offramp.discover.sighting import NESTED, Facts, Sighting, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from offramp.core.call import Call

    Chosen = Callable[[OutputType], Measure | None]

MIN_SESSIONS = 59
"""Below this a task cannot even be a member of a group: no error in 59 bounds its risk at 5 %."""

OWN_SESSIONS = 236
"""59 calibration sessions at the default calibration share of a quarter."""

FREE_WORDS = 12
"""Mean words of a JSON field from which it is prose, not a value."""

CHAT_SHARE = 0.5
"""Share of a call site's calls that must look like a person's turn before it is taken for a chat."""

ECHOES = 0.1
"""Share of user messages that another recorded call wrote from which the user is a program."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to expect of a call site.

    Attributes:
        output: Form of its answers.
        convertible: Whether a specialist is worth trying.
        reason: Why, or why not, as one sentence.
        chat: Whether people read the answers: such traffic is left out.
        measure: In which sense answers are compared, None where they cannot be.
    """

    output: OutputType
    convertible: bool
    reason: str
    chat: bool = False
    measure: Measure | None = None


@dataclass(frozen=True, slots=True)
class _Answered:
    seen: Sighting
    facts: Facts


def judge(calls: Sequence[Call], sessions: int, chosen: Chosen = default_of) -> Verdict:
    """Decide the form of a call site's answers and whether they can be certified.

    Args:
        calls: All calls of the site.
        sessions: Number of distinct sessions among them.
        chosen: Tells in which sense its answers are compared, by their form.
    """
    watch = Watch()
    return judge_seen([watch.see(call) for call in calls], sessions, chosen=chosen)


def judge_seen(
    seen: Sequence[Sighting], sessions: int, spoken: Container[int] = (), *, chosen: Chosen = default_of
) -> Verdict:
    """Decide the same of calls that were seen already.

    Args:
        seen: All calls of the site.
        sessions: Number of distinct sessions among them.
        spoken: Hashes of what any recorded call answered, to tell a simulated user from a person.
        chosen: Tells in which sense its answers are compared, by their form.
    """
    verdict = _of_form(seen, sessions, spoken, chosen)
    measure = chosen(verdict.output)
    fitting = FITTING[verdict.output]
    if measure is None and verdict.convertible:
        reason = (
            f"Its answers are to be judged, and no judge with a measured error is there. {verdict.reason}"
        )
        return replace(verdict, convertible=False, reason=reason)
    if measure is None or measure in fitting:
        return replace(verdict, measure=measure)
    reason = (
        f"The settings compare its answers as {measure.value!r}, which does not fit {verdict.output.value} "
        f"answers (fitting: {', '.join(fitting) or 'none'}). {verdict.reason}"
    )
    return replace(verdict, convertible=False, reason=reason)


def _of_form(seen: Sequence[Sighting], sessions: int, spoken: Container[int], chosen: Chosen) -> Verdict:
    pairs = [_Answered(s, s.facts) for s in seen if s.facts is not None]
    if len(pairs) * 2 < len(seen):
        share = 1 - len(pairs) / len(seen)
        reason = f"{share:.0%} of the calls have no usable answer."
        return Verdict(OutputType.ERROR, convertible=False, reason=reason)
    found = _judge_answers(pairs, sessions, chosen)
    if found.output is OutputType.TEXT and _is_chat(seen, spoken):
        turns = median(s.turns for s in seen)
        reason = f"Chat with people (median {turns:.0f} user turns): left out. {found.reason}"
        return Verdict(found.output, convertible=False, reason=reason, chat=True)
    return found


def _judge_answers(pairs: Sequence[_Answered], sessions: int, chosen: Chosen) -> Verdict:
    shapes = [pair.facts.shape for pair in pairs]
    kinds = Counter(shape.kind.partition(":")[0] for shape in shapes)
    total = len(shapes)
    if kinds["tool"] >= PURE * total:
        return _by_volume(OutputType.TOOL_CALL, sessions, "Answers are single tool calls")
    if kinds["tool"] + kinds["tools"] > (1 - PURE) * total:
        return Verdict(OutputType.TEXT, convertible=False, reason=_mixed(kinds, total))
    if _is_label(pairs):
        distinct = len({shape.value for shape in shapes})
        return _by_volume(OutputType.LABEL, sessions, f"Answers are one of {distinct} labels")
    if kinds["json"] >= PURE * total:
        return _judge_json(pairs, sessions, chosen(OutputType.JSON))
    if measure := chosen(OutputType.TEXT):
        return _by_volume(OutputType.TEXT, sessions, f"Free text{_length(pairs)}", measure)
    return Verdict(OutputType.TEXT, convertible=False, reason=_free_text(pairs))


def _is_chat(seen: Sequence[Sighting], spoken: Container[int]) -> bool:
    """Whether a person writes the user's messages: a dialogue whose turns no recorded call wrote."""
    turns = [s for s in seen if s.asked_by_user]
    if len(turns) < CHAT_SHARE * len(seen) or median(s.turns for s in seen) <= 1:
        return False
    later = [s for s in turns if s.turns > 1]
    echoed = sum(1 for s in later if s.heard in spoken)
    # A program repeats its messages; people hardly do.
    distinct = len({s.payload for s in later}) * 2 > len(later)
    return distinct and echoed <= ECHOES * len(later)


def _by_volume(output: OutputType, sessions: int, what: str, measure: Measure | None = None) -> Verdict:
    if sessions < MIN_SESSIONS:
        reason = f"Too few calls: {sessions} sessions, {MIN_SESSIONS - sessions} more are needed to try."
        return Verdict(output, convertible=False, reason=reason)
    if sessions < OWN_SESSIONS:
        missing = OWN_SESSIONS - sessions
        reason = f"{what}; as a member of a group: {missing} more sessions before a certificate of its own."
        return Verdict(output, convertible=True, reason=reason)
    how = {Measure.TEXT: "as normalised text", Measure.JUDGE: "by a judge", None: "exactly"}
    return Verdict(
        output, convertible=True, reason=f"{what}, which can be compared {how.get(measure, 'exactly')}."
    )


def _is_label(pairs: Sequence[_Answered]) -> bool:
    """Whether answers are one short text, or one JSON field, from a closed set.

    Repeated requests repeat their answers, so each pair of request and answer counts once.
    """
    distinct = {
        (pair.seen.heard, pair.facts.shape.value if _may_be_label(pair.facts.shape) else "") for pair in pairs
    }
    return is_closed([value for _, value in distinct])


def _may_be_label(shape: Shape) -> bool:
    return shape.kind == "text" or (shape.kind.startswith("json:") and "," not in shape.kind)


def _judge_json(pairs: Sequence[_Answered], sessions: int, measure: Measure | None) -> Verdict:
    words: dict[str, list[int]] = {}
    for pair in pairs:
        for key, count in pair.facts.fields:
            words.setdefault(key, []).append(count)
    if any(NESTED in counts for counts in words.values()):
        reason = "Answers are nested JSON, which no specialist generates yet."
        return Verdict(OutputType.JSON, convertible=False, reason=reason)
    for key, counts in words.items():
        texts = [count for count in counts if count >= 0]
        if texts and mean(texts) > FREE_WORDS and measure is not Measure.JUDGE:
            reason = f"JSON field {key!r} is free text: agreement cannot be measured without a judge."
            return Verdict(OutputType.JSON, convertible=False, reason=reason)
    return _by_volume(OutputType.JSON, sessions, "Answers are flat JSON objects", measure)


def _mixed(kinds: Counter[str], total: int) -> str:
    single, several = kinds["tool"] / total, kinds["tools"] / total
    rest = 1 - single - several
    parts = [(single, "one tool call"), (several, "tool calls with text or several at once"), (rest, "text")]
    shown = ", ".join(f"{share:.0%} {what}" for share, what in parts if share)
    return f"Mixed actions ({shown}): a specialist gives one form of answer."


def _free_text(pairs: Sequence[_Answered]) -> str:
    judge_needed = "agreement cannot be measured without a judge."
    languages = Counter(pair.facts.code for pair in pairs if pair.facts.code)
    for language, count in languages.most_common(1):
        if count * 2 > len(pairs):
            return f"Free text ({language} code): {judge_needed}"
    if sum(1 for pair in pairs if pair.facts.fenced) * 2 > len(pairs):
        return f"JSON inside a code fence, with free text around or in it: {judge_needed}"
    turns = median(pair.seen.turns for pair in pairs)
    if turns > 1:
        return f"Free text in a dialogue (median {turns:.0f} user turns): {judge_needed}"
    return f"Free text{_length(pairs)}: {judge_needed}"


def _length(pairs: Sequence[_Answered]) -> str:
    return f" (median {median(pair.facts.words for pair in pairs):.0f} words)"
