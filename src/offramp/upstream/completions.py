"""Chat completions on the wire, for the replay teacher; see :mod:`offramp.dialect.chat`."""

from __future__ import annotations

from offramp.dialect.chat import estimate_usage, events_of, filled_in
from offramp.dialect.codec import DONE, encode, event

__all__ = ["DONE", "encode", "estimate_usage", "event", "events_of", "filled_in"]
