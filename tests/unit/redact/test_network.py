from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

import pytest

from offramp.redact.network import IPV4, IPV6, QUERY, USERINFO

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.redact.rule import Rule

    Apply = Callable[[Rule, str], str]


def test_user_and_password_leave_a_url_and_the_host_stays(apply: Apply) -> None:
    made = apply(USERINFO, "postgres://admin:s3cr3t@db.internal:5432/app")
    assert re.fullmatch(r"postgres://[a-z]{8}:pw-[a-z]{10}-example@db\.internal:5432/app", made)


def test_an_at_sign_in_the_password_goes_with_it(apply: Apply) -> None:
    assert "ss@" not in apply(USERINFO, "https://user:p@ss@host.com/")


def test_a_url_without_password_stays(apply: Apply) -> None:
    assert (
        apply(USERINFO, "ssh://git@host.com/x and https://host.com")
        == "ssh://git@host.com/x and https://host.com"
    )


def test_a_signature_in_a_query_is_masked(apply: Apply) -> None:
    made = apply(QUERY, "https://s3.com/x?X-Amz-Signature=abc123def456abc123&page=2")
    assert "abc123def456" not in made
    assert made.endswith("EXAMPLE&page=2")


def test_an_ipv4_address_becomes_a_reserved_one(apply: Apply) -> None:
    made = apply(IPV4, "from 106.31.73.20:8080").removeprefix("from ").removesuffix(":8080")
    assert ipaddress.IPv4Address(made).is_reserved


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "0.0.0.0", "1.2.3.4.5", "v1.2.3.4", "Chrome/120.0.0.0", "300.1.1.1", "1.2.3"]
)
def test_loopback_and_versions_stay(apply: Apply, text: str) -> None:
    assert apply(IPV4, f"x {text} y") == f"x {text} y"


@pytest.mark.parametrize(
    "address",
    ["6e40:4041:c617:e898:c11:40d2:c669:2eb4", "2001:4860:4860::8888", "fe80::1%eth0", "fd12:3456::1"],
)
def test_an_ipv6_address_becomes_one_for_documentation(apply: Apply, address: str) -> None:
    if address.startswith("fe80"):
        assert apply(IPV6, address) == address  # link-local says nothing about anyone
        return
    assert ipaddress.IPv6Address(apply(IPV6, f"at {address}").removeprefix("at ")) in ipaddress.ip_network(
        "2001:db8::/32"
    )


@pytest.mark.parametrize(
    "text", ["15:00:00", "std::vector", "dead::beef", "::1", "a:b:c", "00:11:22:33:44:55"]
)
def test_times_names_and_hardware_addresses_are_no_ipv6(apply: Apply, text: str) -> None:
    assert apply(IPV6, text) == text
