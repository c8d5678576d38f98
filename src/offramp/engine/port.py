"""What every engine can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from offramp.core.model import Completion, EngineRequest


class Engine(Protocol):
    """One base with any number of adapters on it."""

    @property
    def context(self) -> int:
        """Tokens that a prompt and its completion may have together."""
        ...

    def count(self, prompt: str) -> int:
        """Return how many of those tokens a prompt takes, rendered; never fewer than it does take."""
        ...

    def load(self, adapter: str, path: Path) -> None:
        """Make an adapter directory (peft format) available under a name.

        Raises:
            EngineError: The directory is no adapter for this engine's base.
        """
        ...

    def complete(self, requests: Sequence[EngineRequest]) -> list[Completion]:
        """Generate greedily for all requests, in their order; adapters may be mixed.

        Raises:
            EngineError: A request names an adapter that is not loaded, or its prompt exceeds the
                context.
        """
        ...
