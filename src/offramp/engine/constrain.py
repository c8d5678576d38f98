"""Constrained decoding: which tokens keep a text a prefix of some valid answer.

The grammar is small (one tool call, or one flat JSON object of strings), so it is walked byte by byte
instead of through a general grammar library; ``tokens.py`` joins it to a tokenizer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from offramp.core.model import Constraint, ToolShape

_QUOTE, _BACKSLASH, _SPACES = ord('"'), ord("\\"), b" \t\n\r"
_ESCAPES = frozenset(b'"\\/bfnrt')
PLAIN = frozenset(range(0x20, 0x80)) - {_QUOTE, _BACKSLASH, 0x7F}
REACH = 16
"""Bytes of text that must be known behind a place before how the tokenizer cuts there is settled."""


@dataclass(frozen=True, slots=True)
class Literal:
    """Inside fixed text: what may still follow, and the state behind each way to go on.

    Attributes:
        ways: Pairs of the bytes still to come and where they lead; none is a prefix of another.
    """

    ways: tuple[tuple[bytes, Literal | Value | End | Open], ...]


@dataclass(frozen=True, slots=True)
class Open:
    """Behind ``name {``: the arguments of one tool begin."""

    tool: int


@dataclass(frozen=True, slots=True)
class Value:
    """Inside a JSON string.

    Attributes:
        tool: Index of the tool.
        used: Bit set of the arguments given so far, this one included.
        places: For a copied value, where in the source it may stand; None before its first byte.
        pending: For a free value, -1 behind a backslash, else UTF-8 continuation bytes to come.
    """

    tool: int
    used: int
    places: tuple[int, ...] | None = None
    pending: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """The answer is complete."""


State = Literal | Value | End | Open
END = End()


class Automaton:
    """Accepts exactly the answers that a constraint allows, byte by byte.

    Args:
        constraint: Tools, and the text to copy values from, if any. A copied value consists of whole words
            of it (a script without cases has no word borders to keep).

    Raises:
        EngineError: There is no tool, or a name cannot stand in an answer.
    """

    def __init__(self, constraint: Constraint) -> None:
        _check_tools(constraint.tools)
        self._tools = constraint.tools
        self._source = None if constraint.copy_from is None else _Source(constraint.copy_from)
        self.start: State = Literal(
            tuple(
                (f"{t.name} {{".encode() if t.name else b"{", Open(i)) for i, t in enumerate(constraint.tools)
            )
        )

    @property
    def copies(self) -> bool:
        """Whether values are copied from a source."""
        return self._source is not None

    def following(self, state: State) -> Iterable[int]:
        """Return the bytes that may come next (possibly with repetitions)."""
        state = self.resolve(state)
        if isinstance(state, Literal):
            return {rest[0] for rest, _ in state.ways}
        if isinstance(state, Value):
            return self._source.following(state.places) if self._source else _free_following(state)
        return ()

    def advance(self, state: State, byte: int) -> State | None:
        """Return the state behind one more byte, None where the byte is not allowed."""
        state = self.resolve(state)
        if isinstance(state, Literal):
            return _advance_literal(state, byte)
        if isinstance(state, Value):
            return self._advance_copied(state, byte) if self._source else self._advance_free(state, byte)
        return None

    def feed(self, state: State, text: bytes) -> State | None:
        """Return the state behind a run of bytes, None where it is not allowed."""
        current: State | None = state
        for byte in text:
            if current is None:
                return None
            current = self.advance(current, byte)
        return current

    def forced(self, state: State) -> bytes:
        """Return the text that every valid answer has next; empty where there is a choice."""
        text = b""
        while isinstance(state := self.resolve(state), Literal):
            text += _common_prefix([rest for rest, _ in state.ways])
            if len(state.ways) > 1:
                break
            state = state.ways[0][1]
        return text

    def ahead(self, state: State, reach: int = REACH) -> Iterator[bytes]:
        """Yield texts that may come next, each long enough to settle how the text before it is cut.

        A text ends with the answer, ``reach`` bytes on, or behind the word that a copied value is in. Where
        a value is free, nothing is known of what comes and nothing is yielded.
        """
        state = self.resolve(state)
        if isinstance(state, Literal):
            for rest, target in state.ways:
                if len(rest) >= reach:
                    yield rest
                else:
                    yield from (rest + after for after in self._ahead_of_target(target, reach - len(rest)))
        elif isinstance(state, Value):
            if self._source is not None:
                yield from self._ahead_in_copy(state, reach)
        else:
            yield b""

    def _ahead_of_target(self, target: State, reach: int) -> Iterator[bytes]:
        if not isinstance(target, Value):
            return self.ahead(target, reach)
        # What the value begins with is open. It matters to the quote before it where it is no letter.
        return iter((b"",)) if self._source is None else self._source.beginnings()

    def _ahead_in_copy(self, state: Value, reach: int) -> Iterator[bytes]:
        assert self._source is not None
        if self._source.closable(state.places):
            yield from (b'"' + after for after in self.ahead(self._close(state), reach))
        yield from (word + b'"' for word in self._source.words(state.places))

    def resolve(self, state: State) -> State:
        """Expand the start of an argument list into its literal ways."""
        if not isinstance(state, Open):
            return state
        keys = (
            range(len(self._tools[state.tool].arguments))
            if self._source is None or self._source.starts
            else ()
        )
        ways: list[tuple[bytes, State]] = [(b"}", END)]
        ways += [(self._key(state.tool, key), Value(state.tool, 1 << key)) for key in keys]
        return Literal(tuple(ways))

    def _key(self, tool: int, key: int) -> bytes:
        return f'{json.dumps(self._tools[tool].arguments[key], ensure_ascii=False)}:"'.encode()

    def _close(self, value: Value) -> Literal:
        ways: list[tuple[bytes, State]] = [(b"}", END)]
        ways += [
            (b"," + self._key(value.tool, key), Value(value.tool, value.used | 1 << key))
            for key in range(len(self._tools[value.tool].arguments))
            if not value.used >> key & 1
        ]
        return Literal(tuple(ways))

    def _advance_copied(self, state: Value, byte: int) -> State | None:
        assert self._source is not None
        if byte == _QUOTE and self._source.closable(state.places):
            return self._close(state)
        places = self._source.advance(state.places, byte)
        return Value(state.tool, state.used, places) if places else None

    def _advance_free(self, state: Value, byte: int) -> State | None:
        if state.pending == 0 and byte == _QUOTE:
            return self._close(state)
        if byte not in _free_following(state):
            return None
        if state.pending > 0:
            pending = state.pending - 1
        elif state.pending < 0:
            pending = 0
        else:
            pending = -1 if byte == _BACKSLASH else _continuation_bytes(byte)
        return Value(state.tool, state.used, None, pending)


class _Source:
    """The text values are copied from, in the escaped form it has inside a JSON string."""

    def __init__(self, text: str) -> None:
        text = text.rstrip()
        units = [json.dumps(char, ensure_ascii=False)[1:-1].encode("utf-8", "replace") for char in text]
        self._bytes = b"".join(units)
        edges = [0]
        for unit in units:
            edges.append(edges[-1] + len(unit))
        # A value begins and ends with a whole word or number, never with a space.
        whole = [not _splits(text, i) for i in range(len(text) + 1)]
        self.starts = tuple(edges[i] for i, char in enumerate(text) if whole[i] and not char.isspace())
        self._ordered_ends = [
            edges[i + 1] for i, char in enumerate(text) if whole[i + 1] and not char.isspace()
        ]
        self._ends = set(self._ordered_ends)

    def following(self, places: tuple[int, ...] | None) -> set[int]:
        here = self.starts if places is None else places
        found = {self._bytes[place] for place in here if place < len(self._bytes)}
        return found | {_QUOTE} if self.closable(places) else found

    def advance(self, places: tuple[int, ...] | None, byte: int) -> tuple[int, ...]:
        here = self.starts if places is None else places
        return tuple(place + 1 for place in here if place < len(self._bytes) and self._bytes[place] == byte)

    def closable(self, places: tuple[int, ...] | None) -> bool:
        return places is not None and any(place in self._ends for place in places)

    def beginnings(self) -> Iterator[bytes]:
        """Yield the beginnings of values that may be cut unlike one another: a word, and all that is none."""
        yield from self.words(self.starts[:1])
        yield from self.words(
            tuple(place for place in self.starts[1:] if not chr(self._bytes[place]).isalnum())
        )

    def words(self, places: tuple[int, ...] | None) -> Iterator[bytes]:
        """Yield the text from each place to the end of the word there, or of the next one."""
        for place in self.starts if places is None else places:
            end = next((end for end in self._ordered_ends if end > place), None)
            if end is not None:
                yield self._bytes[place:end]


def _splits(text: str, place: int) -> bool:
    """Say whether a cut before ``place`` parts two letters (of a script with cases) or two digits."""
    if not 0 < place < len(text):
        return False
    left, right = text[place - 1], text[place]
    return (left.isdigit() and right.isdigit()) or (_is_cased(left) and _is_cased(right))


def _is_cased(char: str) -> bool:
    return char.lower() != char.upper()


def _common_prefix(texts: Sequence[bytes]) -> bytes:
    low, high = min(texts), max(texts)
    end = next((i for i, byte in enumerate(low) if high[i] != byte), len(low))
    return low[:end]


def _check_tools(tools: Sequence[ToolShape]) -> None:
    names = [tool.name for tool in tools]
    if not names or len(set(names)) != len(names) or ("" in names and len(names) > 1):
        raise EngineError(f"A constraint needs distinct tool names, or one empty name for JSON; got {names}.")
    if bad := [name for name in names if any(char in '{"\n ' for char in name)]:
        raise EngineError(f"Tool names may hold no space, brace, quote or line break; got {bad}.")


def _advance_literal(state: Literal, byte: int) -> State | None:
    ways = tuple((rest[1:], target) for rest, target in state.ways if rest[0] == byte)
    if not ways:
        return None
    return ways[0][1] if not ways[0][0] else Literal(ways)


def _free_following(state: Value) -> frozenset[int]:
    if state.pending < 0:
        return _ESCAPES
    if state.pending > 0:
        return frozenset(range(0x80, 0xC0))
    return PLAIN | {_QUOTE, _BACKSLASH} | frozenset(range(0xC2, 0xF5))


def _continuation_bytes(lead: int) -> int:
    if lead < 0x80:
        return 0
    return 1 if lead < 0xE0 else 2 if lead < 0xF0 else 3
