"""Where the teacher is: a base URL as clients write it, taken apart once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote

from yarl import URL

from offramp.core.errors import BadSetting

_SCHEMES = frozenset({"http", "https", "http+unix"})
_SOCKET = "http+unix"


@dataclass(frozen=True, slots=True)
class Origin:
    """The teacher's address.

    Attributes:
        base_url: As clients write it, ``/v1`` added where only a host was named; for messages.
        host: Host name (IDNA) or address, without brackets.
        port: TCP port.
        base_path: Path before every request's own: ``/v1``.
        authority: What the ``Host`` field says.
        tls: Whether to speak TLS.
        socket_path: Unix socket to connect to, "" for TCP.
    """

    base_url: str
    host: str
    port: int
    base_path: str
    authority: str
    tls: bool = False
    socket_path: str = ""

    @property
    def root(self) -> str:
        """The base URL as a client speaks it once it is connected; of a socket it names a host."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.base_path}"

    @classmethod
    def parse(cls, base_url: str) -> Self:
        """Take a base URL apart.

        Args:
            base_url: ``https://api.openai.com/v1``, ``http://[::1]:8000`` or, for a Unix socket,
                ``http+unix://%2Frun%2Fvllm.sock/v1``.

        Raises:
            BadSetting: It is none of these, or holds a password, a query or a fragment.
        """
        url = _parsed(base_url)
        full = base_url.rstrip("/") if url.path not in {"", "/"} else base_url.rstrip("/") + "/v1"
        base_path = (url.raw_path if url.path not in {"", "/"} else "/v1").rstrip("/")
        if url.scheme == _SOCKET:
            path = unquote(_host(base_url))
            return cls(full, "localhost", 80, base_path, "localhost", socket_path=path)
        host = url.raw_host or ""
        tls = url.scheme == "https"
        port = url.port or (443 if tls else 80)
        named = f"[{host}]" if ":" in host else host
        authority = named if port == (443 if tls else 80) else f"{named}:{port}"
        return cls(full, host, port, base_path, authority, tls=tls)


def _parsed(base_url: str) -> URL:
    try:
        # The path of a socket is no host name; what is left of the URL is parsed like any other.
        url = URL(base_url.replace(_host(base_url), "socket", 1) if _is_socket(base_url) else base_url)
        usable = bool(url.scheme in _SCHEMES and url.host and url.port != 0)
    except ValueError:
        url, usable = URL(), False
    if not usable or url.user or url.query_string or url.fragment:
        raise BadSetting(
            f"The teacher's base URL is {base_url.rpartition('@')[2]!r}; it has to begin with http:// or "
            "https://, name a host, and hold no password, query or fragment.",
            hint="Write it as clients do, with the version: https://api.openai.com/v1.",
        )
    return url


def _is_socket(base_url: str) -> bool:
    return base_url.lower().startswith(_SOCKET + "://%2f")


def _host(base_url: str) -> str:
    return base_url.partition("://")[2].partition("/")[0]
