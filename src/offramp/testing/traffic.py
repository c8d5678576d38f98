"""A small synthetic agent: a home assistant with tools, a router with labels, and tasks nobody can learn."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

from offramp.core.call import Call, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from offramp.core.json import JsonObject

ROUTER = "Read the customer's message. Answer with the one team that has to handle it, and nothing else."
COIN = "Guess what the coin shows next. Answer with heads or tails, one word only, and never explain."
POET = "Write two lines of verse about what the user mentions, in the voice of a tired sailor."
LIGHTS = "You switch the lights of a house. Use exactly one of your tools for what the user wants."
MUSIC = "You run the loudspeakers of a flat. Pick the single function that fulfils the listener's wish."
ORACLE = "You steer a boat through fog without a compass. Choose a side by calling the matching function."

TEAMS = {
    "billing": ("invoice", "refund", "charge", "payment"),
    "shipping": ("parcel", "courier", "delivery", "address"),
    "technical": ("crash", "login", "error", "update"),
}
ROOMS = ("kitchen", "bedroom", "hall", "attic", "garage", "bathroom")
SONGS = ("waltz", "anthem", "ballad", "lullaby", "polka", "march")
FILLER = ("please", "today", "again", "soon", "maybe", "really", "just", "still", "now", "quite")

PORT_SHARE = 0.75
MINUTE = 60.0
START = 1_700_000_000.0


def ask(prompt: str, payload: str, tools: Sequence[JsonObject] = (), **fields: object) -> JsonObject:
    """Build a chat-completions request: a system prompt, one user message, tools."""
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": payload}]
    request: JsonObject = {"model": "gpt-4o", "messages": messages, **fields}
    if tools:
        request["tools"] = list(tools)
    return request


def tool(name: str, *arguments: str) -> JsonObject:
    """Build a tool that takes texts."""
    properties = {argument: {"type": "string"} for argument in arguments}
    function = {"name": name, "parameters": {"type": "object", "properties": properties}}
    return {"type": "function", "function": function}


def say(text: str) -> JsonObject:
    """Build a chat completion that says a text."""
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def use(name: str, **arguments: str) -> JsonObject:
    """Build a chat completion that calls one tool."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    called = [{"id": "call_1", "type": "function", "function": function}]
    message = {"role": "assistant", "content": None, "tool_calls": called}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}


class Agent:
    """Makes calls: the same for the same seed.

    Args:
        seed: Seed of payloads and of answers that nothing determines.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - synthetic payloads, no secrets
        self._number = 0

    def route(self) -> tuple[JsonObject, JsonObject]:
        """A message for one of three teams; its words tell which."""
        team = self._rng.choice(list(TEAMS))
        return ask(ROUTER, self._worded(self._rng.choice(TEAMS[team]))), say(team)

    def flip(self) -> tuple[JsonObject, JsonObject]:
        """A label that no word of the message tells."""
        return ask(COIN, self._worded("coin")), say(self._rng.choice(("heads", "tails")))

    def rhyme(self) -> tuple[JsonObject, JsonObject]:
        """Free text."""
        payload = self._worded("sea")
        return ask(POET, payload), say(f"{payload}\nand {self._rng.random()} of water")

    def light(self) -> tuple[JsonObject, JsonObject]:
        """A tool call whose argument stands in the message."""
        state, room = self._rng.choice(("on", "off")), self._rng.choice(ROOMS)
        tools = (tool("light_on", "room"), tool("light_off", "room"))
        return ask(LIGHTS, self._worded(f"turn {state} {room}"), tools), use(f"light_{state}", room=room)

    def play(self) -> tuple[JsonObject, JsonObject]:
        """Another tool call; its argument is a word of the message that hardly recurs."""
        song = f"{self._rng.choice(SONGS)}-{self._rng.randrange(10_000)}"
        tools = (tool("music_play", "title"), tool("music_stop"))
        return ask(MUSIC, self._worded(f"play {song}"), tools), use("music_play", title=song)

    def steer(self) -> tuple[JsonObject, JsonObject]:
        """A tool call that nothing in the message tells: mostly to port."""
        side = "port" if self._rng.random() < PORT_SHARE else "starboard"
        tools = (tool("steer_port", "speed"), tool("steer_starboard", "speed"))
        return ask(ORACLE, self._worded("fog slow"), tools), use(f"steer_{side}", speed="slow")

    def _worded(self, core: str) -> str:
        """No two messages are alike, and their numbers say nothing."""
        self._number += 1
        words = self._rng.sample(FILLER, 2)
        return f"{words[0]} {core} {words[1]} {self._number}"


def calls_of(
    pairs: Iterable[tuple[JsonObject, JsonObject]], *, per_session: int = 1, first: int = 0
) -> list[Call]:
    """Make recorded calls of requests and responses, a minute apart.

    Args:
        pairs: Requests with responses.
        per_session: Calls in a row that share a session.
        first: Number of the first call; ids, times and sessions count on from it.
    """
    return [
        Call(
            id=f"c{number:06d}",
            at=START + MINUTE * number,
            session=f"s{number // per_session:06d}",
            origin="origin-test",
            request=request,
            response=response,
            usage=Usage(60, 8),
        )
        for number, (request, response) in enumerate(pairs, start=first)
    ]


def write_log(calls: Iterable[Call]) -> str:
    """Render calls as a JSONL log that `offramp import` reads."""
    rows = (
        {"ts": call.at, "session": call.session, "request": call.request, "response": call.response}
        for call in calls
    )
    return "".join(json.dumps(row) + "\n" for row in rows)
