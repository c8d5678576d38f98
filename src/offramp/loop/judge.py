"""A judge of free text that is asked over HTTP, and what was measured of it."""

from __future__ import annotations

import re
import threading
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from offramp.certify.agreement import same
from offramp.core.call import Answer, answer_of
from offramp.core.errors import BadInput, OfframpError
from offramp.core.json import canonical, digest
from offramp.core.measure import EVERY_TASK, Measure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from offramp.certify.agreement import Judge, Pair
    from offramp.certify.judge import JudgeError
    from offramp.core.json import JsonObject
    from offramp.engine.chat import Chat
    from offramp.storage.port import Store

ERROR: Final = "judge"
"""Kind of the documents that hold a judge's measured error, by task."""

REMEMBERED: Final = 100_000
"""Decisions that are remembered at most, so that no pair is paid for twice."""

VERDICTS: Final = "verdicts"
"""Kind of the documents that hold what judges decided: hashes of pairs, and no text."""

_VERDICT: Final = re.compile(r"\b(SAME|DIFFERENT)\b")


class StoredVerdicts:
    """What a judge decided, kept from one night to the next.

    A night that is repeated gives the same losses, and so the same confidence and certificate, whatever a
    model says when it is asked again; and nobody pays twice.

    Args:
        store: Opens the store.
        judge: The judge's name.
    """

    def __init__(self, store: Callable[[], Store], judge: str) -> None:
        self._store = store
        self._judge = judge

    def load(self) -> dict[str, bool]:
        """Read all of this judge, by hash of the pair."""
        found: dict[str, bool] = {}
        for value in self._store().documents(VERDICTS).values():
            if value["judge"] == self._judge:
                found |= value["said"]
        return found

    def add(self, said: Mapping[str, bool]) -> None:
        """Keep more."""
        key = digest([self._judge, sorted(said)])
        self._store().put(VERDICTS, key, {"judge": self._judge, "said": dict(said)})


def forget_verdicts(store: Store) -> None:
    """Remove what judges decided, of whomever it was; they are asked anew."""
    for key in store.documents(VERDICTS):
        store.delete(VERDICTS, key)


class ChatJudge:
    """Asks a language model whether two answers are the same.

    Answers that are the same but for case, white space and punctuation need not be asked about; this rule is
    part of the judge, and its misses are measured with the model's. Whatever cannot be read, and pairs that
    the model was not reached for, count as different: that costs coverage and breaks nothing.

    Args:
        chat: The model's server.
        model: Its name there.
        prompt: What it is told; each pair follows as a JSON object.
        most: Pairs that it may be asked about, 0 for any number.
        kept: Where its decisions are kept; None keeps them in this process.

    Attributes:
        asked: Pairs that it was asked about.
        unreached: Of those, pairs that the model gave no answer to.
    """

    def __init__(
        self,
        chat: Chat,
        model: str,
        prompt: str,
        *,
        most: int = 0,
        kept: Callable[[str], StoredVerdicts] | None = None,
    ) -> None:
        self._chat = chat
        self._model = model
        self._prompt = prompt
        self._most = most
        self._kept = None if kept is None else kept(self.name)
        self._said: dict[str, bool] | None = None
        self._lock = threading.Lock()
        self.asked = 0
        self.unreached = 0

    @property
    def name(self) -> str:
        """Model and prompt, for the certificate."""
        return f"{self._model}, prompt {digest(self._prompt, size=4)}"

    def same(self, pairs: Sequence[Pair], /) -> list[bool]:
        """Decide pairs; see `offramp.certify.agreement.Judge.same`.

        Raises:
            BadInput: More pairs would have to be asked about than are left; none is.
            OfframpError: The model was reached for none of them.
        """
        keys = [_key(pair) for pair in pairs]
        with self._lock:
            if self._said is None:
                self._said = self._kept.load() if self._kept else {}
            decided = {key: self._said[key] for key in keys if key in self._said}
        open_: dict[str, Pair] = {}
        for key, pair in zip(keys, pairs, strict=True):
            if key not in decided and same(Measure.TEXT, pair.ours, pair.teacher):
                decided[key] = True
            elif key not in decided:
                open_[key] = pair
        self._spend(len(open_))
        decided |= self._told(open_)
        return [decided[key] for key in keys]

    def _spend(self, pairs: int) -> None:
        with self._lock:
            left = self._most - self.asked
            if self._most and pairs > left:
                raise BadInput(
                    f"The judge would have to be asked about {pairs} pairs of answers; {left} of "
                    f"{self._most} are left.",
                    hint="Raise judge.most, or convert one task at a time: offramp convert TASK.",
                )
            self.asked += pairs

    def _told(self, open_: Mapping[str, Pair]) -> dict[str, bool]:
        replies = self._chat.ask([self._request(pair) for pair in open_.values()]) if open_ else []
        errors = [reply for reply in replies if isinstance(reply, OfframpError)]
        if errors and len(errors) == len(replies):
            raise errors[0]
        told = {
            key: _says_same(reply)
            for key, reply in zip(open_, replies, strict=True)
            if not isinstance(reply, OfframpError)
        }
        with self._lock:
            self.unreached += len(errors)
            known = self._said or {}
            self._said = told if len(known) + len(told) > REMEMBERED else known | told
        if told and self._kept:
            self._kept.add(told)
        return dict.fromkeys(open_, False) | told

    def _request(self, pair: Pair) -> JsonObject:
        material = {
            "request": pair.request.get("messages"),
            "reference": _shown(pair.teacher),
            "answer": _shown(pair.ours),
        }
        messages = [
            {"role": "system", "content": self._prompt},
            {"role": "user", "content": canonical(material)},
        ]
        return {"model": self._model, "temperature": 0, "messages": messages}


@dataclass(frozen=True, slots=True)
class Judging:
    """A judge with what was measured of it.

    Attributes:
        judge: Who decides.
        errors: By task id what it got wrong on labelled pairs of that task; ``EVERY_TASK`` for all others.
    """

    judge: Judge
    errors: Mapping[str, JudgeError] = field(default_factory=dict)

    def error(self, task: str) -> JudgeError:
        """Return what the judge got wrong on a task's labelled pairs.

        Raises:
            BadInput: Nobody measured that.
        """
        found = self.errors.get(task) or self.errors.get(EVERY_TASK)
        if found is None:
            raise BadInput(
                f"Nobody measured how often the judge {self.judge.name!r} is wrong about task {task!r}.",
                hint="Label pairs of its answers: offramp judge check FILE.",
            )
        return found


def save_error(store: Store, error: JudgeError, task: str = EVERY_TASK) -> None:
    """Keep what a judge got wrong on the labelled pairs of a task."""
    store.put(ERROR, task, asdict(error))


def stored_errors(store: Store, judge: str) -> dict[str, JsonObject]:
    """Read what was measured of the judge of a name, by task; another judge's errors say nothing of it."""
    return {task: value for task, value in store.documents(ERROR).items() if value["judge"] == judge}


def _key(pair: Pair) -> str:
    return digest([pair.request.get("messages"), _shown(pair.ours), _shown(pair.teacher)])


def _shown(answer: Answer) -> JsonObject | str:
    if not answer.tool_calls:
        return answer.text
    calls = [{"name": call.name, "arguments": call.arguments} for call in answer.tool_calls]
    return {"text": answer.text, "tool_calls": calls}


def _says_same(reply: JsonObject) -> bool:
    """The last verdict counts: a model that thinks aloud weighs both words before it decides."""
    answer = answer_of(reply)
    verdicts = _VERDICT.findall(answer.text) if answer is not None else []
    return bool(verdicts) and verdicts[-1] == "SAME"
