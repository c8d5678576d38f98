from __future__ import annotations

import pytest

from offramp.gateway.caller import Caller, Callers
from offramp.gateway.wire import Admission, Asked
from offramp.record.pseudonym import Pseudonyms, who_asked

_PSEUDONYMS = Pseudonyms(b"k" * 32)
_AGENT = (b"authorization", b"Bearer sk-1")


@pytest.fixture
def callers() -> Callers:
    return Callers(_PSEUDONYMS)


def _read(
    callers: Callers, *fields: tuple[bytes, bytes], admitted: Admission | None = None, recorded: bool = True
) -> Caller:
    asked = Asked("POST", "/v1/chat/completions", list(fields), b"", "10.0.0.1")
    return callers.read(asked, admitted or Admission(), recorded=recorded)


@pytest.mark.parametrize("name", [b"authorization", b"x-api-key", b"api-key"])
def test_who_asks_is_a_pseudonym_of_the_credential(callers: Callers, name: bytes) -> None:
    caller = _read(callers, (name, b"Bearer sk-1"))
    assert caller.who == who_asked(_PSEUDONYMS, "Bearer sk-1", "10.0.0.1")
    assert "sk-1" not in caller.who


def test_who_asks_without_a_credential_is_a_pseudonym_of_the_address(callers: Callers) -> None:
    assert _read(callers).who == who_asked(_PSEUDONYMS, "", "10.0.0.1")


def test_who_the_guard_knows_is_who_asks(callers: Callers) -> None:
    assert _read(callers, _AGENT, admitted=Admission(who="who-key")).who == "who-key"


@pytest.mark.parametrize("name", [b"x-offramp-session", b"x-session-id"])
def test_a_run_is_a_pseudonym_of_the_session(callers: Callers, name: bytes) -> None:
    assert _read(callers, (name, b"s1")).run == _PSEUDONYMS.of("run", "s1")
    assert _read(callers).run == ""


def test_fields_without_anything_of_ours_are_passed_on_without_a_copy(callers: Callers) -> None:
    asked = Asked("POST", "/v1/x", [_AGENT, (b"accept-encoding", b"gzip, deflate")], b"", "")
    assert callers.read(asked, Admission(), recorded=True).forward is asked.headers


def test_what_is_ours_and_what_the_guard_drops_is_left_out(callers: Callers) -> None:
    fields = [_AGENT, (b"x-offramp-anything", b"1"), (b"x-own", b"2"), (b"x-other", b"3"), (b"x-own", b"4")]
    caller = _read(callers, *fields, admitted=Admission(drop=(b"x-own",)))
    assert caller.forward == [_AGENT, (b"x-other", b"3")]


@pytest.mark.parametrize(
    ("accepted", "asked_for"),
    [
        (b"gzip, deflate", b"gzip, deflate"),
        (b"gzip, deflate, br, zstd", b"gzip, deflate"),
        (b"GZIP;q=1.0, br;q=0.5", b"GZIP;q=1.0"),
        (b"br", b"identity"),
        (b"*", b"identity"),
        (b"", b"identity"),
    ],
)
def test_only_compression_that_the_recorder_reads_is_asked_for(
    callers: Callers, accepted: bytes, asked_for: bytes
) -> None:
    assert _read(callers, (b"accept-encoding", accepted)).forward == [(b"accept-encoding", asked_for)]
    unrecorded = _read(callers, (b"accept-encoding", accepted), recorded=False)
    assert unrecorded.forward == [(b"accept-encoding", accepted)]


@pytest.mark.parametrize("value", [b"no", b" No ", b"false", b"0", b"off"])
def test_a_call_may_ask_not_to_be_recorded(callers: Callers, value: bytes) -> None:
    caller = _read(callers, _AGENT, (b"x-offramp-record", value))
    assert (caller.record, caller.who, caller.forward) == (False, "", [_AGENT])


def test_a_call_that_asks_to_be_recorded_is_where_the_key_allows(callers: Callers) -> None:
    asks = (b"x-offramp-record", b"yes")
    assert _read(callers, asks).record
    assert not _read(callers, asks, admitted=Admission(record=False)).record
    assert not _read(callers, asks, recorded=False).record


def test_made_up_credentials_do_not_fill_the_memory(callers: Callers) -> None:
    for number in range(6000):
        _read(callers, (b"authorization", b"%d" % number), (b"x-%d" % number, b""))
    assert callers.remembered <= 3 * 4096
    assert _read(callers, _AGENT).who == who_asked(_PSEUDONYMS, "Bearer sk-1", "")
