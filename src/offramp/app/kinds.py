"""Which kinds of candidates a night tries under some settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from offramp.core.errors import BadSetting, NotFound
from offramp.loop.candidates import CANDIDATES
from offramp.select import KINDS, load_catalogue

if TYPE_CHECKING:
    from offramp.config import Settings

ASKABLE = tuple(kind for kind in CANDIDATES if kind != "keep_llm")
"""Kinds that can be asked for; keeping the LLM is what remains where none of them is worth it."""


def kinds_of(settings: Settings) -> tuple[str, ...]:
    """Tell which kinds of candidates a night tries.

    Without a wish: the usual ones, a prompted model where the base is an instruct model of the catalogue or
    a server is named, and a cheaper model where one is named.

    Raises:
        BadSetting: A wished kind is none, or the wish names none at all.
    """
    if settings.train.kinds:
        return _wished(settings.train.kinds)
    prompted = settings.train.server or _is_instruct(Path(settings.train.base).name)
    return (
        *KINDS,
        *(("prompted",) if prompted else ()),
        *(("cheaper",) if settings.train.cheaper else ()),
    )


def _wished(text: str) -> tuple[str, ...]:
    wished = [kind.strip() for kind in text.split(",") if kind.strip()]
    unknown = [kind for kind in wished if kind not in ASKABLE]
    if unknown or not wished:
        named = ", ".join(map(repr, unknown)) or "nothing"
        raise BadSetting(
            f"The kinds of candidates to try name {named}; allowed are {', '.join(ASKABLE)}.",
            hint="Separate several by commas: --kinds cache,template.",
        )
    return tuple(kind for kind in ASKABLE if kind in wished)


def _is_instruct(name: str) -> bool:
    try:
        return load_catalogue().find(name).chat
    except NotFound:
        return False
