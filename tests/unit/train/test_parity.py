"""What training sees is what the engine serves: the same tokens, the same logits."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import pytest
import torch

from offramp.core.model import Constraint, EngineRequest, Example, ToolShape
from offramp.engine.bases import load_base
from offramp.engine.embedded import EmbeddedEngine, _Sequence
from offramp.engine.nano import NANO_BASE
from offramp.train.batches import align, completion_loss, render_row
from offramp.train.fit import Job, Pairs, Trained, fit, train_seed
from offramp.train.lora import Lora

if TYPE_CHECKING:
    from tests.unit.train.conftest import Toy

    from offramp.train.batches import Row

TOLERANCE = 2e-3
"""Logits are around 10 in size; merging an adapter and padding change the order of float32 sums."""

TOOLS = tuple(ToolShape(f"zed_{verb}", ("thing",)) for verb in ("take", "drop", "move", "find", "hide"))


@dataclass(slots=True)
class Seen(_Sequence):
    """A sequence that keeps the logits each of its tokens was chosen from."""

    rows: list[torch.Tensor] = field(default_factory=list)

    def choose(self, logits: torch.Tensor) -> int:
        self.rows.append(logits.clone())
        return _Sequence.choose(self, logits)


class WatchedEngine(EmbeddedEngine):
    """The engine as it serves, with its sequences kept."""

    def serve(self, requests: list[EngineRequest]) -> list[Seen]:
        self._seen: list[Seen] = []
        self.complete(requests)
        return self._seen

    def _prepare(self, request: EngineRequest) -> Seen:
        plain = EmbeddedEngine._prepare(self, request)
        seen = Seen(**{name.name: getattr(plain, name.name) for name in fields(_Sequence)})
        self._seen.append(seen)
        return seen


@dataclass(frozen=True)
class Pair:
    """The trainer's own model right after training, and the engine with the folder that was written."""

    trained: Trained
    engine: WatchedEngine


@pytest.fixture(scope="module")
def job(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Job:
    options = replace(toy.options, epochs=5, batch_tokens=128)
    out = tmp_path_factory.mktemp("parity") / "zed"
    pairs = Pairs(toy.train, toy.validation)
    return Job(Lora(options), pairs, NANO_BASE, out, options, lambda progress: None)


@pytest.fixture(scope="module")
def trained(job: Job) -> Trained:
    made = train_seed(job, job.options.seed)
    # Goes on from the finished checkpoint: what it writes is what was just trained.
    fit(job)
    return made


@pytest.fixture(scope="module", params=["merged", "switched"])
def pair(request: pytest.FixtureRequest, job: Job, trained: Trained) -> Pair:
    engine = WatchedEngine(NANO_BASE, merge_limit=50_000_000 if request.param == "merged" else 0)
    engine.load("zed", job.out)
    return Pair(trained, engine)


@torch.no_grad()
def training_logits(trained: Trained, rows: list[Row]) -> list[torch.Tensor]:
    """Return each row's logits for its completion, from the batch that training would make."""
    batch, kept = align(rows), max(len(row.completion) for row in rows)
    model = trained.model.eval()
    logits = model(
        input_ids=batch.ids, attention_mask=batch.mask, logits_to_keep=kept + 1, use_cache=False
    ).logits[:, :-1]
    return [logits[index, kept - len(row.completion) :] for index, row in enumerate(rows)]


def check(pair: Pair, examples: list[Example], constraint: Constraint | None = None) -> int:
    """Compare what both sides saw of what was served; returns how many tokens were compared."""
    requests = [EngineRequest("zed", example.prompt, constraint) for example in examples]
    served = pair.engine.serve(requests)
    texts = [sequence.completion().text for sequence in served]
    rows = [
        render_row(pair.trained.tokenizer, example.prompt, text)
        for example, text in zip(examples, texts, strict=True)
    ]
    compared = 0
    for row, sequence, logits in zip(rows, served, training_logits(pair.trained, rows), strict=True):
        assert sequence.finished
        assert tuple(sequence.prompt) == row.prompt
        assert (*sequence.tokens, sequence.end) == row.completion
        seen = torch.stack(sequence.rows)
        torch.testing.assert_close(seen, logits[: len(seen)], atol=TOLERANCE, rtol=0)
        compared += len(seen)
    return compared


def test_what_is_served_freely_has_the_logits_of_training(pair: Pair, toy: Toy) -> None:
    # Prompts of very different lengths in one batch, so that padding and positions are compared as well.
    long = replace(toy.examples[1], prompt="zed: " + "please " * 9 + "take the gorp")
    assert check(pair, [*toy.validation[:6], long]) > 40


def test_what_is_served_under_a_constraint_has_the_logits_of_training(pair: Pair, toy: Toy) -> None:
    assert check(pair, toy.validation, Constraint(TOOLS)) > 60


def test_tokens_that_a_constraint_forces_are_those_of_training(pair: Pair, toy: Toy) -> None:
    """One tool and nothing to choose but a value copied from the request: nearly all tokens are forced."""
    for example in toy.validation[:5]:
        value = example.completion.split('"')[3]
        name = example.completion.partition(" ")[0]
        only = Constraint((ToolShape(name, ("thing",)),), copy_from=value)
        assert check(pair, [example], only) > 3


def test_the_loss_of_training_is_the_probability_of_serving(pair: Pair, toy: Toy) -> None:
    (sequence,) = pair.engine.serve([EngineRequest("zed", toy.validation[0].prompt)])
    row = render_row(pair.trained.tokenizer, toy.validation[0].prompt, sequence.completion().text)
    served = torch.stack(sequence.rows).log_softmax(-1)
    chosen = served[range(len(row.completion)), list(row.completion)]
    with torch.no_grad():
        loss = float(completion_loss(pair.trained.model.eval(), align([row])))
    assert loss == pytest.approx(-float(chosen.mean()), abs=1e-3)


def test_prompts_are_context_and_teach_nothing() -> None:
    """The loss has no gradient at the logits of prompt tokens, and the answer's tokens do not change that."""
    model, tokenizer = load_base(NANO_BASE)
    row = render_row(tokenizer, "zed: take the gorp", 'zed_take {"thing":"gorp"}')
    inputs = torch.tensor([row.prompt + row.completion])
    embedded = model.get_input_embeddings()(inputs).detach()
    logits = model(inputs_embeds=embedded).logits
    logits.retain_grad()
    loss = torch.nn.functional.cross_entropy(
        logits[0, len(row.prompt) - 1 : -1], torch.tensor(row.completion), reduction="mean"
    )
    torch.autograd.backward(loss)
    with torch.no_grad():
        assert float(completion_loss(model, align([row]))) == pytest.approx(float(loss.detach()), abs=1e-4)
    gradient = logits.grad
    assert gradient is not None
    assert float(gradient[0, : len(row.prompt) - 1].abs().max()) == 0.0
    assert float(gradient[0, len(row.prompt) - 1 : -1].abs().min(0).values.max()) > 0.0


def test_only_completion_tokens_are_targets(toy: Toy) -> None:
    _, tokenizer = load_base(NANO_BASE)
    rows = [render_row(tokenizer, e.prompt, e.completion) for e in toy.validation]
    targets = align(rows).targets
    for row, line in zip(rows, targets, strict=True):
        assert tuple(line[line != -100].tolist()) == row.completion
