"""What a task consists of: subtasks told apart by what the teacher did.

An action is known only after the answer, so a subtask never takes a call: the task stays the unit that is
converted, and telling its subtasks apart from the request is the specialist's work. How well the words of a
request tell them is measured here, because it says how hard that work is.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from offramp.core.call import OutputType
from offramp.core.task import Subtask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from offramp.discover.sighting import Facts, Payload, Sighting

SHOWN_SESSIONS = 5
"""Sessions that must share an action before it is named: it may quote what one user said."""

MIN_TESTED = 20
"""Calls on which a prediction is tested at least."""


def action_of(facts: Facts, output: OutputType) -> str:
    """Say what an answer does, as far as its form tells.

    Args:
        facts: The answer.
        output: Form of the task's answers: a label is an action of its own only where labels are what
            the task answers.
    """
    shape = facts.shape
    if shape.kind in {"tool", "tools"}:
        return facts.action
    if output is OutputType.LABEL and shape.value:
        return f"answers {shape.value}"
    if shape.kind.startswith("json:"):
        return f"JSON with {shape.kind.removeprefix('json:').replace(',', ', ') or 'no fields'}"
    if facts.code:
        return f"writes {facts.code}"
    if facts.fenced:
        return "JSON in a code fence"
    return facts.action or ("says nothing" if shape.kind == "empty" else "says something")


def subtasks_of(seen: Iterable[Sighting], output: OutputType) -> tuple[Subtask, ...]:
    """Group a task's calls by action.

    Args:
        seen: The task's calls.
        output: Form of its answers.

    Returns:
        By number of calls; empty where there is one action only. Actions of few sessions are one
        subtask with the action "anything else".
    """
    calls: Counter[str] = Counter()
    sessions: dict[str, set[str]] = defaultdict(set)
    for sighting in seen:
        if sighting.facts is not None:
            action = action_of(sighting.facts, output)
            calls[action] += 1
            sessions[action].add(sighting.session)
    total = calls.total()
    named = {a: n for a, n in calls.items() if len(sessions[a]) >= SHOWN_SESSIONS}
    other = total - sum(named.values())
    listed = sorted(named.items(), key=lambda item: (-item[1], item[0]))
    found = [Subtask(action, count, count / total) for action, count in listed]
    if other:
        found.append(Subtask("anything else", other, other / total))
    return tuple(found) if len(found) > 1 else ()


def predictability(payloads: Sequence[Payload], output: OutputType) -> tuple[float, float] | None:
    """Tell whether the words of a request tell its subtask, before it is answered.

    Naive Bayes over the words of the last message is fitted on half of the sampled sessions and tested on
    the other half; a lower bound on what a specialist can do.

    Returns:
        Share of calls whose subtask is predicted, and the share of the most frequent one; None where there
        are too few calls.
    """
    halves: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
    for payload in payloads:
        if payload.seen.facts is not None:
            action = action_of(payload.seen.facts, output)
            halves[_half(payload.seen.session)].append((payload.text, action))
    train, test = halves
    if len(test) < MIN_TESTED or len(train) < MIN_TESTED:
        return None
    model = _NaiveBayes(train)
    right = sum(1 for text, action in test if model.predict(text) == action)
    usual = Counter(action for _, action in train).most_common(1)[0][0]
    return right / len(test), sum(1 for _, action in test if action == usual) / len(test)


class _NaiveBayes:
    """Multinomial, over the words of a text, with add-one smoothing."""

    def __init__(self, rows: Sequence[tuple[str, str]]) -> None:
        words: dict[str, Counter[str]] = defaultdict(Counter)
        for text, action in rows:
            words[action].update(_words(text))
        size = len(set[str]().union(*words.values())) + 1
        self._priors = {action: math.log(n) for action, n in sorted(Counter(a for _, a in rows).items())}
        self._unseen = {action: -math.log(words[action].total() + size) for action in self._priors}
        # By word, so that a text costs what its words occur in and not all classes times all words.
        self._seen: dict[str, list[tuple[str, float]]] = defaultdict(list)
        for action, counted in words.items():
            for word, n in counted.items():
                self._seen[word].append((action, math.log(n + 1)))

    def predict(self, text: str) -> str:
        words = _words(text)
        scores = {a: prior + len(words) * self._unseen[a] for a, prior in self._priors.items()}
        for word in words:
            for action, more in self._seen.get(word, ()):
                scores[action] += more
        return max(scores, key=lambda action: (scores[action], action))


def _words(text: str) -> set[str]:
    return set(text.casefold().split())


def _half(session: str) -> int:
    return sum(session.encode(errors="surrogatepass")) % 2
