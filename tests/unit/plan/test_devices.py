from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from offramp.core.errors import BadSetting, NotFound
from offramp.plan.devices import find_device, load_devices

if TYPE_CHECKING:
    from pathlib import Path

MINE = {
    "name": "mine",
    "kind": "gpu",
    "title": "The one under the desk",
    "memory": 24_000_000_000,
    "bandwidth": 1e12,
    "flops": 1.6e14,
    "price_per_hour": 0.1,
    "source": "a receipt",
}


def write(path: Path, *devices: dict[str, Any]) -> Path:
    file = path / "devices.json"
    file.write_text(json.dumps({"devices": devices}))
    return file


def test_every_bundled_device_names_its_source_and_has_a_price() -> None:
    devices = load_devices().values()
    assert len(devices) >= 6
    assert all(device.source and device.price_per_hour > 0 for device in devices)


def test_the_laptop_is_a_cpu() -> None:
    assert find_device("cpu-laptop").kind == "cpu"


def test_a_file_adds_devices_and_replaces_bundled_ones(tmp_path: Path) -> None:
    file = write(tmp_path, MINE, {**MINE, "name": "l4", "price_per_hour": 0.4})
    assert find_device("mine", file).title == "The one under the desk"
    assert find_device("l4", file).price_per_hour == 0.4
    assert find_device("h100", file).kind == "gpu"


def test_an_unknown_device_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match="no device 'tpu'; known are a100-80gb"):
        find_device("tpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "green"}, r"\['colour'\]; allowed are"),
        ({"memory": 0}, "size or speed of 0 or less"),
        ({"price_per_hour": -1}, "negative price"),
    ],
)
def test_a_device_that_makes_no_sense_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadSetting, match=message):
        load_devices(write(tmp_path, {**MINE, **change}))


def test_a_device_without_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="incomplete"):
        load_devices(write(tmp_path, {k: v for k, v in MINE.items() if k != "memory"}))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="not a devices file"):
        load_devices(tmp_path / "none.json")
