"""What aiohttp's own errors mean; the rest of the border is in ``errors``."""

from __future__ import annotations

import aiohttp
from aiohttp import client_exceptions as foreign

from offramp.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from offramp.upstream import errors

FOREIGN = (aiohttp.ClientError, OSError)
"""What aiohttp raises for trouble with the other side."""

# Every public error of aiohttp's client stands here by name, so that a test can see a new one arrive.
TRANSLATION: errors.Translation = {
    **errors.TRANSLATION,
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
