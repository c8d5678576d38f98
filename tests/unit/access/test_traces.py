from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.access.traces import Traces, forms, trace
from offramp.core.call import Call
from offramp.core.errors import BadInput
from offramp.record.pseudonym import Pseudonyms, origin_of, rename, who_asked
from offramp.record.session import SessionTracker
from offramp.redact.redactor import Redactor

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

REDACTOR = Redactor(b"r" * 32)
PSEUDONYMS = Pseudonyms(b"p" * 32)


def traces_of(value: str) -> Traces:
    return trace(value, lambda found: REDACTOR.redact(found).value, PSEUDONYMS.of)


def recorded(content: str, *, who: str = "", run: str = "", keep_who: bool = False, **fields: Any) -> Call:
    """A call as the recorder stores it."""
    request: JsonObject = {"messages": [{"role": "user", "content": content}], **fields}
    origin = origin_of(PSEUDONYMS, who, request)
    session = SessionTracker(PSEUDONYMS).session(origin, run, request, 0.0)
    masked = REDACTOR.redact({"request": rename(PSEUDONYMS, request), "response": {}}).value
    meta = {"who": who} if keep_who else {}
    return Call("c1", 0.0, session, origin, masked["request"], masked["response"], meta=meta)


@pytest.mark.parametrize(
    ("subject", "content"),
    [
        ("jane.doe@acme.io", "please write to jane.doe@acme.io today"),
        ("Jane.Doe@ACME.io", "cc: jane.doe@acme.io"),
        ("jane.doe@acme.io", "cc: Jane.Doe@Acme.IO"),
        ("jane.doe@acme.io", json.dumps({"to": {"email": "jane.doe@acme.io"}})),
        ("+1 415 555 2671", "call me at +1 415 555 2671"),
        ("+1 415 555 2671", "call me at (415) 555-2671"),
        ("(415) 555-2671", "call me at +1 415-555-2671"),
        ("4111 1111 1111 1111", "my card is 4111111111111111"),
        ("DE89 3704 0044 0532 0130 00", "pay to DE89 3704 0044 0532 0130 00"),
        ("81.2.69.142", "from 81.2.69.142 again"),
        ("sk-proj-abcdEFGH1234abcdEFGH1234", "use sk-proj-abcdEFGH1234abcdEFGH1234"),
        ("hunter2-and-more", "password: hunter2-and-more"),
    ],
)
def test_a_masked_call_is_found_by_the_surrogate(subject: str, content: str) -> None:
    call = recorded(content)
    assert subject not in json.dumps(call.request)
    assert traces_of(subject).reason(call) == "surrogate"


def test_a_value_that_masking_missed_is_found_as_it_is() -> None:
    assert traces_of("Zzyzx Blorf").reason(recorded("ask zzyzx blorf about it")) == "value"


def test_another_persons_call_is_not_found() -> None:
    call = recorded("write to john.roe@acme.io or call (415) 555-9999", user="u-9")
    for subject in ("jane.doe@acme.io", "+1 415 555 2671", "u-1234"):
        assert traces_of(subject).reason(call) == ""


def test_a_part_of_a_longer_word_is_no_trace() -> None:
    assert traces_of("anna").reason(recorded("hannah likes savannah")) == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "u-1234"},
        {"safety_identifier": "u-1234"},
        {"metadata": {"customer": "u-1234"}},
    ],
)
def test_a_user_id_is_found_by_its_pseudonym_whoever_asked(fields: JsonObject) -> None:
    call = recorded("hello", who=who_asked(PSEUDONYMS, "Bearer sk-1", ""), **fields)
    assert traces_of("u-1234").reason(call) == "pseudonym"


def test_a_pseudonym_that_masking_took_for_a_secret_is_found() -> None:
    call = recorded("hello", prompt_cache_key="u-1234")
    assert traces_of("u-1234").reason(call) in ("pseudonym", "surrogate")


@pytest.mark.parametrize("credential", ["sk-live-key-1", "Bearer sk-live-key-1"])
def test_a_credential_is_found_by_the_origin(credential: str) -> None:
    call = recorded("hello", who=who_asked(PSEUDONYMS, credential, ""))
    assert traces_of("sk-live-key-1").reason(call) == "origin"


def test_an_address_is_found_by_the_origin() -> None:
    call = recorded("hello", who=who_asked(PSEUDONYMS, "", "10.1.2.3"))
    assert traces_of("10.1.2.3").reason(call) == "origin"
    assert traces_of("10.1.2.4").reason(call) == ""


def test_a_credential_beside_a_user_is_found_where_the_record_says_who() -> None:
    call = recorded("hello", who=who_asked(PSEUDONYMS, "sk-live-key-1", ""), user="u-1", keep_who=True)
    assert traces_of("sk-live-key-1").reason(call) == "origin"


def test_an_offramp_key_is_found_by_its_id_and_by_its_text() -> None:
    call = recorded("hello", who=who_asked(PSEUDONYMS, "abcdefghij", ""))
    assert traces_of("abcdefghij").reason(call) == "origin"
    assert traces_of("ofk_abcdefghij_" + "x" * 44).reason(call) == "origin"


def test_a_session_is_found_by_the_id_in_the_header_or_in_the_body() -> None:
    header = recorded("hello", run=PSEUDONYMS.of("run", "sess-77"))
    body = recorded("hello", metadata={"session_id": "sess-77"})
    assert traces_of("sess-77").reason(header) == "session"
    assert traces_of("sess-77").reason(body) in ("session", "pseudonym")
    assert traces_of("sess-78").reason(header) == ""


def test_a_pseudonym_or_an_id_that_the_admin_sees_is_a_subject_too() -> None:
    call = replace(recorded("hello", user="u-1"), id="019ab-77")
    assert traces_of(call.origin).reason(call) == "origin"
    assert traces_of(call.session).reason(call) == "session"
    assert traces_of("019ab-77").reason(call) == "id"


@pytest.mark.parametrize("subject", ["", "abc", "  ab  "])
def test_a_subject_too_short_to_tell_is_refused(subject: str) -> None:
    with pytest.raises(BadInput, match="at least 4"):
        traces_of(subject)


@given(st.text(min_size=9, max_size=20), st.text(max_size=5), st.text(max_size=5))
def test_a_value_is_found_in_whatever_it_was_written_as(value: str, before: str, after: str) -> None:
    text = (before + value + after).encode("utf-8", "surrogatepass")
    needles = forms(value)
    written = [
        text,
        text.hex().encode(),
        base64.b64encode(text),
        base64.urlsafe_b64encode(text),
        json.dumps(before + value + after).encode(),
    ]
    for form in written:
        assert any(needle in form for needle in needles)


def test_a_value_in_a_url_is_found() -> None:
    assert any(needle in quote("x?m=jane@acme.io&y").encode() for needle in forms("jane@acme.io"))


def test_short_needles_are_not_looked_for_in_files() -> None:
    needles = traces_of("abcd").needles()
    assert b"abcd" not in needles
    assert b"abcd".hex().encode() in needles
