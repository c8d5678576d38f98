"""Requests as agents send them: 2 KB and 32 KB, no two alike.

Every request differs from every other one (its number stands in the first user message, in a tool result and
in the last message), conversations and agents differ from each other, and what an agent repeats in real
traffic (its system prompt and tools) repeats here too. Texts hold names, mail addresses, order numbers and
phone numbers, so that a gateway that masks them has something to do.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

AGENTS = 8
CONVERSATIONS = 64
"""Different conversations; each is sent many times, with another number in it each time."""

SIZES = {"2k": 2_048, "32k": 32_768}

_NUMBER = "000000000000"
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
    """

    pieces: tuple[bytes, ...]

    def body(self, number: int) -> bytes:
        """Return the body of one request; its length does not depend on the number."""
        return (b"%012d" % (number % 10**12)).join(self.pieces)


def templates(size: str, model: str, *, stream: bool) -> list[Template]:
    """Return one template per conversation.

    Args:
        size: A key of :data:`SIZES`.
        model: Model name in the request.
        stream: Whether the answer is to be streamed.
    """
    return [_template(size, model, conversation, stream=stream) for conversation in range(CONVERSATIONS)]


def _template(size: str, model: str, conversation: int, *, stream: bool) -> Template:
    rng, agent = random.Random(conversation), random.Random(conversation % AGENTS)
    large = size == "32k"
    request: dict[str, Any] = {
        "messages": [{"role": "system", "content": _text(agent, 2_400 if large else 420)}],
        "model": model,
        "temperature": 0.2,
        "tools": [_tool(agent, number) for number in range(10 if large else 1)],
    }
    if stream:
        request["stream"] = True
    messages = request["messages"]
    messages.append({"role": "user", "content": f"Case {_NUMBER}: {_text(rng, 120)}"})
    while large and _length(request) < SIZES[size] - 900:
        messages.extend(_turn(rng, len(messages)))
    last = {"role": "user", "content": f"Go on with case {_NUMBER}. "}
    messages.append(last)
    _fill(last, lambda: _length(request), SIZES[size], rng)
    return Template(tuple(_dump(request).split(_NUMBER.encode())))


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


def _length(request: dict[str, Any]) -> int:
    return len(_dump(request))


def _dump(request: dict[str, Any]) -> bytes:
    """Serialise as the official client does."""
    return json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()
