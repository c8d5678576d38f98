from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import pdtr

from offramp.core.errors import BadInput, NotFound
from offramp.plan.devices import load_devices
from offramp.plan.memory import GIB, adapter_bytes
from offramp.plan.plan import plan, poisson_quantile
from offramp.plan.prices import ModelPrice, Prices
from offramp.plan.shape import read_shape
from offramp.plan.traffic import Candidate, TaskTraffic, Traffic

DEVICES = load_devices()
PRICES = Prices({"big": ModelPrice(input=2.0, cached_input=0.5, output=8.0)})
QWEN3_8B = read_shape(
    {
        "model_type": "qwen3",
        "num_hidden_layers": 36,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
    },
    name="Qwen3-8B",
)


def traffic(calls: int, *, tasks: int = 3, days: float = 30.0) -> Traffic:
    return Traffic("big", days, tuple(TaskTraffic(f"t{i}", calls // tasks, 1200, 60) for i in range(tasks)))


def adapted(task: str, rank: int = 16) -> Candidate:
    return Candidate(
        task, f"s-{task}", "fine-tuned", coverage=0.6, base=QWEN3_8B, rank=rank, prompt_tokens=200
    )


def small(task: str) -> Candidate:
    return Candidate(
        task,
        "extractive",
        "extractive",
        coverage=0.5,
        seconds_per_call=0.02,
        memory_bytes=100_000_000,
        training_seconds=400,
    )


def test_a_small_specialist_fits_a_laptop_and_pays() -> None:
    found = plan(traffic(600_000), (small("t0"), small("t1")), DEVICES["cpu-laptop"], PRICES)
    assert found.fits
    assert found.replicas == 1
    assert found.costs.worth_it
    assert found.binding.startswith("none; the nearest is")


def test_tasks_of_one_specialist_share_its_memory() -> None:
    device = DEVICES["cpu-laptop"]
    one = plan(traffic(600_000), (small("t0"),), device, PRICES)
    two = plan(traffic(600_000), (small("t0"), small("t1")), device, PRICES)
    assert one.memory.weights == two.memory.weights == 100_000_000


def test_adapters_share_the_weights_of_their_base() -> None:
    found = plan(traffic(3_000_000), tuple(adapted(f"t{i}") for i in range(3)), DEVICES["l40s"], PRICES)
    assert found.adapters == 3
    assert found.memory.weights == pytest.approx(15.26 * GIB, rel=1e-3)
    assert found.memory.adapters == 3 * adapter_bytes(QWEN3_8B, 16)


def test_one_large_adapter_makes_every_slot_large() -> None:
    candidates = (adapted("t0"), adapted("t1"), adapted("t2", rank=64))
    found = plan(traffic(3_000_000), candidates, DEVICES["l40s"], PRICES)
    assert found.memory.adapters == 3 * adapter_bytes(QWEN3_8B, 64)


def test_a_model_larger_than_the_device_does_not_fit_and_memory_binds() -> None:
    found = plan(traffic(3000), (adapted("t0"),), DEVICES["cpu-laptop"], PRICES)
    assert not found.fits
    assert found.binding.startswith("memory: 1")
    assert "12.0 GiB there" in found.binding


def test_heavy_traffic_needs_more_devices_and_compute_binds() -> None:
    found = plan(traffic(900_000_000), (adapted("t0"), adapted("t1")), DEVICES["l40s"], PRICES)
    assert found.replicas > 1
    assert found.load <= found.load_cap
    assert found.binding == f"compute: the busiest hour needs {found.replicas} devices at 70 % load each"


def test_little_traffic_does_not_pay_and_money_binds() -> None:
    found = plan(traffic(3000), (adapted("t0"),), DEVICES["h100"], PRICES)
    assert found.binding.startswith("money:")


def test_without_candidates_nothing_is_placed() -> None:
    found = plan(traffic(3000), (), DEVICES["l4"], PRICES)
    assert found.replicas == 0
    assert found.memory.total == 0
    assert found.binding.startswith("nothing to place")


def test_a_providers_model_needs_no_device() -> None:
    hosted = replace(
        small("t0"), seconds_per_call=0.0, memory_bytes=0, usd_per_call=0.0001, training_seconds=0
    )
    found = plan(traffic(600_000), (hosted,), DEVICES["cpu-laptop"], PRICES)
    assert (found.replicas, found.load, found.latency_s, found.concurrency_planned) == (0, 0.0, 0.0, 0)
    assert found.costs.device == 0.0
    assert found.costs.billed == pytest.approx(200_000 * 0.0001)
    assert found.costs.worth_it


def test_the_kv_budget_is_what_the_planned_concurrency_holds() -> None:
    found = plan(traffic(30_000_000), (adapted("t0"),), DEVICES["l40s"], PRICES)
    assert found.concurrency_planned > found.concurrency > 1
    assert found.memory.kv == found.concurrency_planned * 260 * 147_456


def test_concurrency_is_littles_law() -> None:
    load = traffic(30_000_000)
    found = plan(load, (adapted("t0"),), DEVICES["l40s"], PRICES)
    rate = load.peak_rate(load.tasks[0])
    assert found.concurrency * found.replicas == pytest.approx(rate * found.latency_s)


def test_a_plan_survives_json() -> None:
    found = plan(traffic(600_000), (small("t0"),), DEVICES["cpu-laptop"], PRICES)
    again = json.loads(json.dumps(found.to_dict()))
    assert again["memory"]["total"] == found.memory.total
    assert again["costs"]["sentence"] == found.costs.sentence
    assert again["costs"]["break_even"][0]["utilisation"] == 0.2


@given(st.floats(0.01, 2000), st.floats(0.9, 0.9999))
def test_the_poisson_quantile_is_the_smallest_that_reaches_the_probability(
    mean: float, probability: float
) -> None:
    found = poisson_quantile(mean, probability)
    assert pdtr(found, mean) >= probability
    assert found < 2 or pdtr(found - 2, mean) < probability


def test_a_teacher_without_a_price_is_refused() -> None:
    with pytest.raises(NotFound, match="house-llm"):
        plan(replace(traffic(3000), model="house-llm"), (), DEVICES["l4"], PRICES)


def test_two_candidates_for_one_task_are_refused() -> None:
    with pytest.raises(BadInput, match="two candidates"):
        plan(traffic(3000), (small("t0"), small("t0")), DEVICES["l4"], PRICES)


def test_a_candidate_without_traffic_is_refused() -> None:
    with pytest.raises(BadInput, match="has no traffic"):
        plan(traffic(3000), (small("t9"),), DEVICES["l4"], PRICES)


def test_a_candidate_whose_time_nobody_knows_is_refused() -> None:
    with pytest.raises(BadInput, match="neither a base nor measured"):
        Candidate("t", "s", "fine-tuned", coverage=0.5)


def test_a_coverage_above_one_is_refused() -> None:
    with pytest.raises(BadInput, match=r"coverage 1\.2; allowed is 0 to 1"):
        replace(small("t0"), coverage=1.2)


def test_traffic_with_more_cached_than_input_tokens_is_refused() -> None:
    with pytest.raises(BadInput, match="cached"):
        TaskTraffic("t", 1, 100, 10, cached_input_tokens=200)


def test_traffic_of_no_days_is_refused() -> None:
    with pytest.raises(BadInput, match="0 days"):
        traffic(10, days=0.0)
