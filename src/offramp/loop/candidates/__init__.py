"""The kinds of candidates, one class each, in the order of `offramp.core.ladder.LADDER`."""

from __future__ import annotations

from types import MappingProxyType

from offramp.core.errors import BadInput
from offramp.core.ladder import LADDER
from offramp.loop.candidates.cache import Cache
from offramp.loop.candidates.candidate import Candidate
from offramp.loop.candidates.cheaper import Cheaper
from offramp.loop.candidates.classifier import Classifier
from offramp.loop.candidates.extractive import Extractive
from offramp.loop.candidates.keep import KeepLlm
from offramp.loop.candidates.lora import Lora
from offramp.loop.candidates.prompted import Prompted
from offramp.loop.candidates.template import Template
from offramp.loop.candidates.tuned import Full, Qlora

__all__ = ["CANDIDATES", "Candidate", "candidate_of"]

# A new kind: its name in the ladder, its file here, and its class in this list.
_ALL: tuple[Candidate, ...] = (
    KeepLlm(),
    Cache(),
    Template(),
    Classifier(),
    Extractive(),
    Lora(),
    Qlora(),
    Full(),
    Prompted(),
    Cheaper(),
)

CANDIDATES = MappingProxyType(
    {candidate.kind: candidate for candidate in sorted(_ALL, key=lambda one: LADDER.index(one.kind))}
)
"""Every kind by name, cheapest to run first."""


def candidate_of(kind: str) -> Candidate:
    """Return a kind by its name.

    Raises:
        BadInput: There is none of that name.
    """
    if kind not in CANDIDATES:
        raise BadInput(f"There is no kind of candidate {kind!r}.", hint=f"Known are {', '.join(CANDIDATES)}.")
    return CANDIDATES[kind]
