"""A specialist's answer in the chat form; see :mod:`offramp.dialect`, which has every form."""

from __future__ import annotations

from offramp.dialect.chat import CHAT, completion_of

__all__ = ["beyond", "completion_of", "rendered"]

beyond = CHAT.beyond
rendered = CHAT.render
