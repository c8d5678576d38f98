"""Requests as agents send them: 2 KB and 32 KB, no two alike.

Eight agents, each with its own system prompt and tools, which come again with every request as they do in
real traffic. A request of 2 KB brings a fresh question of 300 characters. Those of 32 KB belong to
conversations: each request is the one before it and two messages more (a call and its result, or an answer
and the next question), 8 conversations at a time, 48 requests each, from 16 to 50 KB and 32 KB on average at
any time; then they begin anew with other numbers. With ``unique`` all but system prompt and tools is new in
every request, down to the history: its number stands in the first user message, in every tool result and in
the last message. No agent does that; it is the worst case for whatever remembers.

Texts hold names, mail addresses, order numbers and phone numbers, so that a gateway that masks them has
something to do.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

AGENTS = 8
CONVERSATIONS = 64
"""Different unique requests; each is sent many times, with another number in it each time."""

QUESTIONS = 256
"""Different requests of 2 KB; each is sent many times, with another number in it each time."""

SESSIONS, STEPS = 8, 48
"""Conversations of 32 KB at a time, and requests of each."""

SIZES = {"2k": 2_048, "32k": 32_768}

_NUMBER = "000000000000"
_GROWTH = 16_700
"""Bytes that a conversation of 32 KB grows by in half its requests, about."""
_PROSE = (
    "the customer order of March arrived late and asks whether a refund or a new delivery is possible before "
    "Friday because the parcel was left at an address which nobody at home could reach please check status "
    "warehouse carrier invoice amount voucher return label policy window days account email phone confirm "
    "change seat flight booking passenger insurance cabin baggage economy upgrade cancel reason weather"
)
_WORDS = _PROSE.split()
_NAMES = ("Mia Keller", "Omar Haddad", "Yuki Tanaka", "Anna Novak", "Luis Ortega", "Grace Obi", "Ivan Petrov")


@dataclass(frozen=True, slots=True)
class Template:
    """A request's body with holes for its number.

    Attributes:
        pieces: The bytes between the holes.
        shared: How many requests in a row have the same number in their holes.
        later: What is added to it: how often its conversation has begun anew.
    """

    pieces: tuple[bytes, ...]
    shared: int = 1
    later: int = 0

    def body(self, number: int) -> bytes:
        """Return the body of one request; its length does not depend on the number."""
        return (b"%012d" % ((number // self.shared + self.later) % 10**12)).join(self.pieces)


def templates(size: str, model: str, *, stream: bool, unique: bool = False) -> list[Template]:
    """Return templates; request ``n`` is made of the one at ``n`` modulo their number.

    Args:
        size: A key of :data:`SIZES`.
        model: Model name in the request.
        stream: Whether the answer is to be streamed.
        unique: Repeat nothing but system prompts and tools.
    """
    if unique:
        return [_template(size, model, one, stream=stream) for one in range(CONVERSATIONS)]
    if size == "2k":
        return [_question(model, one, stream=stream) for one in range(QUESTIONS)]
    sessions = [_session(model, one, stream=stream) for one in range(SESSIONS)]
    # They are at different steps at a time, so that one request is as large as the next on average.
    return [
        replace(session[at % STEPS], later=at // STEPS)
        for step in range(STEPS)
        for number, session in enumerate(sessions)
        for at in [step + number * STEPS // SESSIONS]
    ]


def _question(model: str, number: int, *, stream: bool) -> Template:
    """Return a request of 2 KB: an agent's prompt and tool, and a question."""
    request = _request("2k", model, random.Random(number % AGENTS), stream=stream)
    question = f"Case {_NUMBER}: {_text(random.Random(number), 320)[:300]}"
    system = request["messages"][0]
    request["messages"].append({"role": "user", "content": question})
    missing = SIZES["2k"] - _length(request)
    system["content"] += _text(random.Random(number % AGENTS), missing + 20)[:missing]
    return Template(_cut(request))


def _session(model: str, number: int, *, stream: bool) -> list[Template]:
    """Return the requests of one conversation, each with two messages more than the one before."""
    rng = random.Random(number)
    request = _request("32k", model, random.Random(number % AGENTS), stream=stream)
    messages = request["messages"]
    messages.append({"role": "user", "content": f"Case {_NUMBER}: {_text(rng, 120)}"})
    while _length(request) < SIZES["32k"] - _GROWTH:
        messages.extend(_turn(rng, len(messages)))
    made: list[Template] = []
    while len(made) < STEPS:
        turn = _turn(rng, len(messages))
        for pair in (turn[:2], turn[2:]):
            messages.extend(pair)
            made.append(Template(_cut(request), SESSIONS * STEPS))
    return made


def _request(size: str, model: str, agent: random.Random, *, stream: bool) -> dict[str, Any]:
    """Return what an agent repeats in every request."""
    large = size == "32k"
    request: dict[str, Any] = {
        "messages": [{"role": "system", "content": _text(agent, 2_400 if large else 420)}],
        "model": model,
        "temperature": 0.2,
        "tools": [_tool(agent, number) for number in range(10 if large else 1)],
    }
    if stream:
        request["stream"] = True
    return request


def _template(size: str, model: str, conversation: int, *, stream: bool) -> Template:
    rng, large = random.Random(conversation), size == "32k"
    request = _request(size, model, random.Random(conversation % AGENTS), stream=stream)
    messages = request["messages"]
    messages.append({"role": "user", "content": f"Case {_NUMBER}: {_text(rng, 120)}"})
    while large and _length(request) < SIZES[size] - 900:
        messages.extend(_turn(rng, len(messages)))
    last = {"role": "user", "content": f"Go on with case {_NUMBER}. "}
    messages.append(last)
    _fill(last, lambda: _length(request), SIZES[size], rng)
    return Template(_cut(request))


def _turn(rng: random.Random, number: int) -> list[dict[str, Any]]:
    """One step of an agent: a tool call, its result with the number, a sentence."""
    call = f"call_{rng.getrandbits(64):016x}"
    arguments = json.dumps({"order_id": f"#W{rng.randrange(10**7):07d}", "note": _text(rng, 60)})
    function = {"name": f"look_up_{number % 10}", "arguments": arguments}
    rows = [
        {
            "sku": f"{rng.randrange(10**10):010d}",
            "price": round(rng.uniform(5, 500), 2),
            "note": _text(rng, 80),
        }
        for _ in range(4)
    ]
    result = json.dumps({"case": _NUMBER, "customer": rng.choice(_NAMES), "items": rows})
    return [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call, "content": result},
        {"role": "assistant", "content": _text(rng, 220)},
        {"role": "user", "content": _text(rng, 140)},
    ]


def _tool(rng: random.Random, number: int) -> dict[str, Any]:
    names = rng.sample(_WORDS, 3)
    properties = {name: {"type": "string", "description": _text(rng, 60)} for name in names}
    parameters = {"type": "object", "properties": properties, "required": names[:1]}
    function = {"name": f"look_up_{number}", "description": _text(rng, 160), "parameters": parameters}
    return {"type": "function", "function": function}


def _text(rng: random.Random, length: int) -> str:
    words: list[str] = []
    size = 0
    while size < length:
        word = _word(rng)
        words.append(word)
        size += len(word) + 1
    return " ".join(words)[:length]


def _word(rng: random.Random) -> str:
    roll = rng.random()
    if roll > 0.03:
        return rng.choice(_WORDS)
    if roll > 0.02:
        return rng.choice(_NAMES)
    if roll > 0.01:
        return f"{rng.choice(_NAMES).split()[0].lower()}{rng.randrange(1000)}@example.org"
    return f"+1-555-{rng.randrange(1000):03d}-{rng.randrange(10_000):04d}"


def _fill(message: dict[str, str], length: Callable[[], int], target: int, rng: random.Random) -> None:
    """Make the last message as long as the size asks."""
    missing = target - length()
    if missing > 0:
        message["content"] += _text(rng, missing)


def _cut(request: dict[str, Any]) -> tuple[bytes, ...]:
    """Return the bytes of a request between the places where its number stands."""
    return tuple(_dump(request).split(_NUMBER.encode()))


def _length(request: dict[str, Any]) -> int:
    return len(_dump(request))


def _dump(request: dict[str, Any]) -> bytes:
    """Serialise as the official client does."""
    return json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()
