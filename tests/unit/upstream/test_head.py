from __future__ import annotations

from typing import TYPE_CHECKING

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.errors import BadInput, BadSetting
from offramp.upstream.head import RequestHead
from offramp.upstream.origin import Origin
from offramp.upstream.port import end_to_end

if TYPE_CHECKING:
    from offramp.upstream.port import Headers

_ORIGIN = Origin.parse("https://api.example.com/v1")
_TOKENS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=12).map(str.encode)
_VALUES = st.lists(st.sampled_from([9, *range(0x20, 0x7F), *range(0x80, 0x100)]), max_size=20).map(bytes)


def _head(headers: Headers = (), *, method: str = "POST", path: str = "/models", length: int = 0) -> bytes:
    return RequestHead(_ORIGIN).encode(method, path, headers, length)


class _Parsed:
    """What a server makes of a head."""

    def __init__(self, head: bytes) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.messages = 0
        httptools.HttpRequestParser(self).feed_data(head)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.messages += 1


def test_a_head_is_request_line_host_the_clients_fields_and_a_length() -> None:
    assert _head([(b"x-a", b"1"), (b"x-b", b"")], length=2) == (
        b"POST /v1/models HTTP/1.1\r\nhost: api.example.com\r\nx-a: 1\r\nx-b: \r\ncontent-length: 2\r\n\r\n"
    )


def test_a_get_without_a_body_names_no_length() -> None:
    assert _head(method="GET") == b"GET /v1/models HTTP/1.1\r\nhost: api.example.com\r\n\r\n"


def test_a_post_without_a_body_names_its_length_nevertheless() -> None:
    assert b"\r\ncontent-length: 0\r\n" in _head()


@pytest.mark.parametrize(
    "field",
    [
        (b"host", b"elsewhere"),
        (b"content-length", b"7"),
        (b"expect", b"100-continue"),
        (b"transfer-encoding", b"chunked"),
        (b"te", b"trailers"),
        (b"proxy-authorization", b"secret"),
        (b"connection", b"keep-alive"),
        (b"upgrade", b"websocket"),
    ],
)
def test_a_field_of_the_clients_own_connection_is_left_out(field: tuple[bytes, bytes]) -> None:
    assert _head([field]) == _head()


def test_a_field_that_connection_names_is_left_out() -> None:
    assert _head([(b"x-hop", b"1"), (b"connection", b"close, X-Hop")]) == _head()


def test_a_key_of_ours_stands_in_for_the_clients() -> None:
    head = RequestHead(_ORIGIN, "ours").encode("GET", "/models", [(b"authorization", b"Bearer theirs")], 0)
    assert head.count(b"authorization") == 1
    assert b"\r\nauthorization: Bearer ours\r\n" in head


@pytest.mark.parametrize("key", ["sk-1\n", "sk-1\r\nx-a: 1", "sk-\0", "schlüssel"])
def test_a_key_that_no_field_can_hold_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(BadSetting) as caught:
        RequestHead(_ORIGIN, key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("byte", [b"\r", b"\n", b"\0", b"\r\n", b"\r\n\r\n"])
@pytest.mark.parametrize("template", [b"%b", b"a%b", b"a%bx-smuggled: 1", b"%bGET /v1/files HTTP/1.1"])
def test_a_value_that_would_break_the_head_is_refused(byte: bytes, template: bytes) -> None:
    with pytest.raises(BadInput, match="x-odd"):
        _head([(b"x-fine", b"1"), (b"x-odd", template % byte)])


@pytest.mark.parametrize(
    "name", [b"", b" ", b"x odd", b"x:odd", b"x-odd ", b"x\r\nodd", b"x\0", b"\xff", b"transfer-encoding "]
)
def test_a_name_that_is_no_token_is_refused(name: bytes) -> None:
    with pytest.raises(BadInput, match="no token"):
        _head([(name, b"1")])


def test_a_refused_name_is_refused_again() -> None:
    head = RequestHead(_ORIGIN)
    for _ in range(2):
        with pytest.raises(BadInput):
            head.encode("GET", "/models", [(b"x odd", b"1")], 0)


@pytest.mark.parametrize(
    "path", ["models", "/a b", "/a\r\nx: 1", "/a\nb", "/\0", "/\u20ac", "http://else/", "/\x7f"]
)
def test_a_path_that_would_break_the_head_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match="path"):
        _head(path=path)


@pytest.mark.parametrize("method", ["", "GE T", "GET /x HTTP/1.1\r\n", "GÉT"])
def test_a_method_that_would_break_the_head_is_refused(method: str) -> None:
    with pytest.raises(BadInput, match="method"):
        _head(method=method)


@pytest.mark.parametrize(
    "path",
    [
        "/..",
        "/../admin",
        "/files/../../admin",
        "/./x",
        "/%2e%2e/admin",
        "/..;/admin",
        "/..%3Bx=y/admin",
        "/.%2E/x",
        "/a/..%2fadmin",
        "/a\\..\\x",
    ],
)
def test_a_path_that_leads_out_of_the_api_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match="dot segment"):
        _head(path=path)


@pytest.mark.parametrize(
    "path", ["/files/a..b", "/files/...", "/.well-known/x", "/x?from=../a", "/v1.2/x", "/a./b"]
)
def test_dots_that_are_no_segment_are_let_through(path: str) -> None:
    assert f"/v1{path} ".encode() in _head(path=path)


def test_a_key_can_go_in_a_field_of_its_own() -> None:
    theirs = [(b"x-api-key", b"theirs"), (b"authorization", b"Bearer theirs"), (b"x-a", b"1")]
    head = RequestHead(_ORIGIN, "ours", "x-api-key").encode("GET", "/models", theirs, 0)
    assert b"\r\nx-api-key: ours\r\nx-a: 1\r\n" in head
    assert b"theirs" not in head


def test_raw_bytes_of_a_path_stay_the_same_bytes() -> None:
    raw = "/files/é".encode()
    assert b"GET /v1" + raw + b" HTTP/1.1" in _head(method="GET", path=raw.decode("latin-1"))


def test_names_and_paths_made_up_by_clients_do_not_fill_the_memory() -> None:
    head = RequestHead(_ORIGIN)
    for number in range(3000):
        head.encode("GET", f"/files/{number}", [(b"x-%d" % number, b"1")], 0)
    assert len(head._prefixes) <= 1024
    assert len(head._starts) <= 1024


@given(st.lists(st.tuples(_TOKENS, _VALUES), max_size=6))
def test_a_server_reads_the_fields_that_were_meant_and_one_request(fields: Headers) -> None:
    parsed = _Parsed(_head(fields, method="GET"))
    ours = {b"host", b"content-length", b"expect"}
    meant = [(name, value.strip(b" \t")) for name, value in end_to_end(fields) if name not in ours]
    assert [(name, value.strip(b" \t")) for name, value in parsed.fields[1:]] == meant
    assert parsed.messages == 1


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), max_size=4))
def test_whatever_a_client_writes_it_is_one_request_or_none(fields: Headers) -> None:
    try:
        head = _head(fields, method="GET")
    except BadInput:
        return
    assert head.count(b"\r\n\r\n") == 1
    assert head.endswith(b"\r\n\r\n")
    assert head.count(b"\n") == head.count(b"\r\n")
