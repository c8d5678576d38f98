"""TRL trains on the very rows that our own loop does, and leaves the same directory."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from offramp.core.errors import MissingExtra
from offramp.core.model import EngineRequest
from offramp.engine.bases import LINEAGE, load_base
from offramp.engine.embedded import EmbeddedEngine
from offramp.engine.nano import NANO_BASE
from offramp.train.feed import render_examples
from offramp.train.fit import Job, Pairs
from offramp.train.lora import Lora, Progress
from offramp.train.methods import train
from offramp.train.run import validation_loss
from offramp.train.trl_sft import train_with_trl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.train.conftest import Toy

    from offramp.train.result import TrainResult


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen3 of two narrow layers with random weights, as a hub base would lie on the disk."""
    folder = tmp_path_factory.mktemp("base") / "tiny-qwen3"
    tokenizer = AutoTokenizer.from_pretrained(NANO_BASE)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_trl_learns_from_our_rows_and_leaves_what_the_engine_serves(
    toy: Toy, base: Path, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    options = replace(toy.options, epochs=3, matrix_rate=1e-3)
    pairs = Pairs(toy.train, toy.validation)
    job = Job(Lora(options), pairs, base, tmp_path / "a", options, seen.append)
    result = train_with_trl(job, rate=2e-3)
    model, tokenizer = load_base(base)
    rows, _ = render_examples(tokenizer, toy.validation, 256)
    before = validation_loss(model, rows, 4096)
    assert result.validation_loss < before - 0.2
    assert (result.epochs, result.examples, seen[-1].step) == (3, 40, result.steps)
    engine = EmbeddedEngine(base)
    engine.load("a", tmp_path / "a")
    assert engine.complete([EngineRequest("a", toy.validation[0].prompt, max_tokens=4)])[0].pieces
    served = engine._model_of("a")
    # Rendering, masking and averaging are ours: its best validation loss is what our own loop would measure.
    assert validation_loss(served, rows, 4096) == pytest.approx(result.validation_loss, abs=2e-3)
    assert json.loads((tmp_path / "a" / LINEAGE).read_text())["base"]["name"] == "tiny-qwen3"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_trl_is_a_trainer_by_name_and_its_extra_is_named_where_it_is_missing(
    toy: Toy, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained() -> TrainResult:
        options = replace(toy.options, epochs=1)
        pairs = Pairs(toy.train, toy.validation)
        return train(
            "lora", pairs, base=base, out=tmp_path / "a", options=options, on_progress=print, trainer="trl"
        )

    assert trained().notes == ("trained with TRL",)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="trl is not installed") as caught:
        trained()
    assert "offramp[trl]" in caught.value.hint
