"""Errors of the gateway's own, in the form that the client's library knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.dialect.codec import encode

if TYPE_CHECKING:
    from offramp.dialect import Form
    from offramp.gateway.wire import Refusal
    from offramp.upstream.port import Headers

_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "api_error",
}
_REFUSED = "invalid_request_error"
_CODES = {401: "invalid_api_key", 403: "forbidden", 429: "rate_limit_exceeded"}
_WHO = (b"www-authenticate", b'Bearer realm="offramp"')


@dataclass(frozen=True, slots=True)
class Problem:
    """Why the gateway itself answers with an error.

    Attributes:
        status: HTTP status.
        message: What happened and what to do.
        code: A word programs can compare.
        retry_after: Seconds until another try can succeed; 0 says nothing of it.
    """

    status: int
    message: str
    code: str
    retry_after: int = 0


def refused(refusal: Refusal) -> Problem:
    """Say what a guard refused."""
    code = _CODES.get(refusal.status, "refused")
    return Problem(refusal.status, refusal.message, code, refusal.retry_after)


def told(problem: Problem, form: Form) -> tuple[Headers, bytes]:
    """Return header fields, without the length, and body of a problem, as the dialect's clients know it."""
    fields = [(b"content-type", b"application/json")]
    if problem.retry_after:
        fields.append((b"retry-after", b"%d" % problem.retry_after))
    if problem.status == 401:
        fields.append(_WHO)
    kind = _KINDS.get(problem.status, _REFUSED)
    return fields, encode(form.error(problem.status, problem.message, kind, problem.code))
