"""Keeps constrained decoding to the tokens that the tokenizer itself would cut a text into.

A constraint allows a text, and a text can be cut into tokens in many ways: ``thing`` as ``th`` and
``ing``, or letter by letter. Training only ever shows the tokenizer's own cut. A model that was led off
it, because ``t`` was the best of the allowed tokens where it had wanted to say something else, goes on
in a place that it has never seen.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from offramp.engine.constrain import Automaton, State

_REMEMBERED = 8192


class Canon:
    """Knows how a tokenizer cuts texts.

    Args:
        tokenizer: The tokenizer.
        bytes_of: The bytes of each of its tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, bytes_of: Sequence[bytes]) -> None:
        self._tokenizer = tokenizer
        self._bytes_of = bytes_of
        self._cut = lru_cache(_REMEMBERED)(self._fresh_cut)

    def keeps(
        self, automaton: Automaton, state: State, said: tuple[bytes, Sequence[int]], token: int
    ) -> bool:
        """Say whether the tokenizer, too, would put a token here, for some text that may follow.

        True as well where that cannot be known, because a value is free.

        Args:
            automaton: The constraint.
            state: The state behind the token.
            said: The text before it, and the last of its tokens: those that have to be the tokenizer's.
            token: The token.
        """
        before, tokens = said
        wanted = [*tokens, token]
        start = len(before) - sum(len(self._bytes_of[other]) for other in tokens)
        text = before + self._bytes_of[token]
        known = False
        for ahead in automaton.ahead(state):
            cut = self._cut(text + ahead)
            if start not in cut or self._agrees(cut, start, wanted):
                return True
            known = True
        return not known

    def _agrees(self, cut: dict[int, int], place: int, wanted: Sequence[int]) -> bool:
        for token in wanted:
            if cut.get(place) != token:
                return False
            place += len(self._bytes_of[token])
        return True

    def _fresh_cut(self, text: bytes) -> dict[int, int]:
        """Return the tokens of a text by the place they start at; empty where it cannot be told."""
        try:
            ids = self._tokenizer(text.decode(), add_special_tokens=False)["input_ids"]
        except UnicodeDecodeError:
            return {}
        starts: dict[int, int] = {}
        place = 0
        for token in ids:
            starts[place] = int(token)
            place += len(self._bytes_of[token])
        # A tokenizer that puts a space before every text does not cut this text but another one.
        return starts if place == len(text) else {}
