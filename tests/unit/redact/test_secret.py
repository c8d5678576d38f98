from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from offramp.redact import assigned, provider, secret
from offramp.redact.assigned import surrogate_field

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.redact.keyed import Keyed
    from offramp.redact.rule import Rule

    Apply = Callable[[Rule, str], str]

BODY = "Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0Uv1Wx2"


@pytest.mark.parametrize(
    ("prefix", "body"),
    [
        ("sk-", BODY),
        ("sk-ant-", BODY),
        ("sk-proj-", BODY),
        ("ghp_", BODY),
        ("github_pat_", BODY),
        ("glpat-", BODY),
        ("AKIA", "IOSFODNN7ABCDEFG"),
        ("ASIA", "IOSFODNN7ABCDEFG"),
        ("AIza", BODY),
        ("xoxb-", "123456789012-abcdefABCDEF"),
        ("sk_live_", BODY),
        ("hf_", BODY),
        ("npm_", BODY),
        ("SG.", f"{BODY}.{BODY}"),
        ("nvapi-", BODY),
    ],
)
def test_a_key_keeps_the_prefix_that_tells_whose_it_is(apply: Apply, prefix: str, body: str) -> None:
    made = apply(provider.API_KEY, f"key {prefix}{body} end")
    assert re.fullmatch(rf"key {re.escape(prefix)}\S+EXAMPLE end", made)
    assert body not in made
    assert len(made) == len(f"key {prefix}{body} end")


def test_a_jwt_stays_three_parts(apply: Apply) -> None:
    made = apply(
        secret.JWT, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
    )
    assert made.startswith("eyJ")
    assert made.count(".") == 2
    assert "dozjgNryP4J3" not in made


@pytest.mark.parametrize("newline", ["\n", "\\n"])
def test_a_private_key_keeps_only_its_armour(apply: Apply, newline: str) -> None:
    text = newline.join(
        ("-----BEGIN RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEA7bq", "9xq==", "-----END RSA PRIVATE KEY-----")
    )
    made = apply(secret.PRIVATE_KEY, text)
    assert "MIIEpAIB" not in made
    assert made.endswith(f"EXAMPLE{newline}-----END RSA PRIVATE KEY-----")


def test_a_slack_hook_is_masked(apply: Apply) -> None:
    assert "T00AAAA" not in apply(
        secret.SLACK_HOOK, "https://hooks.slack.com/services/T00AAAA/B00BBBB/XXXXyyyy1234"
    )


def test_a_bearer_token_is_masked_and_prose_about_bearers_is_not(apply: Apply) -> None:
    assert BODY not in apply(secret.BEARER, f"Authorization: Bearer {BODY}")
    prose = "the bearer authentication-mechanism"
    assert apply(secret.BEARER, prose) == prose


def test_an_aws_secret_is_masked_near_its_name_only(apply: Apply) -> None:
    value = "wJalrXUtnFEMIK7MDENGbPxRfiCYabcdefghijkl"
    assert value not in apply(secret.AWS_SECRET, f"aws secret {value}")
    assert value in apply(secret.AWS_SECRET, f"git hash {value}")


@pytest.mark.parametrize(
    "text",
    [
        "password=hunter2!",
        "Password: swordfish",
        'DB_PASSWORD="correct horse battery"',
        "pwd := Tr0ub4dor",
        "api_key = 51e61afee2c2667123fc9ed1",
        r"{\"password\": \"hunter2!\"}",
        "define('DB_PASSWORD', 'adm1n')",
        "client_secret: 9f8e7d6c5b4a",
        "secret_key_base: e0ec946fcefea5ce0d4d924f",
        "password=$ecret1",
    ],
)
def test_an_assigned_secret_is_masked(apply: Apply, text: str) -> None:
    assert re.search(r"pw-[a-z]{10}-example|EXAMPLE", apply(assigned.ASSIGNED, text))


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=4096",
        "tokens: 1234567890",
        "password: required",
        "password = ${PASSWORD}",
        "api_key: Optional[str] = None",
        "api_key=os.environ['KEY']",
        "secret: The secret ingredient",
        "next_page_token: abc",
        "The password must be strong",
        "password=<your password>",
        "token: string",
    ],
)
def test_what_is_no_secret_stays(apply: Apply, text: str) -> None:
    assert apply(assigned.ASSIGNED, text) == text


def test_a_spoken_password_is_masked(apply: Apply) -> None:
    assert apply(assigned.SPOKEN, "my password is hunter2, thanks").endswith("-example, thanks")
    assert apply(assigned.SPOKEN, "the password is wrong") == "the password is wrong"


def test_a_password_in_markup_is_masked(apply: Apply) -> None:
    made = apply(assigned.MARKUP, '<Pass encoding="base64">NjllNWU5ZWMw</Pass>')
    assert re.fullmatch(r'<Pass encoding="base64">pw-[a-z]{10}-example</Pass>', made)


def test_encoded_content_leaves_nothing_behind(apply: Apply) -> None:
    made = apply(secret.BLOB, "data:image/png;base64," + "iVBORw0KGgo1" * 40)
    assert len(made) < 100
    assert "iVBORw0KGgo1" not in made
    assert apply(secret.BLOB, "-" * 500) == "-" * 500


def test_a_token_is_the_same_surrogate_in_a_field_and_in_text(apply: Apply, keyed: Keyed) -> None:
    token = f"ghp_{BODY}"
    assert surrogate_field("token", token, keyed) == apply(provider.API_KEY, token)


@pytest.mark.parametrize(
    ("name", "value"), [("max_tokens", "4096"), ("token", "Hello"), ("password", "string"), ("name", BODY)]
)
def test_fields_with_harmless_names_or_values_stay(keyed: Keyed, name: str, value: str) -> None:
    assert surrogate_field(name, value, keyed) is None


def test_a_scheme_before_a_token_stays(keyed: Keyed) -> None:
    made = surrogate_field("auth_token", f"Bearer {BODY}", keyed)
    assert made is not None
    assert made.startswith("Bearer ")
    assert made.endswith("EXAMPLE")
