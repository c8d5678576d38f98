"""The formats there are, and which one a row has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.interchange.chat import Chat
from offramp.interchange.genai import GenAI
from offramp.interchange.langfuse import Langfuse
from offramp.interchange.litellm import LiteLLM
from offramp.interchange.pairs import Pairs

if TYPE_CHECKING:
    from offramp.core.json import JsonObject
    from offramp.interchange.port import Format

FORMATS: tuple[Format, ...] = (LiteLLM(), GenAI(), Langfuse(), Pairs(), Chat())
"""Most telling first: a row is of the first format that recognises it."""


def format_named(name: str) -> Format:
    """Return the format of that name.

    Raises:
        BadInput: There is none.
    """
    for known in FORMATS:
        if known.name == name:
            return known
    names = ", ".join(sorted(known.name for known in FORMATS))
    raise BadInput(f"There is no format {name!r}.", hint=f"Formats: {names}.")


def format_of(row: JsonObject) -> Format | None:
    """Return the format that recognises a row, None where none does."""
    return next((known for known in FORMATS if known.recognises(row)), None)
