from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.plan.compute import decode_step_s, prefill_s, request_time
from offramp.plan.devices import load_devices
from offramp.plan.shape import ModelShape, read_shape

DEVICES = load_devices()


def llama(inner: int, kv_heads: int, vocab: int) -> ModelShape:
    return read_shape(
        {
            "model_type": "llama",
            "num_hidden_layers": 32,
            "hidden_size": 4096,
            "intermediate_size": inner,
            "num_attention_heads": 32,
            "num_key_value_heads": kv_heads,
            "vocab_size": vocab,
        }
    )


LLAMA_2_7B = llama(11008, 32, 32000)
LLAMA_3_8B = llama(14336, 8, 128256)
QWEN2_5_7B = read_shape(
    {
        "model_type": "qwen2",
        "num_hidden_layers": 28,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
    }
)


@pytest.mark.parametrize(("batch", "published_ms"), [(1, 57.03), (8, 60.68)])
def test_decoding_steps_on_an_l4_agree_with_a_published_benchmark(batch: int, published_ms: float) -> None:
    step = decode_step_s(QWEN2_5_7B, DEVICES["l4"], batch=batch, context=328)
    assert step * 1000 == pytest.approx(published_ms, rel=0.05)


def test_decoding_throughput_on_an_a100_is_within_a_third_of_muxserve() -> None:
    step = decode_step_s(LLAMA_2_7B, DEVICES["a100-80gb"], batch=64, context=512)
    assert 64 / step == pytest.approx(2_569, rel=0.33)


def test_prefill_rate_on_an_a100_is_within_a_sixth_of_muxserve() -> None:
    assert 512 / prefill_s(LLAMA_2_7B, DEVICES["a100-80gb"], tokens=512) == pytest.approx(13_450, rel=0.17)


def test_throughput_on_an_h100_is_within_a_fifth_of_aiconfigurator() -> None:
    time = request_time(LLAMA_3_8B, DEVICES["h100"], prompt=1000, completion=200, batch=256)
    assert 200 / time.device_s == pytest.approx(5_406, rel=0.2)


def test_a_batch_shares_the_steps_but_every_request_waits_for_them() -> None:
    alone = request_time(LLAMA_3_8B, DEVICES["l4"], prompt=200, completion=30)
    shared = request_time(LLAMA_3_8B, DEVICES["l4"], prompt=200, completion=30, batch=16)
    assert shared.device_s < alone.device_s / 4
    assert shared.latency_s > alone.latency_s


def test_an_adapter_costs_what_the_device_says() -> None:
    device = DEVICES["l4"]
    plain = request_time(LLAMA_3_8B, device, prompt=200, completion=30)
    adapted = request_time(LLAMA_3_8B, device, prompt=200, completion=30, adapters=True)
    assert adapted.device_s == pytest.approx(plain.device_s * device.adapter_slowdown)


def test_a_cached_prompt_costs_no_prefill() -> None:
    device = DEVICES["l4"]
    time = request_time(LLAMA_3_8B, device, prompt=0, completion=10)
    assert time.latency_s == pytest.approx(10 * decode_step_s(LLAMA_3_8B, device, batch=1, context=5))


@given(st.integers(1, 200), st.integers(1, 200))
def test_a_larger_batch_never_makes_a_step_shorter(first: int, second: int) -> None:
    small, large = sorted((first, second))
    device = DEVICES["h100"]
    assert decode_step_s(LLAMA_3_8B, device, batch=small, context=500) <= decode_step_s(
        LLAMA_3_8B, device, batch=large, context=500
    )
