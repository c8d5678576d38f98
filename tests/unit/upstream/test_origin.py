from __future__ import annotations

import pytest

from offramp.core.errors import BadSetting
from offramp.upstream.origin import Origin


@pytest.mark.parametrize(
    ("url", "host", "port", "authority"),
    [
        ("http://host/v1", "host", 80, "host"),
        ("http://host:8000/v1", "host", 8000, "host:8000"),
        ("https://host/v1", "host", 443, "host"),
        ("https://host:443/v1", "host", 443, "host"),
        ("https://host:80/v1", "host", 80, "host:80"),
        ("http://[::1]:8000/v1", "::1", 8000, "[::1]:8000"),
        ("http://[::1]/v1", "::1", 80, "[::1]"),
        ("https://bücher.example/v1", "xn--bcher-kva.example", 443, "xn--bcher-kva.example"),
    ],
)
def test_a_url_names_where_to_connect_and_what_host_says(
    url: str, host: str, port: int, authority: str
) -> None:
    origin = Origin.parse(url)
    assert (origin.host, origin.port, origin.authority) == (host, port, authority)
    assert origin.tls is url.startswith("https")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://host", "/v1"),
        ("http://host/", "/v1"),
        ("http://host/v1/", "/v1"),
        ("http://host/openai/v1", "/openai/v1"),
        ("http://host/a%20b", "/a%20b"),
        ("http+unix://%2Frun%2Fx.sock", "/v1"),
        ("http+unix://%2Frun%2Fx.sock/v2", "/v2"),
    ],
)
def test_a_bare_host_gets_the_usual_version(url: str, path: str) -> None:
    assert Origin.parse(url).base_path == path


def test_a_socket_is_named_by_its_percent_encoded_path() -> None:
    origin = Origin.parse("http+unix://%2Frun%2Fvllm.sock/v1")
    assert origin.socket_path == "/run/vllm.sock"
    assert origin.root == "http://localhost/v1"
    assert origin.base_url == "http+unix://%2Frun%2Fvllm.sock/v1"


@pytest.mark.parametrize(
    "url",
    [
        "host/v1",
        "ftp://host/v1",
        "http://",
        "http:///v1",
        "http://host/v1?a=1",
        "http://host/v1#a",
        "http://[x",
        "http://host:99999/v1",
        "http+unix:///v1",
        "http+unix://me@%2Frun%2Fx.sock/v1?a=1",
    ],
)
def test_a_url_that_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(BadSetting, match="base URL"):
        Origin.parse(url)


@pytest.mark.parametrize("url", ["http://me:hunter2@host/v1", "http+unix://me:hunter2@%2Fx/v1"])
def test_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadSetting) as caught:
        Origin.parse(url)
    assert "hunter2" not in str(caught.value)
