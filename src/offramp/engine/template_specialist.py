"""The template specialist: a fixed answer whose slots are copied from the request by regular expressions.

It needs no model. Patterns are RE2's, whose time is linear in the request: they were learned from traffic,
and a request that is made to be slow must not be able to hold the worker up.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import re2

from offramp.core.errors import EngineError
from offramp.core.render import parse_completion, payload_of
from offramp.engine.specialist import Card, Considered, task_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from offramp.core.call import Answer
    from offramp.engine.specialist import TaskRequest

FILE = "templates.json"
MOST_COUNTED = 8
"""Rules that match a call are counted up to here."""

_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in an answer that is filled from the request.

    Attributes:
        group: Number of the pattern's group that fills it, from 1.
        form: ``"quoted"`` inside a JSON string, ``"number"`` as a JSON number, ``"plain"`` as it is.
    """

    group: int
    form: str

    def fill(self, text: str) -> str | None:
        """Render what was found; None where it cannot stand here."""
        if self.form == "quoted":
            return json.dumps(text, ensure_ascii=False)[1:-1]
        if self.form == "number" and not _NUMBER.fullmatch(text):
            return None
        return text


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern with the answer it stands for.

    Attributes:
        task: The task it belongs to.
        pattern: RE2 pattern, searched for in the payload.
        pieces: The completion: literal text and slots, in order.
        right: Training calls it answered as the teacher did.
        hits: Training calls it answered.
    """

    task: str
    pattern: str
    pieces: tuple[str | Slot, ...]
    right: int
    hits: int

    @property
    def score(self) -> float:
        """Share of right answers, as if one more had been wrong; a rule of three right ones gets 0.75."""
        return self.right / (self.hits + 1)

    @property
    def slots(self) -> int:
        """Number of slots."""
        return sum(isinstance(piece, Slot) for piece in self.pieces)


class Pattern:
    """A rule, ready to be used.

    Args:
        rule: The rule.

    Raises:
        EngineError: Its pattern is none, or a slot names a group that the pattern does not have.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        try:
            self._compiled: Any = re2.compile(rule.pattern, _options())
        except re2.error as error:
            raise EngineError(
                f"A template's pattern {rule.pattern!r} is none: {error}.", hint="offramp convert."
            ) from error
        groups = max((piece.group for piece in rule.pieces if isinstance(piece, Slot)), default=0)
        if groups > self._compiled.groups:
            raise EngineError(f"A template's slot needs group {groups} of {rule.pattern!r}.")

    def apply(self, payload: str) -> str | None:
        """Return the completion for a payload; None where the pattern does not match."""
        match = self._compiled.search(payload)
        if match is None:
            return None
        parts = []
        for piece in self.rule.pieces:
            filled = piece.fill(match.group(piece.group)) if isinstance(piece, Slot) else piece
            if filled is None:
                return None
            parts.append(filled)
        return "".join(parts)


class TemplateSpecialist:
    """Answers with the best rule that matches, and defers where none does.

    Args:
        card: What it is.
        rules: Rules, best first.

    Raises:
        EngineError: A rule is none.
    """

    def __init__(self, card: Card, rules: Iterable[Rule]) -> None:
        self._card = card
        self._patterns: dict[str, list[Pattern]] = {}
        for rule in rules:
            self._patterns.setdefault(rule.task, []).append(Pattern(rule))

    @property
    def card(self) -> Card:
        """What it is."""
        return self._card

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Its rules, by task, best first."""
        return tuple(pattern.rule for patterns in self._patterns.values() for pattern in patterns)

    def consider(self, items: Sequence[TaskRequest]) -> list[Considered]:
        """Try the rules on each item; see `Specialist.consider`.

        The features: the first rule's score and hits, whether it has slots, how many other rules match, and
        which share of them say the same.
        """
        return [self._considered(item) for item in items]

    def _considered(self, item: TaskRequest) -> Considered:
        output = task_of(self._card, item).output
        found = self._matching(item)
        if not found:
            return Considered(None, (0.0,) * 5, 1.0)
        rule, text = found[0]
        answer: Answer | None = parse_completion(output, text)
        others = [said for _, said in found[1:]]
        same = sum(said == text for said in others) / len(others) if others else 1.0
        features = (rule.score, min(rule.hits, 50) / 50, float(rule.slots > 0), float(len(others)), same)
        return Considered(answer, features, 1.0)

    def _matching(self, item: TaskRequest) -> list[tuple[Rule, str]]:
        payload = payload_of(item.request)
        found: list[tuple[Rule, str]] = []
        for pattern in self._patterns.get(item.task, ()):
            text = pattern.apply(payload)
            if text is not None:
                found.append((pattern.rule, text))
                if len(found) >= MOST_COUNTED:
                    break
        return found

    def save(self, folder: Path) -> None:
        """Write into a folder. Patterns and answers hold words of the training calls (masked)."""
        (folder / FILE).write_text(json.dumps([asdict(rule) for rule in self.rules], indent=1))
        # Last, because a folder with a card counts as whole.
        self._card.save(folder)

    @classmethod
    def load(cls, folder: Path) -> TemplateSpecialist:
        """Read what `save` wrote.

        Raises:
            EngineError: The file is missing or broken.
        """
        try:
            rules = [_rule(raw) for raw in json.loads((folder / FILE).read_text())]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EngineError(f"{folder} holds no templates: {error}.", hint="offramp convert.") from error
        return cls(Card.load(folder), rules)


def _rule(raw: dict[str, Any]) -> Rule:
    pieces = tuple(piece if isinstance(piece, str) else Slot(**piece) for piece in raw["pieces"])
    return Rule(raw["task"], raw["pattern"], pieces, int(raw["right"]), int(raw["hits"]))


def _options() -> Any:
    options = re2.Options()
    # A broken pattern is an error of ours, raised and told; RE2 would also write it to standard error.
    options.log_errors = False
    return options
