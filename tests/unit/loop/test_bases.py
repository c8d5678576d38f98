from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from offramp.core.call import Usage
from offramp.core.errors import BadInput
from offramp.loop.bases import Load, fits, load_of, probe_bases, shape_of, shape_on
from offramp.plan.devices import find_device, load_devices
from offramp.select import Need, load_catalogue
from offramp.testing.traffic import Agent, ask, calls_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.loop.bases import Fit
    from offramp.select import SmallModel

CATALOGUE = load_catalogue()
NEED = Need(context=0, device="", memory=0)
LOAD = Load(context=2000, prompt=300, completion=30)


def on(device: str, need: Need = NEED, load: Load = LOAD) -> dict[str, Fit]:
    found = fits(CATALOGUE, load, find_device(device), need)
    return {fit.model.name.partition("/")[2]: fit for fit in found}


@pytest.mark.parametrize("model", CATALOGUE.models.values(), ids=lambda model: model.name)
def test_the_shape_adds_up_to_the_published_number_of_parameters(model: SmallModel) -> None:
    if model.parameters is None:
        pytest.skip("nobody publishes the number")
    # A figure that ends in zeros is a rounded one ("7B" is 7.25 and 7.30 thousand millions).
    rounded = model.parameters % 1_000_000 == 0
    assert shape_of(model).params == pytest.approx(model.parameters, rel=0.05 if rounded else 1e-4)


def test_a_device_decides_what_is_small() -> None:
    small = {device: {n for n, fit in on(device).items() if fit.small} for device in load_devices()}
    assert small["cpu-laptop"] < small["l4"] < small["h100"]
    assert "SmolLM2-135M-Instruct" in small["cpu-laptop"]
    assert "Qwen3-8B" in small["h100"] - small["l4"]


def test_eight_thousand_million_weights_do_not_fit_a_laptop_and_the_reason_says_so() -> None:
    assert "cpu-laptop has 12.0 GiB" in "".join(on("cpu-laptop")["Qwen3-8B"].reasons)
    assert on("l4")["Qwen3-8B"].reasons == ()


def test_the_embedded_engine_holds_single_precision_on_a_cpu() -> None:
    model, laptop = CATALOGUE.find("Qwen3-0.6B"), find_device("cpu-laptop")
    assert shape_on(model, laptop, "embedded").weight_bytes == 4
    assert shape_on(model, laptop, "server").weight_bytes == 2
    assert shape_on(model, find_device("l4"), "embedded").weight_bytes == 2


def test_longer_calls_need_more_memory_and_shut_short_contexts_out() -> None:
    long = on("h100", load=replace(LOAD, context=30_000))
    assert long["Qwen3-8B"].memory > on("h100")["Qwen3-8B"].memory
    assert "its context is 8,192" in "".join(long["SmolLM2-135M-Instruct"].reasons)


def test_models_come_fastest_first() -> None:
    seconds = [fit.seconds for fit in on("l4").values()]
    assert seconds == sorted(seconds)


def test_the_load_is_that_of_the_longest_call_in_a_thousand_and_of_the_middle_one() -> None:
    calls = calls_of([Agent().route() for _ in range(40)])
    long = ask("Say where to.", "x" * 3000)
    calls[0] = replace(calls[0], request=long, usage=Usage(1000, 100))
    found = load_of(calls)
    assert found.context == 24 + 1000 + 125
    assert 24 < found.prompt < 60
    assert found.completion == 10


def test_the_static_prompt_is_not_read_by_a_trained_model() -> None:
    (call,) = calls_of([Agent().route()])
    longer = {
        **call.request,
        "messages": [{"role": "system", "content": "x" * 9000}, *call.request["messages"][1:]],
    }
    assert load_of([replace(call, request=longer)]) == load_of([call])


def test_answers_without_a_count_are_estimated_from_their_characters() -> None:
    (call,) = calls_of([Agent().route()])
    found = load_of([replace(call, usage=Usage())])
    assert found.completion == len(str(call.response)) // 3
    assert found.context == found.prompt + found.completion


def test_no_calls_have_no_load() -> None:
    with pytest.raises(BadInput, match="no calls"):
        load_of([])


def test_the_smallest_base_near_the_best_wins_the_probe() -> None:
    good = {"Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B", "Qwen/Qwen3-8B"}
    asked: set[str] = set()

    def losses(model: SmallModel, rows: Sequence[int]) -> list[float]:
        asked.add(model.name)
        return [0.0 if model.name in good else 1.0] * len(rows)

    found = fits(CATALOGUE, LOAD, find_device("h100"), NEED)
    assert probe_bases(found, losses, 256).winner == "Qwen/Qwen3-0.6B"
    assert "Salesforce/xLAM-2-3b-fc-r" not in asked
    assert "Qwen/Qwen3-8B" in asked


def test_where_nothing_may_be_probed_the_reasons_are_counted() -> None:
    found = fits(CATALOGUE, replace(LOAD, context=10**7), find_device("l4"), NEED)
    with pytest.raises(BadInput, match=f"{len(found)} are ruled out, 0 too slow"):
        probe_bases(found, lambda model, rows: [], 10)
