"""An engine without a model, and a training run without training."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from offramp.core.errors import EngineError
from offramp.core.model import Completion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from offramp.core.json import JsonObject
    from offramp.core.model import EngineRequest, Example

    Rule = Callable[[EngineRequest], tuple[str, float]]

ADAPTER_FILE = "adapter_config.json"
CONTEXT = 4096
"""Characters of a prompt at most."""

_PIECE = re.compile(r"\S+\s*|\s+")


class RuleEngine:
    """Answers by a rule; implements the engine port.

    Args:
        rule: Gives the completion of a request, and its log-probability (natural, at most 0), which the
            first piece carries.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._adapters = {""}

    @property
    def context(self) -> int:
        """Its tokens are characters."""
        return CONTEXT

    def count(self, prompt: str) -> int:
        """Count characters."""
        return len(prompt)

    def load(self, adapter: str, path: Path) -> None:
        """Make a folder that `FakeTraining` wrote available under a name.

        Raises:
            EngineError: It wrote none there.
        """
        if not (path / ADAPTER_FILE).is_file():
            raise EngineError(f"{path} holds no adapter.", hint="Train it again: offramp convert.")
        self._adapters.add(adapter)

    def complete(self, requests: Sequence[EngineRequest]) -> list[Completion]:
        """Apply the rule to each request; a piece is a word with the spaces after it.

        Raises:
            EngineError: An adapter is not loaded, or a prompt is longer than `CONTEXT`.
        """
        return [self._completed(request) for request in requests]

    def _completed(self, request: EngineRequest) -> Completion:
        if request.adapter not in self._adapters:
            raise EngineError(f"Adapter {request.adapter!r} is not loaded.", hint="The call defers.")
        if len(request.prompt) > CONTEXT:
            raise EngineError(f"The prompt exceeds the context of {CONTEXT} characters.")
        text, logprob = self._rule(request)
        pieces = _PIECE.findall(text)
        kept = tuple(pieces[: request.max_tokens])
        logprobs = (logprob, *(0.0 for _ in kept[1:]))[: len(kept)]
        return Completion("".join(kept), logprobs, kept, finished=len(kept) == len(pieces))


class FakeTraining:
    """Writes a folder that looks like an adapter and counts how often it was asked to.

    Attributes:
        runs: Finished runs.
        trouble: Raised by the next run half-way, once; None where it is to finish.
    """

    def __init__(self, trouble: BaseException | None = None) -> None:
        self.runs = 0
        self.trouble = trouble

    def __call__(self, train: Sequence[Example], validation: Sequence[Example], out: Path) -> JsonObject:
        """Write the adapter, and return figures of the run."""
        out.mkdir(parents=True, exist_ok=True)
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            (out / "half").write_text("")
            raise trouble
        (out / ADAPTER_FILE).write_text(json.dumps({"r": 8}))
        self.runs += 1
        return {"examples": len(train), "validation": len(validation), "loss": 0.1}
