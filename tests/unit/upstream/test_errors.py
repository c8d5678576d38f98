from __future__ import annotations

import aiohttp
import pytest
from aiohttp import client_exceptions

from offramp.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from offramp.upstream.errors import _TRANSLATION, translate, translation_of


def _errors_of_aiohttp() -> list[type[BaseException]]:
    found = [aiohttp.ClientError]
    for error in found:
        found.extend(child for child in error.__subclasses__() if child not in found)
    return sorted(
        (e for e in found if e.__module__ == client_exceptions.__name__), key=lambda error: error.__name__
    )


def test_every_error_of_aiohttp_has_its_own_line_in_the_translation() -> None:
    assert [error for error in _errors_of_aiohttp() if error not in _TRANSLATION] == []
    assert len(_errors_of_aiohttp()) > 20


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        (aiohttp.ClientConnectorDNSError, UpstreamUnreachable),
        (aiohttp.ConnectionTimeoutError, UpstreamUnreachable),
        (aiohttp.SocketTimeoutError, UpstreamTimeout),
        (TimeoutError, UpstreamTimeout),
        (aiohttp.ServerDisconnectedError, UpstreamError),
        (ConnectionResetError, UpstreamError),
    ],
)
def test_an_error_means_what_its_closest_ancestor_means(
    foreign: type[BaseException], ours: type[UpstreamError]
) -> None:
    assert translation_of(foreign) is ours


def test_an_error_that_is_not_the_teachers_has_no_translation() -> None:
    assert translation_of(KeyError) is None


def test_the_message_names_the_teacher_the_cause_and_what_to_do() -> None:
    error = translate(aiohttp.SocketTimeoutError("no byte in 3 s"), "http://teacher/v1")
    assert isinstance(error, UpstreamTimeout)
    assert str(error) == (
        "The teacher at http://teacher/v1 did not answer in time: no byte in 3 s. "
        "Raise the teacher's timeout, or ask for a shorter answer."
    )


def test_an_error_without_words_is_named_by_its_class() -> None:
    assert "ClientPayloadError" in str(translate(aiohttp.ClientPayloadError(), "http://teacher/v1"))
