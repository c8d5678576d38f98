"""The kinds of candidates: their order, and which of them keep training texts word for word."""

from __future__ import annotations

LADDER = (
    "keep_llm",
    "cache",
    "template",
    "classifier",
    "extractive",
    "lora",
    "qlora",
    "full",
    "prompted",
    "cheaper",
)
"""Every kind of candidate, cheapest to run first."""

VERBATIM = frozenset({"cache", "template", "prompted"})
"""Kinds whose folders hold words of single training calls. Erasure takes such a specialist out at once."""


def kind_of(specialist: str) -> str:
    """Return the kind of a specialist by its id, which opens with it; "" where it opens with none."""
    kind = specialist.partition("-")[0]
    return kind if kind in LADDER else ""
