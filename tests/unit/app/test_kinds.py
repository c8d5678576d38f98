from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from offramp.app.kinds import ASKABLE, kinds_of
from offramp.config import Settings
from offramp.core.errors import BadSetting
from offramp.select import KINDS


def settings(**train: Any) -> Settings:
    made = Settings()
    return replace(made, train=replace(made.train, **train))


def test_without_a_wish_the_usual_kinds_are_tried() -> None:
    assert kinds_of(settings()) == KINDS
    assert set(KINDS) <= set(ASKABLE)


def test_a_wish_is_tried_in_the_order_of_the_ladder_and_nothing_else() -> None:
    assert kinds_of(settings(kinds="lora, cache,,lora")) == ("cache", "lora")


@pytest.mark.parametrize(
    ("wish", "named"),
    [("cache,magic", "'magic'"), ("keep_llm", "'keep_llm'"), (",", "nothing"), ("LORA", "'LORA'")],
)
def test_a_wish_for_what_is_no_kind_is_one_clear_error(wish: str, named: str) -> None:
    with pytest.raises(BadSetting, match=f"name {named}; allowed are cache, template"):
        kinds_of(settings(kinds=wish))


@pytest.mark.parametrize("base", ["Qwen/Qwen3-0.6B", "Qwen3-0.6B", "/models/Qwen3-0.6B"])
def test_an_instruct_model_is_also_prompted(base: str) -> None:
    assert kinds_of(settings(base=base)) == (*KINDS, "prompted")


def test_a_base_that_is_no_instruct_model_is_not_prompted() -> None:
    assert kinds_of(settings(base="allenai/OLMo-2-1124-7B")) == KINDS


def test_naming_a_server_or_a_cheaper_model_asks_for_it() -> None:
    assert kinds_of(settings(server="http://localhost:8000", server_model="m")) == (*KINDS, "prompted")
    assert kinds_of(settings(cheaper="gpt-4o-mini")) == (*KINDS, "cheaper")
