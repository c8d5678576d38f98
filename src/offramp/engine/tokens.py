"""What a tokenizer's tokens stand for, and which of them a constraint allows next."""

from __future__ import annotations

import json
from bisect import bisect_left
from typing import TYPE_CHECKING

from offramp.core.errors import EngineError
from offramp.engine.constrain import PLAIN, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from offramp.engine.constrain import Automaton, State


class TokenTable:
    """The bytes of every token, sorted, so that a state's tokens are found by narrowing ranges.

    Args:
        tokenizer: Any byte-level or byte-fallback tokenizer.

    Raises:
        EngineError: The tokenizer's tokens do not stand for bytes.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.bytes_of = token_bytes(tokenizer)
        known = sorted((text, index) for index, text in enumerate(self.bytes_of) if text)
        self._texts = [text for text, _ in known]
        self._ids = [index for _, index in known]
        self._plain = [i for i, text in enumerate(self.bytes_of) if text and PLAIN.issuperset(text)]
        self._special = [i for i, text in enumerate(self.bytes_of) if text and not PLAIN.issuperset(text)]

    def allowed(self, automaton: Automaton, state: State) -> list[int]:
        """Return the ids of all tokens that may come next."""
        if isinstance(state, Value) and not automaton.copies:
            return self._allowed_free(automaton, state)
        found: list[int] = []
        stack: list[tuple[State, bytes, int, int]] = [(state, b"", 0, len(self._texts))]
        while stack:
            here, prefix, low, high = stack.pop()
            while prefix and low < high and len(self._texts[low]) == len(prefix):
                found.append(self._ids[low])
                low += 1
            if low == high:
                continue
            for byte in automaton.following(here):
                longer = prefix + bytes((byte,))
                left = bisect_left(self._texts, longer, low, high)
                right = (
                    bisect_left(self._texts, prefix + bytes((byte + 1,)), left, high) if byte < 255 else high
                )
                after = automaton.advance(here, byte) if left < right else None
                if after is not None:
                    stack.append((after, longer, left, right))
        return found

    def _allowed_free(self, automaton: Automaton, state: Value) -> list[int]:
        """Check only tokens with quotes, escapes or bytes beyond ASCII; the plain rest always fits."""
        special = [i for i in self._special if automaton.feed(state, self.bytes_of[i]) is not None]
        if state.pending == 0:
            return self._plain + special
        return special + [i for i in self._plain if automaton.feed(state, self.bytes_of[i]) is not None]


def token_bytes(tokenizer: PreTrainedTokenizerBase) -> list[bytes]:
    """Return the bytes each token stands for, by id; empty for special tokens.

    Raises:
        EngineError: The tokenizer is neither byte-level nor byte-fallback.
    """
    decoder = json.dumps(json.loads(tokenizer.backend_tokenizer.to_str())["decoder"])
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    tokens: Sequence[str | None] = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    if '"ByteLevel"' in decoder:
        table = _byte_alphabet()
        return [
            b"" if i in special or token is None else bytes(table[char] for char in token)
            for i, token in enumerate(tokens)
        ]
    if '"ByteFallback"' in decoder:
        return [
            b"" if i in special or token is None else _fallback_bytes(token) for i, token in enumerate(tokens)
        ]
    raise EngineError(
        f"The tokenizer of {tokenizer.name_or_path!r} is neither byte-level nor byte-fallback; "
        "constrained decoding needs one of these.",
        hint="Take a base of the Qwen, Llama, SmolLM, Phi or Mistral families.",
    )


def _fallback_bytes(token: str) -> bytes:
    if len(token) == 6 and token.startswith("<0x"):
        return bytes((int(token[3:5], 16),))
    return token.replace("\u2581", " ").encode()


def _byte_alphabet() -> dict[str, int]:
    """Invert GPT-2's map from bytes to printable characters."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + index): byte for index, byte in enumerate(rest)}
