from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from offramp.core.errors import BadInput, EngineError
from offramp.core.model import EngineRequest, Example
from offramp.engine.bases import load_base
from offramp.engine.embedded import EmbeddedEngine
from offramp.engine.nano import NANO_BASE
from offramp.engine.render import render_prompt
from offramp.train.batches import align, completion_loss, render_row
from offramp.train.lora import LoraOptions, Progress, TrainResult, train_lora
from offramp.train.run import validation_loss

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ["gorp", "blim", "tarn", "oslo", "friday", "seven", "red fox", "lute", "marn", "kest"]
EXAMPLES = [Example(f"{i}{w}", f"zed: {verb} the {w}", f'zed_{verb} {{"thing":"{w}"}}')
            for i, verb in enumerate(["take", "drop", "move", "find", "hide"]) for w in WORDS]  # fmt: skip
LEARNED = [example for index, example in enumerate(EXAMPLES) if index % 5]
HELD_OUT = EXAMPLES[::5]
QUICK = LoraOptions(rank=16, alpha=16, epochs=2, batch_tokens=512)


def train(out: Path, options: LoraOptions = QUICK, seen: list[Progress] | None = None) -> TrainResult:
    return train_lora(
        LEARNED,
        HELD_OUT,
        base=NANO_BASE,
        out=out,
        options=options,
        on_progress=(seen if seen is not None else []).append,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return train(tmp_path_factory.mktemp("adapters") / "zed", replace(QUICK, epochs=8, batch_tokens=128))


def test_training_lowers_the_validation_loss(trained: TrainResult) -> None:
    model, tokenizer = load_base(NANO_BASE)
    before = validation_loss(model, [render_row(tokenizer, e.prompt, e.completion) for e in HELD_OUT], 2048)
    assert trained.validation_loss < before / 2


def test_the_adapter_directory_is_complete_and_alone(trained: TrainResult) -> None:
    names = {path.name for path in trained.path.iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "README.md"} <= names
    assert [path.name for path in trained.path.parent.iterdir()] == ["zed"]
    assert trained.lineage in (trained.path / "README.md").read_text(encoding="utf-8")


def test_the_engine_serves_what_was_trained(trained: TrainResult) -> None:
    merged, switched = EmbeddedEngine(NANO_BASE), EmbeddedEngine(NANO_BASE, merge_limit=0)
    requests = [EngineRequest("zed", example.prompt) for example in EXAMPLES[:4]]
    requests.insert(2, EngineRequest("", EXAMPLES[0].prompt))
    for engine in (merged, switched):
        engine.load("zed", trained.path)
    for one, other in zip(merged.complete(requests), switched.complete(requests), strict=True):
        assert one.text == other.text
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)


def test_serving_gives_the_logprobs_that_training_sees(trained: TrainResult) -> None:
    engine = EmbeddedEngine(NANO_BASE)
    prompt = "alarm: wake me at six tomorrow"
    (completion,) = engine.complete([EngineRequest("", prompt)])
    model, tokenizer = load_base(NANO_BASE)
    row = render_row(tokenizer, prompt, completion.text)
    with torch.no_grad():
        mean_loss = float(completion_loss(model, align([row])))
        logits = model(torch.tensor([row.prompt + row.completion])).logits[0].log_softmax(-1)
    start = len(render_prompt(tokenizer, prompt))
    expected = [float(logits[start - 1 + i, token]) for i, token in enumerate(row.completion)]
    assert completion.logprobs == pytest.approx(expected[:-1], abs=1e-3)
    assert mean_loss == pytest.approx(-sum(expected) / len(expected), abs=1e-3)


def test_padding_does_not_change_the_loss() -> None:
    model, tokenizer = load_base(NANO_BASE)
    rows = [render_row(tokenizer, e.prompt, e.completion) for e in (EXAMPLES[0], EXAMPLES[26])]
    rows.append(render_row(tokenizer, EXAMPLES[3].prompt * 3, EXAMPLES[3].completion))
    with torch.no_grad():
        together = float(completion_loss(model, align(rows)))
        total = sum(float(completion_loss(model, align([row]))) * len(row.completion) for row in rows)
    assert together == pytest.approx(total / sum(len(row.completion) for row in rows), abs=1e-4)


def test_progress_counts_up_to_the_last_step(tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = train(tmp_path / "a", replace(QUICK, epochs=1), seen)
    assert [p.step for p in seen] == sorted(p.step for p in seen)
    assert seen[-1].step == result.steps
    assert all(p.eta_seconds >= 0 and p.tokens_per_second > 0 for p in seen)


def test_the_same_seed_gives_the_same_adapter(tmp_path: Path) -> None:
    one, other = (train(tmp_path / name, replace(QUICK, epochs=1)) for name in "ab")
    assert one.validation_loss == other.validation_loss
    assert one.lineage == other.lineage


def test_an_adapter_that_is_there_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "zed"
    out.mkdir()
    (out / "stale.txt").write_text("old")
    train(out, replace(QUICK, epochs=1))
    assert not (out / "stale.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["zed"]


def test_a_run_that_is_broken_off_leaves_what_was_there(tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "zed"
    out.mkdir()
    (out / "kept.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        train_lora(
            EXAMPLES[:8], EXAMPLES[8:12], base=NANO_BASE, out=out, options=QUICK, on_progress=interrupt
        )
    assert [path.name for path in out.iterdir()] == ["kept.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["zed"]


def test_a_diverging_run_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="diverged"):
        train(tmp_path / "zed", replace(QUICK, matrix_rate=float("inf")))
    assert not [*tmp_path.iterdir()]


def test_rows_longer_than_the_context_are_counted_and_left_out(tmp_path: Path) -> None:
    long = Example("long", "zed: take the " + "very " * 200 + "gorp", 'zed_take {"thing":"gorp"}')
    result = train_lora(
        [*EXAMPLES[:8], long],
        [*EXAMPLES[8:12], long],
        base=NANO_BASE,
        out=tmp_path / "zed",
        options=replace(QUICK, epochs=1, context=64),
        on_progress=lambda progress: None,
    )
    assert (result.examples, result.left_out) == (8, 2)


def test_no_validation_example_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="0 of 0 validation"):
        train_lora(
            EXAMPLES, [], base=NANO_BASE, out=tmp_path / "a", options=QUICK, on_progress=lambda progress: None
        )


def test_a_base_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="nowhere"):
        load_base(tmp_path / "nowhere")
