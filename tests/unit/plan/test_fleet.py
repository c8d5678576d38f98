from __future__ import annotations

from typing import Any

import pytest
from tests.unit.plan.fleets import A100, TABLE

from offramp.core.errors import BadInput, NotFound
from offramp.plan.fleet import Fleet, OwnLlm, read_fleet


def test_a_fleet_is_read() -> None:
    value: dict[str, Any] = {
        "overflow": 0.01,
        "backend": "mig",
        "devices": [{"kind": "l4", "count": 2, "price_per_hour": 0.5}, {"kind": "h100", "per_node": 4}],
        "llm": {"base": "big", "parallel": 4},
    }
    fleet = read_fleet(value, TABLE)
    assert (fleet.overflow, fleet.backend, fleet.llm) == (0.01, "mig", OwnLlm("big", 4))
    assert [(one.device.name, one.count, one.per_node) for one in fleet.stocks] == [
        ("l4", 2, 8),
        ("h100", None, 4),
    ]
    assert fleet.stock("l4").device.price_per_hour == 0.5
    assert fleet.stock("l4").memory < fleet.stock("l4").device.memory
    with pytest.raises(NotFound, match="no device 'a100'"):
        fleet.stock("a100")


def test_any_means_every_gpu() -> None:
    kinds = {stock.device.name for stock in read_fleet({"devices": "any"}, TABLE).stocks}
    assert kinds == {device.name for device in TABLE.values() if device.kind == "gpu"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"devices": [{"kind": "l4"}], "colour": 1}, "colour"),
        ({"devices": [{"kind": "l4", "colour": 1}]}, "colour"),
        ({"devices": [{"kind": "abacus"}]}, "abacus"),
        ({"devices": []}, "needs kinds"),
        ({}, "a list of kinds"),
        ({"devices": [{"kind": "l4"}, {"kind": "l4"}]}, "each once"),
        ({"devices": [{"kind": "l4", "count": -1}]}, "count -1"),
        ({"devices": [{"kind": "l4"}], "overflow": 2.0}, "overflow 2"),
        ({"devices": [{"kind": "l4"}], "within": 0.2}, "within 0.2"),
        ({"devices": [{"kind": "l4"}], "llm": {"base": "b", "parallel": 0}}, "parallel 0"),
        ({"devices": [{"kind": "l4"}], "llm": {"name": "b"}}, "cannot be read"),
    ],
)
def test_impossible_fleets_are_refused(value: dict[str, Any], said: str) -> None:
    with pytest.raises((BadInput, NotFound), match=said):
        read_fleet(value, TABLE)


def test_a_fleet_keeps_its_promises_sane() -> None:
    with pytest.raises(BadInput, match="0 adapters"):
        Fleet((A100,), most_adapters=0)
