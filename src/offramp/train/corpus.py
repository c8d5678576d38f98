"""Generated text for the nano base: short requests and the compact answer to each.

Two data files hold the language (``assets/nano/words.txt``, ``assets/nano/grammar.txt``); this module
expands them with one seeded generator. Every argument value is a span of its request, so what a
model can learn here is to choose a tool by meaning and to *copy* spans, made-up words included.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.engine.nano import NANO_BASE
from offramp.train.values import Values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from random import Random

_OPENERS = ("please ", "can you ", "could you ", "i want you to ", "hey ", "ok ", "so ", "just ",
            "i need you to ", "would you ", "hi can you ", "um ", "now ", "let's ")  # fmt: skip
_CLOSERS = (
    " please",
    " thanks",
    " for me",
    " now",
    " thank you",
    " if you can",
    " right away",
    " ok",
    " would you",
)


@dataclass(frozen=True, slots=True)
class Document:
    """One generated pair: what the user says, what the model is to answer."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a template: the argument it fills and the type of words that may stand there."""

    argument: str
    type: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several ways to go on."""

    options: tuple[tuple[Node, ...], ...]


Node = str | Slot | Choice


@dataclass(frozen=True, slots=True)
class Intent:
    """One tool: its domain, its action, and the template that words a request for it."""

    domain: str
    hints: tuple[str, ...]
    action: str
    template: tuple[Node, ...]


def parse_template(text: str) -> tuple[Node, ...]:
    """Parse ``[optional]``, ``(this|that)`` and ``{argument=type}`` into nodes."""
    nodes, rest = _parse_options(text, "")
    if rest:
        msg = f"unbalanced brackets in template {text!r}"
        raise ValueError(msg)
    return nodes[0] if len(nodes) == 1 else (Choice(nodes),)


def _parse_options(text: str, closer: str) -> tuple[tuple[tuple[Node, ...], ...], str]:
    options: list[tuple[Node, ...]] = []
    current: list[Node] = []
    while text:
        char, text = text[0], text[1:]
        if char == closer:
            break
        if char == "|":
            options.append(tuple(current))
            current = []
        elif char in "[(":
            inner, text = _parse_options(text, "]" if char == "[" else ")")
            current.append(Choice((*inner, ()) if char == "[" else inner))
        elif char == "{":
            body, _, text = text.partition("}")
            argument, _, kind = body.partition("=")
            current.append(Slot(argument, kind or argument))
        else:
            plain = re.match(r"[^\[\](){}|]*", text)
            end = plain.end() if plain else 0
            current.append(char + text[:end])
            text = text[end:]
    return (*options, tuple(current)), text


def read_grammar(path: Path = NANO_BASE / "grammar.txt") -> tuple[Intent, ...]:
    """Read the intents: domain lines ``@domain: hint, hint`` and template lines ``action: template``."""
    intents: list[Intent] = []
    domain = ""
    hints: tuple[str, ...] = ()
    for line in path.read_text(encoding="utf-8").splitlines():
        head, _, body = line.partition(": ")
        if head.startswith("@"):
            domain = head[1:]
            hints = (*body.split(", "),)
        elif body and not head.startswith("#"):
            intents.append(Intent(domain, hints, head, parse_template(body)))
    return tuple(intents)


class Corpus:
    """An endless, seeded stream of documents.

    Args:
        rng: The only source of chance; the same state gives the same documents.
        lexicon: Words that values may be made of beside those of the word lists.
    """

    def __init__(self, rng: Random, lexicon: Sequence[str] = ()) -> None:
        self._rng = rng
        self._values = Values(rng, lexicon)
        self._intents = read_grammar()

    def __iter__(self) -> Iterator[Document]:
        while True:
            form = self._rng.random()
            if form < 0.70:
                yield self._tool_call()
            elif form < 0.84:
                yield self._extraction()
            else:
                yield self._record()

    def _tool_call(self) -> Document:
        intent = self._rng.choice(self._intents)
        text, arguments = self._say(intent)
        # The hint's form decides the naming convention, so that the name can be known from the prompt.
        style = self._rng.random()
        if style < 0.6:
            hint, name = intent.domain, f"{intent.domain}_{intent.action}"
        elif style < 0.8:
            hint, name = self._rng.choice(intent.hints), f"{intent.action}_{intent.domain}"
        else:
            hint, name = f"{intent.domain} requests", intent.action
        return Document(f"{hint}: {text}", f"{name} {_compact(arguments)}")

    def _extraction(self) -> Document:
        while True:
            text, arguments = self._say(self._rng.choice(self._intents))
            if arguments:
                break
        asked = [key for key in arguments if self._rng.random() < 0.8] or list(arguments)
        shown = self._rng.sample(asked, len(asked))
        return Document(
            f"extract {', '.join(shown)}: {text}", _compact({key: arguments[key] for key in asked})
        )

    def _record(self) -> Document:
        rng, values = self._rng, self._values
        joiner, mark = (
            rng.choice((", ", "; ", " and ", " . ", " ")),
            rng.choice((" is ", ": ", " ", " = ", " of ")),
        )
        pairs: dict[str, str] = {}
        for _ in range(rng.randint(1, 4)):
            key = " ".join(values.any_word() for _ in range(rng.choice((1, 1, 2))))
            kind = rng.choice(
                ("time", "date", "number", "place", "person", "phrase", "id", "money", "product", "message")
            )
            pairs[key] = (
                values.draw(kind)
                if rng.random() < 0.6
                else " ".join(values.any_word() for _ in range(rng.randint(1, 5)))
            )
        text = joiner.join(f"{key}{mark}{value}" for key, value in pairs.items())
        name = f"{values.any_word()}_{values.any_word()}"
        body = _compact({key.replace(" ", "_"): value for key, value in pairs.items()})
        return (
            Document(f"{name}: {text}", f"{name} {body}")
            if rng.random() < 0.5
            else Document(f"fields: {text}", body)
        )

    def _say(self, intent: Intent) -> tuple[str, dict[str, str]]:
        """Word a request; return it with its arguments in the order of mention."""
        rng = self._rng
        while True:
            pieces = [*self._expand(intent.template)]
            slots = [piece for piece in pieces if isinstance(piece, tuple)]
            if len({argument for argument, _ in slots}) == len(slots):
                break
        if rng.random() < 0.15:
            pieces = self._disturb(pieces)
        plain = [piece if isinstance(piece, str) else piece[1] for piece in pieces]
        case = rng.random()
        if case > 0.93:
            plain = [
                piece.title() if isinstance(source, tuple) else piece
                for piece, source in zip(plain, pieces, strict=True)
            ]
        arguments = {p[0]: text for p, text in zip(pieces, plain, strict=True) if isinstance(p, tuple)}
        text = " ".join("".join(plain).split())
        if rng.random() < 0.25:
            text = rng.choice(_OPENERS) + text
        if rng.random() < 0.15:
            text += rng.choice(_CLOSERS)
        if case > 0.8:
            text = (
                text[0].upper() + text[1:]
                if text and not any(text.startswith(v) for v in arguments.values())
                else text
            )
        if rng.random() < 0.15:
            text += rng.choice((".", "?", "!", ""))
        return text, arguments

    def _disturb(self, pieces: list[str | tuple[str, str]]) -> list[str | tuple[str, str]]:
        """Put a stray word into the plain text, or lose one of its words: people do both."""
        index = self._rng.randrange(len(pieces))
        piece = pieces[index]
        if isinstance(piece, tuple):
            return pieces
        words = piece.split(" ")
        place = self._rng.randrange(len(words))
        if self._rng.random() < 0.5:
            words.insert(place, self._values.any_word())
        elif words[place] and len(words) > 2:
            del words[place]
        return [*pieces[:index], " ".join(words), *pieces[index + 1 :]]

    def _expand(self, nodes: tuple[Node, ...]) -> Iterator[str | tuple[str, str]]:
        for node in nodes:
            if isinstance(node, str):
                yield node
            elif isinstance(node, Slot):
                yield (node.argument, self._values.draw(node.type))
            else:
                yield from self._expand(self._rng.choice(node.options))


def _compact(value: dict[str, str]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
