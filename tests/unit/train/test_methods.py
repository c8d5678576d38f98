from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from offramp.core.errors import BadInput, EngineError, MissingExtra
from offramp.core.model import EngineRequest
from offramp.engine.bases import LINEAGE, load_base
from offramp.engine.embedded import EmbeddedEngine
from offramp.engine.nano import NANO_BASE
from offramp.train.feed import render_examples
from offramp.train.fit import Pairs
from offramp.train.gpu import require_gpu
from offramp.train.methods import METHODS, train
from offramp.train.qlora import Qlora
from offramp.train.run import validation_loss

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.train.conftest import Toy

    from offramp.train.result import TrainResult

GPU = torch.cuda.is_available()


def fit(toy: Toy, method: str, out: Path, **changes: object) -> TrainResult:
    options = replace(toy.options, **changes)  # type: ignore[arg-type]  # each test names fields of its own
    pairs = Pairs(toy.train, toy.validation)
    return train(method, pairs, base=NANO_BASE, out=out, options=options, on_progress=lambda progress: None)


@pytest.fixture(scope="module")
def whole(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return fit(toy, "full", tmp_path_factory.mktemp("full") / "zed", epochs=8, batch_tokens=128)


def test_full_fine_tuning_lowers_the_validation_loss(toy: Toy, whole: TrainResult) -> None:
    model, tokenizer = load_base(NANO_BASE)
    rows, _ = render_examples(tokenizer, toy.validation, 512)
    assert whole.method == "full"
    assert whole.validation_loss < validation_loss(model, rows, 2048) / 2


@pytest.mark.parametrize("merge_limit", [0, 50_000_000])
def test_the_engine_serves_a_whole_model_beside_its_base(
    toy: Toy, whole: TrainResult, merge_limit: int
) -> None:
    engine = EmbeddedEngine(NANO_BASE, merge_limit=merge_limit)
    engine.load("zed", whole.path)
    prompt = toy.validation[3].prompt
    own, base = engine.complete([EngineRequest("zed", prompt), EngineRequest("", prompt)])
    (alone,) = EmbeddedEngine(whole.path).complete([EngineRequest("", prompt)])
    assert own.text == alone.text
    assert own.logprobs == pytest.approx(alone.logprobs, abs=1e-3)
    assert own.logprobs != base.logprobs


def test_a_whole_model_is_a_hugging_face_directory_with_a_card(whole: TrainResult) -> None:
    names = {path.name for path in whole.path.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", LINEAGE} <= names
    card = (whole.path / "README.md").read_text()
    assert "library_name: transformers" in card
    assert f"| {whole.epochs} |" in card


def test_weights_of_another_base_are_refused(toy: Toy, whole: TrainResult, tmp_path: Path) -> None:
    adapter = fit(toy, "lora", tmp_path / "a", epochs=1).path
    engine = EmbeddedEngine(whole.path)
    with pytest.raises(EngineError, match="was trained on sha256:"):
        engine.load("a", adapter)


def test_a_model_of_another_shape_is_refused(whole: TrainResult, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(whole.path, other)
    (other / LINEAGE).unlink()
    config = json.loads((other / "config.json").read_text())
    config["num_hidden_layers"] = 4
    config["layer_types"] = config["layer_types"][:4]
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(EngineError, match="the base is"):
        EmbeddedEngine(NANO_BASE).load("a", other)


def test_the_best_of_several_seeds_is_kept(toy: Toy, tmp_path: Path) -> None:
    result = fit(toy, "lora", tmp_path / "a", epochs=1, seed=5, seeds=3)
    assert sorted(result.seeds) == [5, 6, 7]
    assert result.validation_loss == min(result.seeds.values()) == result.seeds[result.seed]
    assert len(set(result.seeds.values())) == 3
    alone = fit(toy, "lora", tmp_path / "b", epochs=1, seed=result.seed)
    one, other = ((tmp_path / name / "adapter_model.safetensors").read_bytes() for name in "ab")
    assert one == other
    assert alone.validation_loss == result.validation_loss


def test_lineage_leads_from_calls_to_files(toy: Toy, tmp_path: Path) -> None:
    result = fit(toy, "lora", tmp_path / "a", epochs=1)
    lineage = json.loads((tmp_path / "a" / LINEAGE).read_text())
    again = json.loads((fit(toy, "lora", tmp_path / "b", epochs=1).path / LINEAGE).read_text())
    assert lineage["calls"] == again["calls"]
    assert lineage["files"] == again["files"]
    assert lineage["examples"] == result.lineage
    assert lineage["base"]["name"] == "nano"
    assert lineage["training"]["left_out"] == 0
    assert str(tmp_path) not in (tmp_path / "a" / "README.md").read_text()


def test_an_unknown_method_is_named(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no training method 'dora'; there are lora, full, qlora"):
        fit(toy, "dora", tmp_path / "a")
    assert METHODS == ("lora", "full", "qlora")
    with pytest.raises(BadInput, match="no trainer 'magic'; there are own, trl"):
        train(
            "lora",
            Pairs(toy.train, toy.validation),
            base=NANO_BASE,
            out=tmp_path / "a",
            options=toy.options,
            on_progress=lambda progress: None,
            trainer="magic",
        )


def test_qlora_without_a_gpu_says_why_and_what_instead(toy: Toy) -> None:
    with pytest.raises(BadInput, match="CUDA GPU") as caught:
        require_gpu(available=False)
    assert "Try lora" in caught.value.hint
    if not GPU:
        with pytest.raises(BadInput, match="sees none here"):
            Qlora(toy.options).prepare(NANO_BASE)


@pytest.mark.gpu
@pytest.mark.skipif(not GPU, reason="needs a CUDA GPU and bitsandbytes")
def test_qlora_trains_an_adapter_that_the_engine_serves(toy: Toy, tmp_path: Path) -> None:
    result = fit(toy, "qlora", tmp_path / "a", epochs=4, batch_tokens=128)
    assert result.history[-1][1] < result.history[0][1]
    engine = EmbeddedEngine(NANO_BASE)
    engine.load("a", result.path)
    assert engine.complete([EngineRequest("a", toy.validation[0].prompt)])[0].finished


@pytest.mark.skipif(GPU, reason="there is a GPU, so the first check passes")
def test_qlora_without_bitsandbytes_names_the_extra() -> None:
    with pytest.raises(MissingExtra, match=r"offramp\[qlora\]"):
        require_gpu(available=True)
