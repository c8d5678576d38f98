"""A run that diverges goes back to good weights, once at a lower rate, and says so."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from offramp.core.errors import EngineError
from offramp.engine.bases import load_base
from offramp.engine.nano import NANO_BASE
from offramp.train.feed import Feed
from offramp.train.fit import Job, Pairs, fit
from offramp.train.lora import Lora, LoraOptions, Progress

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from tests.unit.train.conftest import Toy
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from offramp.train.result import TrainResult


@dataclass
class Poisoned:
    """LoRA whose model gives nonsense at some training steps: its logits times a factor."""

    options: LoraOptions
    at: frozenset[int]
    factor: float = math.nan
    steps: int = 0
    name: str = "lora"
    inner: Lora = field(init=False)

    def __post_init__(self) -> None:
        self.inner = Lora(self.options)

    def prepare(self, base: Path | str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        model, tokenizer = self.inner.prepare(base)
        model.register_forward_hook(self._poison)
        return model, tokenizer

    def _poison(self, model: torch.nn.Module, inputs: Any, output: Any) -> None:
        if model.training:
            self.steps += 1
            if self.steps in self.at:
                output.logits = output.logits * self.factor

    def write(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
        self.inner.write(model, tokenizer, folder)


def train(toy: Toy, out: Path, *at: int, seen: list[Progress] | None = None) -> TrainResult:
    options = replace(toy.options, epochs=3, batch_tokens=256)
    method = Poisoned(options, frozenset(at))
    notice = (seen if seen is not None else []).append
    return fit(Job(method, Pairs(toy.train, toy.validation), NANO_BASE, out, options, notice))


def test_one_divergence_costs_an_epoch_and_is_told(toy: Toy, tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = train(toy, tmp_path / "a", 2, seen=seen)
    assert result.epochs == 3
    assert math.isfinite(result.validation_loss)
    (note,) = result.notes
    assert "at step 2: the loss is nan" in note
    assert "from the start at 0.3 times the rate" in note
    assert note in [progress.line() for progress in seen]
    assert note in (tmp_path / "a" / "README.md").read_text()


def test_after_a_validation_it_goes_back_to_the_best_weights(toy: Toy, tmp_path: Path) -> None:
    first_of_second_epoch = steps_of_one_epoch(toy) + 1
    result = train(toy, tmp_path / "a", first_of_second_epoch)
    assert "from the best weights so far" in result.notes[0]
    assert len(result.history) == 3


def test_the_second_time_it_is_content_with_the_best(toy: Toy, tmp_path: Path) -> None:
    steps = steps_of_one_epoch(toy)
    result = train(toy, tmp_path / "a", steps + 1, steps + 2)
    assert len(result.notes) == 2
    assert "it ends with the best weights so far" in result.notes[1]
    assert (result.epochs, len(result.history)) == (1, 1)
    assert result.validation_loss == result.history[0][1]


def test_without_any_good_weights_the_second_time_is_an_error(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="diverged at step 2: the loss is nan"):
        train(toy, tmp_path / "a", 1, 2)
    assert not [*tmp_path.iterdir()]


def test_an_exploding_loss_is_caught_before_it_is_nan(toy: Toy, tmp_path: Path) -> None:
    # The third of five steps is enough, at the first try and at the second.
    bad = frozenset((4, 5, 6, 10, 11, 12))
    options = replace(toy.options, epochs=4, batch_tokens=128)
    seen: list[Progress] = []
    method = Poisoned(options, bad, factor=-3.0)
    with pytest.raises(EngineError, match=r"at step 12: the loss is [\d.]+, it has been"):
        fit(Job(method, Pairs(toy.train, toy.validation), NANO_BASE, tmp_path / "a", options, seen.append))
    assert method.steps == 12
    assert any("at step 6" in progress.line() for progress in seen)


def steps_of_one_epoch(toy: Toy) -> int:
    _, tokenizer = load_base(NANO_BASE)
    options = replace(toy.options, epochs=3, batch_tokens=256, swap_share=0.0)
    return Feed(tokenizer, toy.train, options, context=512, seed=0).batches()
