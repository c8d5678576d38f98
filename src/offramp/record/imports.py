"""Calls from elsewhere, made fit for the store: masked, and with pseudonyms for who asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from offramp.record.pseudonym import origin_of, rename, who_asked
from offramp.record.session import SessionTracker
from offramp.record.told import put_back, taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from offramp.core.call import Call
    from offramp.record.pseudonym import Pseudonyms

    Redact = Callable[[Any], Any]


def admitted(calls: Iterable[Call], redact: Redact, pseudonyms: Pseudonyms) -> Iterator[Call]:
    """Yield raw calls as the store takes them.

    Args:
        calls: Raw: ``origin`` and ``session`` hold names, and nothing is masked.
        redact: Masks PII and secrets in a JSON value.
        pseudonyms: Make keyed pseudonyms of identities.
    """
    tracker = SessionTracker(pseudonyms)
    for call in calls:
        origin = origin_of(pseudonyms, who_asked(pseudonyms, call.origin, ""), call.request)
        response, told = taken(call.response)
        raw = {"request": rename(pseudonyms, call.request), "response": response}
        masked = redact(raw).value
        yield replace(
            call,
            session=tracker.session(origin, call.session, call.request, call.at),
            origin=origin,
            request=masked["request"],
            response=put_back(told, raw, masked, redact),
        )
