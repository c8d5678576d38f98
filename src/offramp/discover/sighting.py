"""What discovery remembers of a call: a few hundred bytes, and none of its text.

Calls are read once, one by one, so a million of them need not be in memory together. Of their payloads only
hashes stay, and a bounded sample of masked texts for each call site.
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from offramp.core.call import Answer, Call, answer_of, decode_json, text_of
from offramp.core.json import digest
from offramp.core.question import question_of
from offramp.discover.forms import Shape, shape_of
from offramp.discover.openings import READ, hashed_instruction, head_of, opening_of, tail_of
from offramp.discover.signature import Signature, SignatureReader, Tools, hashed, skeleton

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.core.json import JsonObject

    Price = Callable[[Call], float]

T = TypeVar("T")

CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for English text, used where the provider did not count."""

SAMPLED = 4_000
"""Masked payloads kept of each call site, those with the smallest hashes: the order does not matter."""

SHOWN = 400
"""Characters kept of a sampled payload."""

NESTED, NO_TEXT = -1, -2
"""Instead of a number of words: the field holds an object or a list; a number, a truth value or null."""

INSTRUCTIONS = 50_000
"""Openings and closings of first messages remembered in words; most are payload and of no use."""

_CODE = {
    "SQL": re.compile(
        r"\s*(?:```sql\s*)?(?:SELECT|SHOW|DESC(?:RIBE)?|WITH|INSERT|UPDATE|DELETE|CREATE)\b", re.IGNORECASE
    ),
    "Python": re.compile(r"\s*(?:```python\s*)?(?:def |class |import |from \w+ import |print\()"),
    "shell": re.compile(
        r"\s*(?:```(?:ba)?sh\s*)?(?:find|ls|cat|grep|cd|echo|awk|sed|rm|cp|mv|mkdir|chmod|tar|git|curl)\b"
    ),
}


_OPENING = re.compile(r"\s*([A-Z][\w ]{1,24}):\s")
"""A field that an answer opens with: "Thought: ...", "Final Answer: ..."."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is remembered of an answer.

    Attributes:
        shape: Its form.
        action: The tools that it calls, or the field that its text opens with, in words; "" for neither.
        words: Number of words of its text.
        code: Language that the text opens in, "" for none that is known.
        fenced: Whether the text opens with a code fence that says JSON.
        fields: Of a JSON object each key with the words of its text; -1 for a nested value, -2 for a number.
        said: Hash of its text as it stands.
    """

    shape: Shape
    action: str
    words: int
    code: str
    fenced: bool
    fields: tuple[tuple[str, int], ...]
    said: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is remembered of a call.

    Attributes:
        call: Its id.
        at: Arrival, seconds since the epoch.
        session: The agent run; the call's id where it has none.
        origin: Who asked, "" where nobody knows.
        signature: What identifies the call site.
        tools: The tools offered.
        form: Hash of the response format in full, "" for none.
        wording: Hash of the prompt with its values in place, "" without a prompt.
        head: Hash of how the first user message opens, 0 where that tells nothing.
        tail: Hash of how it closes.
        request: What is asked, see ``core.question.question_of``.
        payload: Hash of the last message with its values masked.
        heard: Hash of the last user message as it stands.
        asked_by_user: Whether a user message comes last, not a tool's result.
        turns: Number of user messages.
        tokens: Tokens of prompt and answer.
        cost: USD.
        latency: Seconds, 0 where nobody measured.
        facts: The answer; None where the call failed or the answer cannot be compared.
    """

    call: str
    at: float
    session: str
    origin: str
    signature: Signature
    tools: Tools
    form: str
    wording: str
    head: int
    tail: int
    request: int
    payload: int
    heard: int
    asked_by_user: bool
    turns: int
    tokens: int
    cost: float
    latency: float
    facts: Facts | None


@dataclass(frozen=True, slots=True)
class Payload:
    """A sampled payload, masked.

    Attributes:
        text: The last message's first characters, values replaced by slots.
        seen: The sighting that it belongs to.
    """

    text: str
    seen: Sighting


class Watch:
    """Reads calls and remembers what discovery needs.

    Args:
        price: USD of a call; nothing costs anything where it is not given.
    """

    def __init__(self, price: Price | None = None) -> None:
        self._price = price
        self._reader = SignatureReader()
        self._known: dict[object, object] = {}
        self._samples: dict[Signature, list[tuple[int, str, Payload]]] = {}
        self._instructions: dict[int, str] = {}

    def see(self, call: Call) -> Sighting:
        """Remember a call."""
        request = call.request
        look = self._reader.look(request)
        last, user, turns, by_user = _last_messages(request)
        opening = opening_of(request)
        # Most calls hold one user message: it opens the dialogue and is the payload.
        masked = opening if by_user and turns == 1 else skeleton(last, limit=READ)
        answer = usable_answer(call)
        sighting = Sighting(
            call=call.id,
            at=call.at,
            session=self._same(call.session or call.id),
            origin=self._same(call.origin),
            signature=self._same(look.signature),
            tools=self._same(look.tools),
            form=self._same(digest(form, size=8)) if (form := request.get("response_format")) else "",
            wording=look.wording,
            head=self._instruction(head_of(opening)),
            tail=self._instruction(tail_of(opening)),
            request=question_of(request),
            payload=hashed(" ".join(masked.casefold().split())),
            heard=hashed(user.strip()),
            asked_by_user=by_user,
            turns=turns,
            tokens=tokens_of(call, answer),
            cost=self._price(call) if self._price is not None else 0.0,
            latency=call.latency_s,
            facts=None if answer is None else self._facts(answer),
        )
        self._sample(sighting, masked)
        return sighting

    def instruction(self, key: int) -> str:
        """Return the instruction of a hash, "" where there were too many to remember."""
        return self._instructions.get(key, "")

    def payloads(self, signature: Signature) -> list[Payload]:
        """Return the sampled payloads of a call site, as far as its signature tells."""
        kept = self._samples.get(signature.sample, ())
        return [payload for _, _, payload in sorted(kept, key=lambda item: (-item[0], item[1]))]

    def _sample(self, sighting: Sighting, masked: str) -> None:
        kept = self._samples.setdefault(sighting.signature.sample, [])
        # By the hash of id and payload, so that a sample of the same calls is the same sample.
        rank = -hashed(sighting.call)
        if len(kept) < SAMPLED:
            heapq.heappush(kept, (rank, sighting.call, Payload(masked[:SHOWN], sighting)))
        elif rank > kept[0][0]:
            heapq.heapreplace(kept, (rank, sighting.call, Payload(masked[:SHOWN], sighting)))

    def _instruction(self, text: str) -> int:
        key = hashed_instruction(text)
        if len(self._instructions) < INSTRUCTIONS:
            self._instructions[key] = text
        return key

    def _facts(self, answer: Answer) -> Facts:
        text = answer.text
        shape = self._same(shape_of(answer))
        decoded = decode_json(text) if shape.kind.startswith("json:") else None
        return Facts(
            shape=shape,
            action=self._same(_action(answer)),
            words=len(text.split()),
            code=next((name for name, pattern in _CODE.items() if pattern.match(text)), ""),
            fenced=text.lstrip().startswith("```json"),
            fields=self._same(_fields(decoded)),
            said=hashed(text.strip()),
        )

    def _same(self, value: T) -> T:
        """Return the value seen first among equal ones, so that each is kept once."""
        return cast("T", self._known.setdefault(value, value))


def usable_answer(call: Call) -> Answer | None:
    """Return the answer of a call, None where it failed or holds none that can be compared."""
    return answer_of(call.response) if call.status == 200 else None


def tokens_of(call: Call, answer: Answer | None = None) -> int:
    """Return a call's tokens as counted by the provider, or estimated from its characters."""
    if call.usage.total:
        return call.usage.total
    texts = [text_of(m.get("content")) for m in call.request.get("messages") or [] if isinstance(m, dict)]
    answer = answer or usable_answer(call)
    return (sum(map(len, texts)) + len(answer.text if answer else "")) // CHARACTERS_PER_TOKEN + 1


def _last_messages(request: JsonObject) -> tuple[str, str, int, bool]:
    """Return the last message's text, the last user message's, how many these are, whether they are one."""
    listed = request.get("messages")
    messages = [m for m in listed if isinstance(m, dict)] if isinstance(listed, list) else []
    users = [m for m in messages if m.get("role") == "user"]
    last = text_of(messages[-1].get("content")) if messages else ""
    user = text_of(users[-1].get("content")) if users else ""
    return last, user, len(users), bool(users) and users[-1] is messages[-1]


def _action(answer: Answer) -> str:
    names = sorted({call.name for call in answer.tool_calls})
    if not names:
        opening = _OPENING.match(answer.text)
        return f"opens with {opening[1]}" if opening else ""
    several = " several times" if len(answer.tool_calls) > len(names) else ""
    # What is said beside a call varies from one to the next and changes nothing that is done.
    return f"calls {', '.join(names)}{several}"


def _fields(decoded: object) -> tuple[tuple[str, int], ...]:
    if not isinstance(decoded, dict):
        return ()
    return tuple((key, _words_of(value)) for key, value in sorted(decoded.items()))


def _words_of(value: object) -> int:
    if isinstance(value, dict | list):
        return NESTED
    return len(value.split()) if isinstance(value, str) else NO_TEXT
