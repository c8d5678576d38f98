"""Streams that real providers sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.flow.wire import BUNDLED, Recorded, recorded

from offramp.core.call import answer_of
from offramp.dialect import FORMS

if TYPE_CHECKING:
    from offramp.core.call import Answer

STREAMS = [exchange for exchange in recorded([BUNDLED]) if exchange.stream]
# Every byte of a long one would take minutes.
SHORT = [exchange for exchange in STREAMS if len(exchange.body) <= 2500]


def read(exchange: Recorded, stream: bytes) -> tuple[Answer | None, bool]:
    form = FORMS[exchange.path]
    folded = form.fold(stream)
    return answer_of(form.chat_response(folded.body)), folded.complete


def test_every_recorded_stream_is_what_others_folded_it_into() -> None:
    compared = 0
    for exchange in STREAMS:
        if exchange.response is not None:
            compared += 1
            assert read(exchange, exchange.body) == (answer_of(exchange.response), True), exchange.name
    assert compared >= 150


@pytest.mark.parametrize("exchange", SHORT, ids=lambda exchange: exchange.name)
def test_a_recorded_stream_cut_at_any_byte_gives_the_whole_answer_or_none(exchange: Recorded) -> None:
    whole, _ = read(exchange, exchange.body)
    for size in range(len(exchange.body)):
        answer, complete = read(exchange, exchange.body[:size])
        assert answer in (None, whole)
        assert complete or answer is None


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
def test_a_recorded_stream_reads_the_same_with_every_newline(newline: bytes) -> None:
    for exchange in STREAMS[:: len(STREAMS) // 30]:
        assert read(exchange, exchange.body.replace(b"\n", newline)) == read(exchange, exchange.body)


def test_short_streams_of_several_dialects_are_cut() -> None:
    assert {exchange.path for exchange in SHORT} >= {"/chat/completions", "/messages", "/completions"}
