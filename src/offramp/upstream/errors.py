"""The one border where aiohttp's errors become offramp's."""

from __future__ import annotations

import aiohttp
from aiohttp import client_exceptions as foreign

from offramp.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable

FOREIGN = (aiohttp.ClientError, OSError)
"""What aiohttp raises for trouble with the other side."""

# Every public error of aiohttp's client stands here by name, so that a test can see a new one arrive.
_TRANSLATION: dict[type[BaseException], type[UpstreamError]] = {
    TimeoutError: UpstreamTimeout,
    OSError: UpstreamError,
    aiohttp.ClientError: UpstreamError,
    aiohttp.ClientConnectionError: UpstreamError,
    aiohttp.ClientConnectionResetError: UpstreamError,
    aiohttp.ClientOSError: UpstreamError,
    aiohttp.ClientPayloadError: UpstreamError,
    aiohttp.ClientResponseError: UpstreamError,
    aiohttp.ContentTypeError: UpstreamError,
    aiohttp.ServerConnectionError: UpstreamError,
    aiohttp.ServerDisconnectedError: UpstreamError,
    aiohttp.ServerFingerprintMismatch: UpstreamError,
    aiohttp.TooManyRedirects: UpstreamError,
    aiohttp.WSServerHandshakeError: UpstreamError,
    foreign.UploadAbortedError: UpstreamError,
    foreign.RedirectClientError: UpstreamError,
    foreign.InvalidUrlRedirectClientError: UpstreamError,
    foreign.NonHttpUrlRedirectClientError: UpstreamError,
    aiohttp.ServerTimeoutError: UpstreamTimeout,
    aiohttp.SocketTimeoutError: UpstreamTimeout,
    aiohttp.ConnectionTimeoutError: UpstreamUnreachable,
    aiohttp.ClientConnectorError: UpstreamUnreachable,
    aiohttp.ClientConnectorDNSError: UpstreamUnreachable,
    aiohttp.ClientConnectorSSLError: UpstreamUnreachable,
    aiohttp.ClientConnectorCertificateError: UpstreamUnreachable,
    aiohttp.ClientSSLError: UpstreamUnreachable,
    aiohttp.ClientProxyConnectionError: UpstreamUnreachable,
    aiohttp.ClientHttpProxyError: UpstreamUnreachable,
    foreign.UnixClientConnectorError: UpstreamUnreachable,
    aiohttp.InvalidURL: UpstreamUnreachable,
    aiohttp.InvalidUrlClientError: UpstreamUnreachable,
    aiohttp.NonHttpUrlClientError: UpstreamUnreachable,
}

_VERBS: dict[type[UpstreamError], str] = {
    UpstreamUnreachable: "cannot be reached",
    UpstreamTimeout: "did not answer in time",
    UpstreamError: "broke off",
}

_HINTS: dict[type[UpstreamError], str] = {
    UpstreamUnreachable: "Check the teacher's base URL and that it is up.",
    UpstreamTimeout: "Raise the teacher's timeout, or ask for a shorter answer.",
    UpstreamError: "Ask again; if it lasts, see the teacher's own log or status page.",
}


def translation_of(error: type[BaseException]) -> type[UpstreamError] | None:
    """Return the offramp error for a foreign error class, None where it is not the upstream's doing."""
    for ancestor in error.__mro__:
        if ancestor in _TRANSLATION:
            return _TRANSLATION[ancestor]
    return None


def translate(error: Exception, url: str) -> UpstreamError:
    """Say a foreign error in offramp's words.

    Args:
        error: One of :data:`FOREIGN`.
        url: The teacher's base URL, for the message.

    Returns:
        The error to raise, naming the teacher and the cause.
    """
    kind = translation_of(type(error)) or UpstreamError
    cause = str(error).rstrip(".") or type(error).__name__
    return kind(f"The teacher at {url} {_VERBS[kind]}: {cause}.", hint=_HINTS[kind])
