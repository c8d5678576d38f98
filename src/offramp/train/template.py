"""Learns templates: patterns over requests, and answers with slots, from examples (no model, no gradient).

In the spirit of programming by example (Gulwani, 2011): each example proposes patterns that would explain it,
patterns that many examples propose are tried on all examples of their task, and those that are nearly always
right form a decision list (Rivest, 1987), best first.

An example proposes, for the values of its answer that stand in the request:

- the whole request, with a gap for each value;
- the values with up to three words around them, anything before and after.

An answer without such a value is proposed for the whole request, and for runs of one to three words of it.
Digits stand for any digits, white space for any white space.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import re2

from offramp.core.call import decode_json
from offramp.core.errors import EngineError
from offramp.engine.template_specialist import Pattern, Rule, Slot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LEAST_SUPPORT = 3
"""Examples, of as many sessions, that have to propose a pattern before it is tried."""

LEAST_SCORE = 0.75
"""`Rule.score` below which a rule is not kept."""

MOST_RULES = 400
"""Rules per task at most: each is searched for in every request."""

MOST_TRIED = 4000
"""Patterns per task that are tried on all examples at most, the best supported first."""

MOST_SEARCHES = 4_000_000
"""Searches per task for trying patterns at most, a few microseconds each."""

LONGEST = 2000
"""Characters of a request that a whole-request pattern is proposed for at most."""

_AROUND = ((1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (2, 2))
_MARK = "\ue000{}\ue001"
_MARKED = re.compile('("?)\ue000(\\d+)\ue001("?)')
_WORD = re.compile(r"\S+")
_RUNS = re.compile(r"(\d+|\s+)")


@dataclass(frozen=True, slots=True)
class Lesson:
    """One training call for the learner.

    Attributes:
        task: Its task.
        session: Its session; support is counted in sessions.
        payload: The variable part of the request.
        completion: The teacher's answer in compact form.
        kept: Whether a rule may be proposed for its answer; if not, it only judges the rules of others.
    """

    task: str
    session: str
    payload: str
    completion: str
    kept: bool = True


@dataclass(frozen=True, slots=True)
class _Copy:
    """A value of an answer, found in the request."""

    start: int
    end: int
    text: str


def learn_templates(lessons: Sequence[Lesson]) -> list[Rule]:
    """Learn the rules of every task.

    Returns:
        Rules by task, best first; none for a task whose answers no pattern tells. The same for the same
        lessons, whatever their order.
    """
    by_task: dict[str, list[Lesson]] = defaultdict(list)
    for lesson in lessons:
        by_task[lesson.task].append(lesson)
    return [rule for task in sorted(by_task) for rule in _learn(task, by_task[task])]


def _learn(task: str, lessons: list[Lesson]) -> list[Rule]:
    sessions: dict[tuple[str, tuple[str | Slot, ...]], set[str]] = defaultdict(set)
    for lesson in lessons:
        for proposal in set(_proposals(lesson)) if lesson.kept else ():
            sessions[proposal].add(lesson.session)
    # A pattern that as many examples propose for other answers need not be tried to be known as wrong.
    proposed: Counter[str] = Counter()
    for (pattern, _), seen in sessions.items():
        proposed[pattern] += len(seen)
    supported = sorted(
        (k for k, s in sessions.items() if len(s) >= max(LEAST_SUPPORT, LEAST_SCORE * proposed[k[0]])),
        key=lambda key: (-len(sessions[key]), key[0], str(key[1])),
    )
    most = min(MOST_TRIED, MOST_SEARCHES // len(lessons))
    tried = [rule for key in supported[:most] if (rule := _tried(task, key, lessons)) is not None]
    tried.sort(key=lambda rule: (-rule.score, -rule.hits, rule.pattern, str(rule.pieces)))
    return _covering(tried, lessons)


def _tried(task: str, key: tuple[str, tuple[str | Slot, ...]], lessons: list[Lesson]) -> Rule | None:
    """Try a pattern on all lessons of its task; None where it is wrong too often."""
    try:
        pattern = Pattern(Rule(task, *key, 0, 0))
    except EngineError:  # too large for RE2
        return None
    hits = right = 0
    for lesson in lessons:
        said = pattern.apply(lesson.payload)
        if said is not None:
            hits += 1
            right += said == lesson.completion
            # What cannot become good enough any more need not be tried to the end.
            if hits - right > len(lessons) * (1 - LEAST_SCORE):
                return None
    rule = Rule(task, *key, right, hits)
    return rule if right >= LEAST_SUPPORT and rule.score >= LEAST_SCORE else None


def _covering(rules: list[Rule], lessons: list[Lesson]) -> list[Rule]:
    """Keep rules, best first, while each answers a lesson that none before it did."""
    left = dict.fromkeys(range(len(lessons)))
    kept: list[Rule] = []
    for rule in rules:
        if not left or len(kept) >= MOST_RULES:
            break
        pattern = Pattern(rule)
        reached = [number for number in left if pattern.apply(lessons[number].payload) is not None]
        if reached:
            kept.append(rule)
            for number in reached:
                del left[number]
    return kept


def _proposals(lesson: Lesson) -> Iterator[tuple[str, tuple[str | Slot, ...]]]:
    pieces, copies = slotted(lesson.payload, lesson.completion)
    payload = lesson.payload
    if len(payload) <= LONGEST:
        yield f"^{_between(payload, copies, 0, len(payload))}$", pieces
    words = [match.span() for match in _WORD.finditer(payload)]
    if not copies:
        for length in (1, 2, 3):
            for first in range(len(words) - length + 1):
                start, end = words[first][0], words[first + length - 1][1]
                yield f"(?:^|\\s){_literal(payload[start:end])}(?:\\s|$)", pieces
        return
    first_copy, last_copy = copies[0].start, copies[-1].end
    before = [start for start, end in words if end <= first_copy]
    after = [end for start, end in words if start >= last_copy]
    for left, right in _AROUND:
        if left <= len(before) and right <= len(after):
            start = before[-left]
            end = after[right - 1] if right else last_copy
            edge = "(?:\\s|$)" if right else "(?:[^\\pL\\pN]|$)"
            yield f"(?:^|\\s){_between(payload, copies, start, end)}{edge}", pieces


def slotted(payload: str, completion: str) -> tuple[tuple[str | Slot, ...], tuple[_Copy, ...]]:
    """Part a completion into literal text and slots for the values that stand in the payload.

    Returns:
        The pieces of the completion, and the copied values in the order of the payload; slot numbers count
        them from 1. Equal values share a copy.
    """
    name, brace, _ = completion.partition("{")
    body = decode_json(brace + completion[len(name) + 1 :]) if brace else None
    if not isinstance(body, dict):
        copies = _located(payload, [completion])
        return ((Slot(1, "plain"),) if copies else (completion,)), copies
    found = _located(payload, _texts(body))
    numbers = {copy.text: number for number, copy in enumerate(found, 1)}
    marked = name + json.dumps(_marked(body, numbers), separators=(",", ":"), ensure_ascii=False)
    pieces = _pieces(marked)
    # A completion that is not written as `render_completion` writes it could not be put together again.
    if _joined(pieces, found) != completion:
        return (completion,), ()
    return pieces, found


def _texts(value: object) -> list[str]:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [text for item in inner for text in _texts(item)]
    if isinstance(value, bool) or value is None:
        return []
    return [value if isinstance(value, str) else json.dumps(value)]


def _located(payload: str, texts: Iterable[str]) -> tuple[_Copy, ...]:
    """Find values as whole words, the longest first, none over another."""
    taken: list[_Copy] = []
    for text in sorted(set(texts), key=lambda text: (-len(text), text)):
        if not text.strip() or text != text.strip() or "\ue000" in text:
            continue
        for match in re.finditer(re.escape(text), payload):
            start, end = match.span()
            whole = not payload[start - 1 : start].isalnum() and not payload[end : end + 1].isalnum()
            if whole and all(end <= other.start or start >= other.end for other in taken):
                taken.append(_Copy(start, end, text))
                break
    return tuple(sorted(taken, key=lambda copy: copy.start))


def _marked(value: object, numbers: dict[str, int]) -> object:
    if isinstance(value, dict):
        return {key: _marked(item, numbers) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item, numbers) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    if text not in numbers:
        return value
    # A number is marked in quotes, which the slot takes away again.
    return _MARK.format(numbers[text] * 2 + (not isinstance(value, str)))


def _pieces(marked: str) -> tuple[str | Slot, ...]:
    pieces: list[str | Slot] = []
    end = 0
    for match in _MARKED.finditer(marked):
        number, is_number = divmod(int(match[2]), 2)
        literal = marked[end : match.start()]
        end = match.end()
        if is_number:
            pieces += [literal, Slot(number, "number")]
        else:
            pieces += [literal + match[1], Slot(number, "quoted")]
            end -= len(match[3])
    return (*pieces, marked[end:])


def _joined(pieces: tuple[str | Slot, ...], copies: tuple[_Copy, ...]) -> str:
    filled = (
        piece.fill(copies[piece.group - 1].text) if isinstance(piece, Slot) else piece for piece in pieces
    )
    return "".join(text or "" for text in filled)


def _between(payload: str, copies: tuple[_Copy, ...], start: int, end: int) -> str:
    """Turn a part of a payload into a pattern, with a group for each copied value."""
    parts = []
    for copy in copies:
        parts += [_literal(payload[start : copy.start]), _gap(copy.text)]
        start = copy.end
    return "".join((*parts, _literal(payload[start:end])))


def _gap(text: str) -> str:
    if re.search(r"\s", text):
        return "(\\S.*?\\S)" if len(text) > 1 else "(\\S)"
    if text.isdigit():
        return "(\\d+)"
    return "(\\S*[\\pL\\pN])" if text[-1].isalnum() else "(\\S+)"


def _literal(text: str) -> str:
    parts = []
    for part in _RUNS.split(text):
        if part.isdigit():
            # Only ASCII digits: RE2's \d knows no others.
            parts.append("\\d+" if part.isascii() else re2.escape(part))
        else:
            parts.append("\\s+" if part.isspace() else re2.escape(part))
    return "".join(parts)


def coverage(rules: Sequence[Rule], lessons: Sequence[Lesson]) -> tuple[float, float]:
    """Return the share of lessons that any rule answers, and the share of those that are right."""
    patterns: dict[str, list[Pattern]] = defaultdict(list)
    for rule in rules:
        patterns[rule.task].append(Pattern(rule))
    seen: Counter[bool] = Counter()
    for lesson in lessons:
        said = next((t for p in patterns[lesson.task] if (t := p.apply(lesson.payload)) is not None), None)
        if said is not None:
            seen[said == lesson.completion] += 1
    answered = seen.total()
    return answered / len(lessons) if lessons else 0.0, seen[True] / answered if answered else 0.0
