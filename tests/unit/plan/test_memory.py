"""The memory model against figures that others published; sources are in docs/memory-model.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.errors import BadInput
from offramp.core.placement import LORA_RANKS
from offramp.plan.memory import (
    GIB,
    EngineFootprint,
    adapter_bytes,
    fixed_bytes,
    kv_bytes,
    slot_rank,
    slots_bytes,
    weight_bytes,
)
from offramp.plan.shape import read_shape

DOC = Path(__file__).parents[3] / "docs" / "memory-model.md"


def _config(family: str, layers: int, hidden: int, inner: int, heads: str, **more: Any) -> dict[str, Any]:
    queries, keys = heads.split("/")
    return {
        "model_type": family,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_attention_heads": int(queries),
        "num_key_value_heads": int(keys),
        **more,
    }


LLAMA_3_8B = _config("llama", 32, 4096, 14336, "32/8", vocab_size=128256)
QWEN3_0_6B = _config(
    "qwen3", 28, 1024, 3072, "16/8", head_dim=128, vocab_size=151936, tie_word_embeddings=True
)
QWEN3_0_6B_FP8 = {**QWEN3_0_6B, "quantization_config": {"quant_method": "fp8"}}
QWEN3_4B = _config("qwen3", 36, 2560, 9728, "32/8", head_dim=128, vocab_size=151936, tie_word_embeddings=True)
QWEN3_8B = _config("qwen3", 36, 4096, 12288, "32/8", head_dim=128, vocab_size=151936)
QWEN2_5_7B = _config("qwen2", 28, 3584, 18944, "28/4", vocab_size=152064)
QWEN2_5_7B_INT4 = {
    **QWEN2_5_7B,
    "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128},
}
QWEN2_5_7B_FP8 = {
    **QWEN2_5_7B,
    "quantization_config": {
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": {"weights": {"num_bits": 8}}},
    },
}
R1_QWEN_1_5B = _config("qwen2", 28, 1536, 8960, "12/2", vocab_size=151936)
PHI_4_MINI = _config("phi3", 32, 3072, 8192, "24/8", vocab_size=200064, tie_word_embeddings=True)


@dataclass(frozen=True, slots=True)
class Published:
    """One figure, as its source gives it, and how far the model may be off (relative)."""

    name: str
    config: dict[str, Any]
    value: float
    tolerance: float


# "Model loading took ... GiB" in vLLM logs.
WEIGHTS_GIB = (
    Published("Qwen3-8B", QWEN3_8B, 15.27, 0.005),
    Published("Qwen2.5-7B-Instruct", QWEN2_5_7B, 14.29, 0.01),
    Published("Qwen2.5-7B-Instruct-FP8-dynamic", QWEN2_5_7B_FP8, 8.18, 0.01),
    Published("Qwen2.5-7B-Instruct-GPTQ-Int4", QWEN2_5_7B_INT4, 5.27, 0.02),
    Published("Qwen3-4B", QWEN3_4B, 7.6785, 0.03),
    Published("Phi-4-mini", PHI_4_MINI, 7.1694, 0.005),
    Published("DeepSeek-R1-Distill-Qwen-1.5B", R1_QWEN_1_5B, 3.3143, 0.002),
    Published("Qwen3-0.6B-FP8", QWEN3_0_6B_FP8, 0.711, 0.02),
)

# "Available KV cache memory" over "GPU KV cache size" in vLLM logs: bytes per token.
KV_BYTES = (
    Published("Qwen3-8B", QWEN3_8B, 3.14 * GIB / 22_880, 0.005),
    Published("Qwen2.5-7B-Instruct", QWEN2_5_7B, 5.46 * GIB / 102_288, 0.005),
    Published("Phi-4-mini", PHI_4_MINI, 26.60 * GIB / (13_618 * 16), 0.005),
    Published("Qwen3-0.6B-FP8", QWEN3_0_6B_FP8, 12.67 * GIB / 118_576, 0.005),
)


def ids(row: Published) -> str:
    return row.name


@pytest.mark.parametrize("row", WEIGHTS_GIB, ids=ids)
def test_weights_agree_with_published_logs(row: Published) -> None:
    predicted = weight_bytes(read_shape(row.config)) / GIB
    assert predicted == pytest.approx(row.value, rel=row.tolerance)


@pytest.mark.parametrize("row", KV_BYTES, ids=ids)
def test_kv_cache_per_token_agrees_with_published_logs(row: Published) -> None:
    assert kv_bytes(read_shape(row.config), 1) == pytest.approx(row.value, rel=row.tolerance)


@pytest.mark.parametrize("row", WEIGHTS_GIB, ids=ids)
def test_the_documented_table_shows_what_the_model_computes(row: Published) -> None:
    predicted = weight_bytes(read_shape(row.config)) / GIB
    assert f"| {row.name} | {row.value:.2f} | {predicted:.2f} |" in DOC.read_text(encoding="utf-8")


@pytest.mark.parametrize("row", KV_BYTES, ids=ids)
def test_the_documented_kv_table_shows_what_the_model_computes(row: Published) -> None:
    predicted = kv_bytes(read_shape(row.config), 1)
    assert f"| {row.name} | {row.value:,.0f} | {predicted:,} |" in DOC.read_text(encoding="utf-8")


def test_parameters_are_counted_exactly() -> None:
    assert read_shape(LLAMA_3_8B).params == 8_030_261_248


def test_an_adapter_has_as_many_weights_as_peft_prints() -> None:
    assert adapter_bytes(read_shape(LLAMA_3_8B), 16) // 2 == 41_943_040


def test_an_untied_output_layer_costs_one_more_embedding() -> None:
    tied = read_shape(QWEN3_0_6B)
    untied = read_shape({**QWEN3_0_6B, "tie_word_embeddings": False})
    assert untied.params - tied.params == 151_936 * 1024


def test_head_dim_is_taken_from_the_config_where_it_is_not_hidden_over_heads() -> None:
    assert read_shape(QWEN3_0_6B).linears(0)["q_proj"] == (1024, 2048)


def test_a_sliding_window_bounds_the_kv_cache_of_its_layers() -> None:
    kinds = ["sliding_attention", "full_attention"] * 16
    shape = read_shape({**LLAMA_3_8B, "layer_types": kinds, "sliding_window": 1024})
    full = read_shape(LLAMA_3_8B)
    assert kv_bytes(shape, 9 * 1024) == pytest.approx(kv_bytes(full, 5 * 1024))


def test_kv_heads_may_differ_from_layer_to_layer() -> None:
    shape = read_shape({**LLAMA_3_8B, "num_key_value_heads": [8] * 16 + [4] * 16})
    assert kv_bytes(shape, 1) == 131_072 * 3 // 4


def test_an_fp8_cache_takes_half() -> None:
    shape = read_shape(QWEN3_8B)
    assert kv_bytes(shape, 7, kv_value_bytes=1) * 2 == kv_bytes(shape, 7)


def test_adapter_slots_are_padded_to_the_largest_rank() -> None:
    shape = read_shape(QWEN3_8B)
    assert slots_bytes(shape, [4, 8, 20]) == 3 * adapter_bytes(shape, 32)


def test_no_adapter_takes_no_memory() -> None:
    assert slots_bytes(read_shape(QWEN3_8B), []) == 0


def test_an_adapter_on_few_layers_is_smaller() -> None:
    shape = read_shape(LLAMA_3_8B)
    assert adapter_bytes(shape, 8, targets=("q_proj", "v_proj")) == 2 * 8 * 32 * (8192 + 5120)


def test_a_rank_beyond_every_engine_is_refused() -> None:
    with pytest.raises(BadInput, match="rank 513; engines allow at most 512"):
        slot_rank([513])


def test_an_unknown_adapter_target_is_refused() -> None:
    with pytest.raises(BadInput, match="lm_head"):
        adapter_bytes(read_shape(QWEN3_8B), 8, targets=("lm_head",))


@given(st.integers(1, 512))
def test_a_slot_holds_its_adapter_and_is_never_needlessly_large(rank: int) -> None:
    padded = slot_rank([rank])
    assert padded >= rank
    assert not [allowed for allowed in LORA_RANKS if rank <= allowed < padded]


@given(st.integers(0, 4096), st.integers(0, 4096))
def test_kv_cache_without_windows_is_linear_in_tokens(first: int, second: int) -> None:
    shape = read_shape(PHI_4_MINI)
    assert kv_bytes(shape, first) + kv_bytes(shape, second) == kv_bytes(shape, first + second)


def test_fixed_memory_of_an_engine_is_on_the_safe_side_of_a_published_log() -> None:
    # L4, 23,034 MiB, 90 % allowed, 15.27 GiB weights, 3.14 GiB left for the KV cache.
    published = 0.9 * 23_034 * 2**20 - (15.27 + 3.14) * GIB
    predicted = fixed_bytes(read_shape(QWEN3_8B), EngineFootprint())
    assert 0 <= (predicted - published) / GIB < 0.8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mamba"}, "model_type 'mamba'; it knows llama"),
        ({"hidden_size": "4096"}, "hidden_size='4096'; a positive whole number"),
        ({"num_hidden_layers": 0}, "num_hidden_layers=0"),
        ({"torch_dtype": "int3"}, "dtype 'int3'"),
        ({"num_key_value_heads": [8, 8]}, "lists 2 layers; the model has 32"),
        ({"layer_types": ["linear_attention"] * 32}, "linear_attention"),
        ({"quantization_config": {"quant_method": "exl3"}}, "quant_method 'exl3'"),
    ],
)
def test_a_config_that_cannot_be_counted_is_refused_with_what_is_allowed(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        read_shape({**LLAMA_3_8B, **change})
