"""The way to the teacher that the settings describe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.config import proxy_for
from offramp.core.errors import BadSetting
from offramp.upstream.opening import open_upstream
from offramp.upstream.port import Timeouts

if TYPE_CHECKING:
    from offramp.config import GatewaySettings
    from offramp.upstream.port import Upstream


def open_teacher(
    settings: GatewaySettings, url: str, key: str, *, key_field: str = "authorization"
) -> Upstream:
    """Open the way to a teacher; a proxy that the environment names is taken, never silently passed by.

    Args:
        settings: Client, proxy and patience.
        url: The teacher's base URL.
        key: Sent in place of the clients' own; "" passes theirs on.
        key_field: The header field it goes in.
    """
    return open_upstream(
        url,
        api_key=key or None,
        key_field=key_field,
        timeouts=Timeouts(silence=settings.timeout_s),
        client="aiohttp" if settings.client == "aiohttp" else "pool",
        proxy=settings.proxy or proxy_for(url) or None,
    )


def check_teachers(gateway: GatewaySettings) -> None:
    """Refuse a teacher that is this gateway: every call would go round until no connection is left.

    Raises:
        BadSetting: One of the teachers' URLs is the address to listen on.
    """
    for name in ("upstream", "anthropic"):
        url = getattr(gateway, name)
        if gateway.is_own(url):
            raise BadSetting(
                f"gateway.{name} is {url}, which is where offramp itself listens.",
                hint="Set it to the LLM's address, or listen on another port: --port.",
            )
