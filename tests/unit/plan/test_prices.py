from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from offramp.core.errors import BadSetting, NotFound
from offramp.plan.prices import ModelPrice, load_prices

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, content: Any) -> Path:
    file = path / "prices.json"
    file.write_text(json.dumps(content))
    return file


def test_every_bundled_price_is_dated_and_sourced() -> None:
    models = load_prices().models
    assert len(models) > 20
    assert all(price.date and price.source for price in models.values())


def test_cached_input_is_never_dearer_than_input() -> None:
    assert all(price.cached_input <= price.input for price in load_prices().models.values())


@pytest.mark.parametrize(
    "name",
    ["gpt-4o", "openai/gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-latest", "GPT-4o"],
)
def test_snapshots_and_prefixes_cost_what_their_family_costs(name: str) -> None:
    assert load_prices().price(name).input == 2.5


def test_dots_and_dashes_are_the_same() -> None:
    prices = load_prices()
    assert prices.price("claude-haiku-4-5-20251001") == prices.price("claude-haiku-4.5")


def test_a_family_member_is_not_taken_for_another() -> None:
    prices = load_prices()
    assert prices.price("gpt-4o-mini").input < prices.price("gpt-4o").input


def test_an_unknown_model_is_refused_and_the_hint_says_where_to_add_it() -> None:
    with pytest.raises(NotFound, match="no price for model 'house-llm'") as caught:
        load_prices().price("house-llm")
    assert '"models"' in caught.value.hint


def test_the_users_default_stands_in_for_an_unknown_model(tmp_path: Path) -> None:
    file = write(tmp_path, {"default": {"input": 1, "output": 2}})
    assert load_prices(file).price("house-llm").output == 2


def test_the_users_price_goes_before_the_bundled_one(tmp_path: Path) -> None:
    file = write(tmp_path, {"models": {"gpt-4o": {"input": 1.0, "output": 2.0}}})
    assert load_prices(file).price("gpt-4o-2024-08-06") == ModelPrice(1.0, 1.0, 2.0)


def test_a_call_pays_cached_tokens_at_their_own_price() -> None:
    price = ModelPrice(input=2.0, cached_input=0.5, output=8.0)
    cost = price.call(input_tokens=1000, output_tokens=100, cached_input_tokens=800)
    assert cost == pytest.approx((200 * 2 + 800 * 0.5 + 100 * 8) / 1e6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "not a prices file"),
        ({"models": {"x": 3}}, "the price of 'x'"),
        ({"models": {"x": {"input": 1}}}, "output=None"),
        ({"models": {"x": {"input": 1, "output": -1}}}, "output=-1"),
        ({"models": {"x": {"input": 1, "output": 1, "euro": 1}}}, "euro"),
    ],
)
def test_a_prices_file_with_something_else_in_it_is_refused(
    tmp_path: Path, content: Any, message: str
) -> None:
    with pytest.raises(BadSetting, match=f"(?i){message}"):
        load_prices(write(tmp_path, content))


def test_a_prices_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text("{")
    with pytest.raises(BadSetting, match="not a prices file"):
        load_prices(file)
