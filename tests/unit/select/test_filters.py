from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.errors import BadInput
from offramp.select import Need, load_catalogue, refusals, tokens_at

CATALOGUE = load_catalogue()
QWEN = CATALOGUE.find("Qwen3-0.6B")
FREE = Need(context=1000, device="box", memory=8 << 30)
COUNTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=300)


def reasons(name: str, need: Need = FREE, memory: int = 1 << 30) -> str:
    model = CATALOGUE.find(name)
    return "; ".join(refusals(model, CATALOGUE.licence(model), need, memory))


def test_a_model_that_meets_every_demand_passes() -> None:
    assert reasons("Qwen3-0.6B") == ""


@pytest.mark.parametrize("name", ["Ministral-8B-Instruct-2410", "xLAM-2-3b-fc-r", "Qwen2.5-3B-Instruct"])
def test_a_research_licence_is_no_licence_for_a_business(name: str) -> None:
    assert "does not allow commercial use" in reasons(name)
    assert "commercial" not in reasons(name, replace(FREE, commercial=False))


def test_a_licence_against_derivatives_stops_training_only() -> None:
    closed = replace(CATALOGUE.licence(QWEN), fine_tuning=False)
    assert "does not allow fine-tuning" in "".join(refusals(QWEN, closed, FREE, 0))
    assert refusals(QWEN, closed, replace(FREE, fine_tune=False), 0) == ()


def test_long_calls_need_a_long_context() -> None:
    long = replace(FREE, context=40_961)
    assert "need 40,961 tokens; its context is 40,960" in reasons("Qwen3-0.6B", long)
    assert reasons("Qwen3-4B-Instruct-2507", long) == ""


def test_memory_is_told_in_gib() -> None:
    assert "needs 9.0 GiB; box has 8.0 GiB" in reasons("Qwen3-0.6B", memory=9 << 30)


def test_an_unknown_model_type_runs_on_a_server_only() -> None:
    odd = replace(QWEN, family="mamba")
    licence = CATALOGUE.licence(QWEN)
    assert "model type 'mamba'" in "".join(refusals(odd, licence, FREE, 0))
    assert refusals(odd, licence, replace(FREE, engine="server"), 0) == ()


def test_a_base_without_a_chat_template_is_out() -> None:
    assert reasons("OLMo-2-1124-7B") == "its tokenizer has no chat template"


def test_only_a_known_lack_of_tool_calling_counts() -> None:
    asked = replace(FREE, tools=True)
    assert "not trained to call tools" in "".join(
        refusals(replace(QWEN, tool_calling=False), CATALOGUE.licence(QWEN), asked, 0)
    )
    assert refusals(replace(QWEN, tool_calling=None), CATALOGUE.licence(QWEN), asked, 0) == ()


def test_languages_that_the_card_does_not_name_are_told() -> None:
    assert "languages fr, sw" in reasons("Qwen3-0.6B", replace(FREE, languages=("sw", "en", "fr")))


def test_every_reason_is_told_at_once() -> None:
    need = replace(FREE, context=10**7, languages=("xx",))
    found = reasons("Ministral-8B-Instruct-2410", need, memory=10**12).split("; ")
    assert len(found) >= 4


@given(COUNTS, st.floats(0.001, 1))
def test_the_quantile_holds_at_least_its_share_and_is_the_least_that_does(
    counts: list[int], share: float
) -> None:
    limit = tokens_at(counts, share)
    assert limit in counts
    # One part in a thousand million is forgiven: shares are floats.
    assert sum(count <= limit for count in counts) >= share * len(counts) - 1e-6
    assert sum(count < limit for count in counts) < share * len(counts) + 1e-6


@given(COUNTS, st.randoms())
def test_the_order_of_calls_does_not_matter(counts: list[int], random: object) -> None:
    assert tokens_at(reversed(counts)) == tokens_at(counts)


@given(st.integers(1, 3000))
def test_one_call_in_a_thousand_may_be_longer(calls: int) -> None:
    counts = [*range(calls - 1), 10**6]
    assert (tokens_at(counts) == 10**6) == (calls < 1000)


@pytest.mark.parametrize(("counts", "share"), [([], 0.5), ([1], 0.0), ([1], 1.1)])
def test_no_calls_and_no_share_have_no_quantile(counts: list[int], share: float) -> None:
    with pytest.raises(BadInput):
        tokens_at(counts, share)


@given(st.integers(1, 300_000), st.integers(1, 300_000), st.integers(0, 10**11), st.integers(0, 10**11))
def test_a_larger_demand_never_lets_a_model_in(context: int, more: int, memory: int, held: int) -> None:
    licence = CATALOGUE.licence(QWEN)
    small = refusals(QWEN, licence, replace(FREE, context=context), memory)
    large = refusals(QWEN, licence, replace(FREE, context=context + more), memory + held)
    assert len(large) >= len(small)
