from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.redact import Redactor
from offramp.redact.adapters import open_recogniser

REDACTOR = Redactor(b"k" * 32, open_recogniser("bundled"))
CANARIES = [
    "canary.person@acme.com",
    "4111111111111111",
    "DE89370400440532013000",
    "460-89-9847",
    "106.31.73.20",
    "sk-proj-" + "Ca1" * 8,
    "ghp_" + "aB3" * 12,
    "postgres://canary:s3cretCanary@db/x",
    "529.982.247-25",
    "$2y$12$s.YfVZdfvAuO/Iz6fte5iO..ZbbEgreZnDcYOGvX4NGJskYQIstcG",
]
NAMED = ["first_name", "last_name", "passenger_name"]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(CANARIES),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=8)
            | st.sampled_from(
                [
                    "content",
                    "role",
                    "arguments",
                    "tools",
                    "messages",
                    "request",
                    "response",
                    "input",
                    "system",
                ]
            ),
            inner | st.sampled_from(["system", "user"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return [shape(item) for item in value.values()]
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value)


@given(json_values)
def test_any_json_value_comes_back_in_the_same_shape(value: Any) -> None:
    made = REDACTOR.redact(value).value
    assert shape(made) == shape(value)
    text = json.dumps(made)
    for canary in CANARIES:
        assert json.dumps(canary)[1:-1] not in text


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize(
    "plant",
    [
        lambda canary: {"messages": [{"role": "user", "content": f"it is {canary}, see?"}]},
        lambda canary: {
            "messages": [{"role": "system", "content": [{"type": "text", "text": f"<{canary}>"}]}]
        },
        lambda canary: {"tools": [{"function": {"description": f"as {canary}"}}]},
        lambda canary: {f"{canary}": {"deep": [[{"deeper": f"'{canary}'"}]]}},
        lambda canary: {"arguments": json.dumps({"body": json.dumps({"note": f"{canary} ok"})})},
        lambda canary: {"response": {"choices": [{"delta": {"content": f"\n{canary}\n"}}]}},
    ],
    ids=["message", "system", "schema", "key", "json in json", "answer"],
)
def test_a_canary_is_gone_wherever_it_is_planted(canary: str, plant: Any) -> None:
    secret = "s3cretCanary" if "://" in canary else canary
    assert secret not in json.dumps(REDACTOR.redact(plant(canary)).value)


@pytest.mark.parametrize("name", NAMED)
def test_a_name_under_a_telling_key_is_gone_from_the_whole_call(name: str) -> None:
    told = {"role": "tool", "content": json.dumps({name: "Qanarius", "id": "qanarius_1"})}
    said = {"role": "assistant", "content": "Thank you, QANARIUS!"}
    call = {
        "request": {"messages": [{"role": "user", "content": "hello, Qanarius here"}, told]},
        "response": {"choices": [{"message": said}]},
    }
    assert "qanarius" not in json.dumps(REDACTOR.redact(call).value).lower()


def test_long_base64_is_replaced_as_a_whole() -> None:
    coded = base64.b64encode(b"canary.person@acme.com " * 20).decode()
    assert coded not in json.dumps(REDACTOR.redact({"content": coded}).value)


@pytest.mark.parametrize(
    "hidden",
    [
        base64.b64encode(b"canary.person@acme.com").decode(),
        "canary\uff0eperson\uff20acme\uff0ecom",
        "c a n a r y @ a c m e . c o m",
        "four one one one one one one one one one one one one one one one",
    ],
    ids=["short base64", "confusables", "spaced out", "spelled out"],
)
def test_what_docs_say_is_not_found_is_not_found(hidden: str) -> None:
    assert REDACTOR.redact({"content": hidden}).value == {"content": hidden}
