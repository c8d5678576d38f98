"""The one border where the errors of sockets, TLS and HTTP parsers become offramp's."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httptools

from offramp.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

Translation = dict[type[BaseException], type[UpstreamError]]
"""From foreign error classes to offramp's; a subclass means what its closest ancestor means."""

# Every public error of ssl and httptools stands here by name, so that a test can see a new one arrive.
TRANSLATION: Translation = {
    TimeoutError: UpstreamTimeout,
    OSError: UpstreamError,
    ssl.SSLError: UpstreamError,
    ssl.SSLCertVerificationError: UpstreamUnreachable,
    ssl.SSLEOFError: UpstreamError,
    ssl.SSLSyscallError: UpstreamError,
    ssl.SSLWantReadError: UpstreamError,
    ssl.SSLWantWriteError: UpstreamError,
    ssl.SSLZeroReturnError: UpstreamError,
    httptools.HttpParserError: UpstreamError,
    httptools.HttpParserCallbackError: UpstreamError,
    httptools.HttpParserInvalidMethodError: UpstreamError,
    httptools.HttpParserInvalidStatusError: UpstreamError,
    httptools.HttpParserInvalidURLError: UpstreamError,
    httptools.HttpParserUpgrade: UpstreamError,
}

CONNECTING = (OSError, UnicodeError)
"""What making a connection raises; a host name that no DNS can hold is a ``UnicodeError``."""


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

_CERTIFICATE = (
    "Check the teacher's base URL; if an authority of your own signed its certificate, name that "
    "authority's file in SSL_CERT_FILE."
)


class Violation(Exception):
    """What the teacher sent is HTTP in form, and not acceptable."""


PARSING = (httptools.HttpParserError, httptools.HttpParserUpgrade, Violation)
"""What reading a response raises."""


def translation_of(
    error: type[BaseException], table: Mapping[type[BaseException], type[UpstreamError]] = TRANSLATION
) -> type[UpstreamError] | None:
    """Return the offramp error for a foreign error class, None where it is not the upstream's doing."""
    for ancestor in error.__mro__:
        if ancestor in table:
            return table[ancestor]
    return None


def translate(
    error: Exception, url: str, table: Mapping[type[BaseException], type[UpstreamError]] = TRANSLATION
) -> UpstreamError:
    """Say a foreign error in offramp's words.

    Args:
        error: A class of the table, or derived from one.
        url: The teacher's base URL, for the message.
        table: Which foreign error means what.

    Returns:
        The error to raise, naming the teacher and the cause.
    """
    kind = translation_of(type(error), table) or UpstreamError
    return trouble(kind, url, _cause(error), hint=_hint(error))


def unreachable(error: Exception, url: str) -> UpstreamError:
    """Say why no connection could be made: whatever the cause, nothing was sent yet."""
    return trouble(UpstreamUnreachable, url, _cause(error), hint=_hint(error))


def trouble(kind: type[UpstreamError], url: str, cause: str, *, hint: str | None = None) -> UpstreamError:
    """Build the error for a cause: which teacher, what happened, what to do."""
    return kind(f"The teacher at {url} {_VERBS[kind]}: {cause}.", hint=hint or _HINTS[kind])


def _cause(error: Exception) -> str:
    if isinstance(error, httptools.HttpParserUpgrade):
        return "it switches to another protocol, which nobody asked for"
    if isinstance(error, httptools.HttpParserError):
        return f"what it sent is no HTTP ({str(error).rstrip('.') or type(error).__name__})"
    return str(error).rstrip(".") or type(error).__name__


def _hint(error: Exception) -> str | None:
    return _CERTIFICATE if isinstance(error, ssl.SSLCertVerificationError) else None
