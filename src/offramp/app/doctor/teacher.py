"""Checks of the way to the teacher: address, reachability, proxies, clocks, and what the agents are told."""

from __future__ import annotations

import http.client
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from offramp.app.doctor.finding import Finding, failure, warning, well
from offramp.config import agent_environment, proxy_for

if TYPE_CHECKING:
    from offramp.config import Settings

_PROBE_S = 5.0
_CLOCK_S = 60.0


def upstream(settings: Settings) -> Finding:
    """Does the teacher answer at that address?"""
    return probed("teacher", settings.gateway.upstream, settings)


def anthropic(settings: Settings) -> Finding:
    """Does the teacher behind /v1/messages answer? Only a warning: most agents use one of the two."""
    found = probed("teacher (Anthropic)", settings.gateway.anthropic, settings)
    return found if found.ok else warning(found.name, found.found, found.hint + " Fine where nobody uses it.")


def probed(name: str, url: str, settings: Settings) -> Finding:
    """Ask for the models without a key: any answer of an API will do, 401 included."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return failure(name, f"{url!r} is no http or https URL", "Set [gateway] upstream.")
    if settings.gateway.is_own(url):
        return failure(
            name,
            f"{url} is offramp itself: calls would go round in circles",
            "Set [gateway] upstream to the LLM's address.",
        )
    if settings.gateway.proxy or proxy_for(url):
        return well(name, f"{url} is reached through a proxy, and not asked")
    path = (parts.path.rstrip("/") or "/v1") + "/models"
    try:
        status, ahead = _get(parts, path)
    except (OSError, http.client.HTTPException) as error:
        return _unreached(name, url, error)
    return _answered(name, url, path, status, ahead)


def _unreached(name: str, url: str, error: Exception) -> Finding:
    if isinstance(error, ssl.SSLError):
        return failure(
            name, f"{url}: TLS failed ({error.reason})", "Check the certificate and who signed it."
        )
    cause = str(error) or type(error).__name__
    return failure(name, f"{url} cannot be reached ({cause})", "Check address, DNS and firewall.")


def _answered(name: str, url: str, path: str, status: int, ahead: float) -> Finding:
    if status == 404:
        return warning(
            name, f"{url} answers, and knows no {path}", "Check the version in the base URL: most end in /v1."
        )
    if abs(ahead) > _CLOCK_S:
        return warning(
            name, f"{url} answers; its clock is {ahead:+.0f} s ahead", "Synchronise this machine's clock."
        )
    return well(name, f"{url} answers ({status} without a key)")


def _get(parts: SplitResult, path: str) -> tuple[int, float]:
    """Return the status, and by how many seconds the other clock is ahead."""
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    assert parts.hostname is not None
    connection = kind(parts.hostname, parts.port, timeout=_PROBE_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read(1 << 16)
        date = response.getheader("date")
    finally:
        connection.close()
    try:
        ahead = parsedate_to_datetime(date).timestamp() - time.time() if date else 0.0
    except ValueError:
        ahead = 0.0
    return response.status, ahead


def agents(settings: Settings) -> Finding:
    """Are this shell's agents sent here?"""
    own = f"http://{settings.gateway.host}:{settings.gateway.port}"
    told = agent_environment().openai_base_url
    if not told:
        return warning(
            "agents", "OPENAI_BASE_URL is not set in this shell", f"For the agents: OPENAI_BASE_URL={own}/v1."
        )
    if not settings.gateway.is_own(told):
        return warning("agents", f"OPENAI_BASE_URL is {told}, not offramp", f"Set it to {own}/v1.")
    if urlsplit(told).path.rstrip("/") != "/v1":
        return warning("agents", f"OPENAI_BASE_URL is {told}, which lacks /v1", f"Set it to {own}/v1.")
    return well("agents", f"OPENAI_BASE_URL is {told}")


def proxy(settings: Settings) -> Finding:
    """Is a proxy in the way, or missing?"""
    chosen, told = settings.gateway.proxy, proxy_for(settings.gateway.upstream)
    if chosen:
        return well("proxy", f"{_without_password(chosen)} ([gateway] proxy)")
    if told:
        return well("proxy", f"{_without_password(told)} (from the environment)")
    own = proxy_for(f"http://{settings.gateway.host}:{settings.gateway.port}")
    if own:
        return warning(
            "proxy",
            f"this shell's clients reach offramp through {_without_password(own)}",
            f"Add {settings.gateway.host} to NO_PROXY.",
        )
    return well("proxy", "none")


def _without_password(url: str) -> str:
    return url.rpartition("@")[2]
