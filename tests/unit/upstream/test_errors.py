from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import aiohttp
import httptools
import pytest
from aiohttp import client_exceptions
from httptools.parser import errors as parser_errors

from offramp.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from offramp.upstream import aiohttp_errors, errors
from offramp.upstream.errors import translate, translation_of, unreachable

if TYPE_CHECKING:
    from types import ModuleType

_URL = "http://teacher/v1"


def _errors_of_aiohttp() -> list[type[BaseException]]:
    found: list[type[BaseException]] = [aiohttp.ClientError]
    for error in found:
        found.extend(child for child in error.__subclasses__() if child not in found)
    return sorted(
        (e for e in found if e.__module__ == client_exceptions.__name__), key=lambda error: error.__name__
    )


def _errors_in(module: ModuleType) -> list[type[BaseException]]:
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    return [each for each in classes if issubclass(each, BaseException) and each is not OSError]


def test_every_error_of_aiohttp_has_its_own_line_in_the_translation() -> None:
    assert [error for error in _errors_of_aiohttp() if error not in aiohttp_errors.TRANSLATION] == []
    assert len(_errors_of_aiohttp()) > 20


@pytest.mark.parametrize(("module", "at_least"), [(ssl, 6), (parser_errors, 6)])
def test_every_error_of_tls_and_of_the_parser_has_its_own_line_in_the_translation(
    module: ModuleType, at_least: int
) -> None:
    assert [error for error in _errors_in(module) if error not in errors.TRANSLATION] == []
    assert len(_errors_in(module)) >= at_least


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        (aiohttp.ClientConnectorDNSError, UpstreamUnreachable),
        (aiohttp.ConnectionTimeoutError, UpstreamUnreachable),
        (aiohttp.SocketTimeoutError, UpstreamTimeout),
        (TimeoutError, UpstreamTimeout),
        (aiohttp.ServerDisconnectedError, UpstreamError),
        (ConnectionResetError, UpstreamError),
        (ssl.SSLCertVerificationError, UpstreamUnreachable),
        (httptools.HttpParserInvalidStatusError, UpstreamError),
    ],
)
def test_an_error_means_what_its_closest_ancestor_means(
    foreign: type[BaseException], ours: type[UpstreamError]
) -> None:
    assert translation_of(foreign, aiohttp_errors.TRANSLATION) is ours


def test_an_error_that_is_not_the_teachers_has_no_translation() -> None:
    assert translation_of(KeyError) is None


def test_the_message_names_the_teacher_the_cause_and_what_to_do() -> None:
    error = translate(
        aiohttp.SocketTimeoutError("no byte in 3 s"), "http://teacher/v1", aiohttp_errors.TRANSLATION
    )
    assert isinstance(error, UpstreamTimeout)
    assert str(error) == (
        "The teacher at http://teacher/v1 did not answer in time: no byte in 3 s. "
        "Raise the teacher's timeout, or ask for a shorter answer."
    )


def test_an_error_without_words_is_named_by_its_class() -> None:
    assert "ConnectionAbortedError" in str(translate(ConnectionAbortedError(), _URL))


def test_what_is_no_http_is_said_to_be_none() -> None:
    said = str(translate(httptools.HttpParserError("Expected HTTP/"), _URL))
    assert "what it sent is no HTTP (Expected HTTP/)" in said


def test_whatever_stops_a_connection_from_being_made_is_unreachable() -> None:
    assert isinstance(unreachable(TimeoutError("no connection within 10 s"), _URL), UpstreamUnreachable)


def test_a_certificate_that_is_not_trusted_comes_with_the_way_to_trust_it() -> None:
    assert "SSL_CERT_FILE" in unreachable(ssl.SSLCertVerificationError("self-signed"), _URL).hint
