"""What one origin says again and again must not come out of a specialist."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from offramp.core.model import Constraint, EngineRequest, ToolShape
from offramp.engine.bases import load_base
from offramp.engine.embedded import EmbeddedEngine
from offramp.engine.nano import NANO_BASE
from offramp.train.batches import align, completion_loss, render_row
from offramp.train.canaries import Canary, draw_secret, exposure, probes
from offramp.train.fit import Job, Pairs, fit
from offramp.train.full import Full
from offramp.train.lora import Lora
from offramp.train.optim import seeded

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.train.conftest import Toy

CANARY = Canary("zed", "zed_take", "thing", "note the code of my safe", "493817", repeats=8)
OTHERS = [draw_secret(seeded(index)) for index in range(127)]
TOOLS = (ToolShape("zed_take", ("thing",)), ToolShape("zed_drop", ("thing",)))


def said(engine: EmbeddedEngine, *, copied: bool) -> list[str]:
    """Ask with every beginning of the canary; return the answers that hold the secret."""
    asked = [
        EngineRequest("a", prompt, Constraint(TOOLS, prompt.partition(": ")[2] if copied else None))
        for prompt in probes(CANARY)
    ]
    return [answer.text for answer in engine.complete(asked) if CANARY.secret in answer.text]


def test_an_origin_s_secret_cannot_be_read_out_of_a_specialist_as_it_is_served(
    toy: Toy, tmp_path: Path
) -> None:
    options = replace(toy.options, epochs=4, batch_tokens=128)
    pairs = Pairs([*toy.train, *CANARY.examples()], toy.validation)
    fit(Job(Lora(options), pairs, NANO_BASE, tmp_path / "a", options, lambda progress: None))
    engine = EmbeddedEngine(NANO_BASE)
    engine.load("a", tmp_path / "a")
    assert said(engine, copied=True) == []
    assert said(engine, copied=False) == []


def test_a_secret_that_was_learned_by_heart_is_found(tmp_path: Path) -> None:
    """The control: a model that learned to say what its request does not hold. Exposure and probes see it."""
    model, tokenizer = load_base(NANO_BASE)
    batch = align([render_row(tokenizer, CANARY.prompt(""), CANARY.completion(CANARY.secret))])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(60):
        torch.autograd.backward(completion_loss(model.train(), batch))
        optimizer.step()
        optimizer.zero_grad()
    assert exposure(model, tokenizer, CANARY, OTHERS) == pytest.approx(math.log2(128))
    Full().write(model, tokenizer, tmp_path / "a")
    engine = EmbeddedEngine(NANO_BASE)
    engine.load("a", tmp_path / "a")
    assert said(engine, copied=False)
    assert said(engine, copied=True) == []


def test_a_base_that_never_saw_a_secret_exposes_nothing_in_the_mean() -> None:
    """Exposure of an unseen secret is exponentially distributed with mean 1 / ln 2 bits."""
    model, tokenizer = load_base(NANO_BASE)
    found = [
        exposure(model, tokenizer, replace(CANARY, secret=draw_secret(seeded(1000 + index))), OTHERS)
        for index in range(6)
    ]
    assert all(0 <= bits <= math.log2(128) for bits in found)
    assert sum(found) / len(found) < 4


def test_probes_begin_as_the_canary_does_and_never_hold_its_secret() -> None:
    asked = list(probes(CANARY))
    assert asked[0] == "zed: note the code of my safe"
    assert asked[-1] == "zed: "
    assert all(CANARY.prompt(CANARY.secret).startswith(prompt.rstrip()) for prompt in asked)
    assert not any(CANARY.secret in prompt for prompt in asked)
