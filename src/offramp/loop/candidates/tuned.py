"""The other ways to train a base: an adapter on four bits, and all of its weights."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from offramp.core.errors import OfframpError
from offramp.loop.candidates.lora import Lora
from offramp.plan.memory import weight_bytes
from offramp.train.gpu import require_gpu

if TYPE_CHECKING:
    from offramp.loop.candidates.running import Running, Site
    from offramp.loop.workshop import Brief, Workshop

TRAINED = 16
"""Bytes that training holds for each weight: itself, its gradient and two averages, in single precision."""

_GIB = 2**30


class Qlora(Lora):
    """An adapter trained on a base in four bits; served like any other adapter."""

    kind = "qlora"

    def can(self, brief: Brief, workshop: Workshop) -> str:
        """See `Candidate.can`."""
        if reason := super().can(brief, workshop):
            return reason
        try:
            require_gpu()
        except OfframpError as error:
            return str(error)
        return ""


class Full(Lora):
    """All weights of a base, trained; each specialist holds a copy of it."""

    kind = "full"
    effort = 0.15

    def can(self, brief: Brief, workshop: Workshop) -> str:
        """See `Candidate.can`; all of it has to fit the device."""
        if reason := super().can(brief, workshop):
            return reason
        site = workshop.site(brief.train) if workshop.site is not None else None
        if site is None or site.base is None:
            return ""
        needed = TRAINED * site.base.params
        if needed <= site.device.memory:
            return ""
        return (
            f"training all {site.base.params:,} weights of {site.base.name} holds {needed / _GIB:.0f} GiB, "
            f"{site.device.name} has {site.device.memory / _GIB:.0f}"
        )

    def running(self, site: Site) -> Running:
        """As for an adapter, but with a base of its own, which nobody shares."""
        running = super().running(site)
        own = weight_bytes(site.base) if site.base is not None else 0
        return replace(running, memory=running.memory + own)
