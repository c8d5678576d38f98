"""Opens the way to the teacher that a configuration needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from offramp.core.errors import BadSetting
from offramp.upstream.head import AUTHORIZATION
from offramp.upstream.pool import PooledUpstream

if TYPE_CHECKING:
    import ssl

    from offramp.upstream.port import Timeouts, Upstream

Client = Literal["pool", "aiohttp"]


def open_upstream(
    base_url: str,
    *,
    api_key: str | None = None,
    key_field: str = AUTHORIZATION,
    timeouts: Timeouts | None = None,
    client: Client = "pool",
    proxy: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> Upstream:
    """Open the way to a teacher; nothing is connected before the first request.

    Args:
        base_url: As clients write it: ``https://api.openai.com/v1``.
        api_key: Sent in place of the client's own credential; None passes the client's on.
        key_field: The field it goes in: ``authorization`` (as ``Bearer``) or another, as it is.
        timeouts: How long to wait.
        client: ``pool`` is offramp's own and several times cheaper per call; ``aiohttp`` knows proxies.
        proxy: URL of the HTTP proxy on the way; with one, the client is always aiohttp.
        tls: How to check the teacher's certificate; None trusts the system's authorities.

    Raises:
        BadSetting: The base URL, the key, the client or the proxy cannot work.
    """
    if client not in {"pool", "aiohttp"}:
        raise BadSetting(
            f"The client for the teacher is {client!r}; it is pool or aiohttp.",
            hint="Use pool, unless the teacher needs another.",
        )
    if proxy is None and client == "pool":
        return PooledUpstream(base_url, api_key=api_key, key_field=key_field, timeouts=timeouts, tls=tls)
    if proxy is not None:
        _check_proxy(proxy)
    # Its import takes time and memory that nobody needs who has no proxy.
    from offramp.upstream.openai import OpenAIUpstream  # noqa: PLC0415 - see above

    return OpenAIUpstream(
        base_url, api_key=api_key, key_field=key_field, timeouts=timeouts, proxy=proxy, tls=tls
    )


def _check_proxy(proxy: str) -> None:
    scheme, found, rest = proxy.partition("://")
    host = rest.rpartition("@")[2]
    if scheme not in {"http", "https"} or not found or not host.strip("/"):
        raise BadSetting(
            f"The proxy is {scheme + '://' if found else ''}{host}; it has to begin with http:// or https://.",
            hint="Write it as http://proxy.example:3128.",
        )
