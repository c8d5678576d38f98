"""A task: a recurring subtask found in the traffic."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from offramp.core.call import OutputType
from offramp.core.measure import Measure

if TYPE_CHECKING:
    from offramp.core.json import JsonObject


class Decision(enum.StrEnum):
    """What is to answer a task's calls."""

    KEEP_LLM = "keep_llm"
    SPECIALIST = "specialist"


@dataclass(frozen=True, slots=True)
class Subtask:
    """A part of a task, told apart by what the teacher did.

    It is known only after the answer, so no call is ever assigned to it.

    Attributes:
        action: What the teacher did, in words.
        calls: Number of calls.
        share: Share of the task's answered calls, 0 to 1.
    """

    action: str
    calls: int
    share: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What a task's calls cost and how much they are alike.

    Attributes:
        cost_usd: USD of the calls seen; 0 where no price is known.
        share_cost: Share of what all calls seen cost, 0 to 1.
        saving_usd: USD of the calls seen that a specialist could save at most; ranks tasks. Where the
            teacher's self-agreement is known, that share of what they cost.
        latency_s: Median seconds of a call, 0 where nobody measured.
        repetitiveness: Share of calls whose last message was seen before, values masked.
        entropy: Entropy of those messages, divided by its largest possible value: 1 where no two are alike.
        repeats: Questions that were asked more than once.
        self_agreement: How often the teacher agrees with itself on those, see ``certify.ceiling``; None
            without repeats.
        origins: Distinct known askers.
        exemplars: Last messages in which only words that several askers used are left.
        predicted: Share of held-out calls whose subtask the words of the last message tell, None where
            there are no subtasks or too few calls.
        usual: Share of the most frequent subtask among those: what a guess is worth.
    """

    cost_usd: float = 0.0
    share_cost: float = 0.0
    saving_usd: float = 0.0
    latency_s: float = 0.0
    repetitiveness: float = 0.0
    entropy: float = 1.0
    repeats: int = 0
    self_agreement: float | None = None
    origins: int = 0
    exemplars: tuple[str, ...] = ()
    predicted: float | None = None
    usual: float | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A recurring subtask, identified by its signature.

    Attributes:
        id: Stable id (``t-`` and a hash of the first signature seen).
        version: Hash of prompt template, tool schemas and response format; a change voids certificates.
        name: Readable name, made from the prompt and the tools.
        signature: What identifies the call site without reading its payload.
        output: Form of its answers.
        calls: Number of calls seen.
        share_calls: Share of all calls seen, 0 to 1.
        share_tokens: Share of all tokens seen, 0 to 1.
        sessions: Number of distinct sessions.
        convertible: Whether a specialist is worth trying.
        reason: Why, or why not.
        slug: Short unique name in lower case, letters, digits and hyphens; opens the prompts of a
            specialist that serves several tasks.
        chat: Whether people read its answers; such a task is left out.
        subtasks: What it consists of; empty where every answer is one action.
        profile: What its calls cost and how much they are alike.
        measure: In which sense its answers are compared; None: they cannot be, or nobody asked yet.
    """

    id: str
    version: str
    name: str
    signature: str
    output: OutputType
    calls: int
    share_calls: float
    share_tokens: float
    sessions: int
    convertible: bool
    reason: str
    slug: str = ""
    chat: bool = False
    subtasks: tuple[Subtask, ...] = ()
    profile: Profile = field(default_factory=Profile)
    measure: Measure | None = None

    @property
    def names(self) -> tuple[str, str, str]:
        """What it may be called by: id, slug and name."""
        return self.id, self.slug, self.name

    @classmethod
    def from_dict(cls, value: JsonObject) -> Task:
        """Read what ``dataclasses.asdict`` wrote; fields that an older offramp did not write are empty."""
        profile = dict(value.get("profile") or {})
        profile["exemplars"] = tuple(profile.get("exemplars") or ())
        measure = value.get("measure")
        return cls(
            **{
                **value,
                "output": OutputType(value["output"]),
                "subtasks": tuple(Subtask(**part) for part in value.get("subtasks") or ()),
                "profile": Profile(**profile),
                "measure": Measure(measure) if measure else None,
            }
        )


class ChangeKind(enum.StrEnum):
    """What may happen to tasks from one discovery to the next."""

    NEW = "new"
    SPLIT = "split"
    MERGED = "merged"
    REWORDED = "reworded"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to tasks since they were last discovered.

    Attributes:
        kind: What it was.
        before: Ids of the tasks before; empty for a new one.
        after: Ids of the tasks now; empty for one that nobody called. The one that keeps the id comes first.
        calls: Calls that went from each of ``before`` to each of ``after``: one number for each of the
            longer side; of a new task its own, of a quiet one none.
    """

    kind: ChangeKind
    before: tuple[str, ...]
    after: tuple[str, ...]
    calls: tuple[int, ...]

    @classmethod
    def from_dict(cls, value: JsonObject) -> Change:
        """Read what ``dataclasses.asdict`` wrote."""
        sides = (tuple(value[side]) for side in ("before", "after", "calls"))
        return cls(ChangeKind(value["kind"]), *sides)
