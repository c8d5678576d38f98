"""What the environment tells besides the settings: the agents' own variables, and proxies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class AgentEnvironment:
    """The variables that OpenAI's and Anthropic's clients read.

    Attributes:
        openai_base_url: Where OpenAI's client sends calls, "" where it is not told.
        anthropic_base_url: The same for Anthropic's.
        has_key: Whether either has a key.
    """

    openai_base_url: str
    anthropic_base_url: str
    has_key: bool


def agent_environment(environ: Mapping[str, str] | None = None) -> AgentEnvironment:
    """Read the agents' variables; of keys only that they are there."""
    known = os.environ if environ is None else environ
    return AgentEnvironment(
        openai_base_url=known.get("OPENAI_BASE_URL", ""),
        anthropic_base_url=known.get("ANTHROPIC_BASE_URL", ""),
        has_key=bool(known.get("OPENAI_API_KEY") or known.get("ANTHROPIC_API_KEY")),
    )


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with some variables set, for a child that is to have them."""
    return {**os.environ, **extra}


def proxy_for(url: str) -> str:
    """Return the proxy that the environment names for a URL (``HTTPS_PROXY``, ``NO_PROXY``), "" for none."""
    parts = urlsplit(url)
    proxies = getproxies_environment()
    if not parts.hostname or proxy_bypass(parts.hostname):
        return ""
    return proxies.get(parts.scheme, "") or proxies.get("all", "")
