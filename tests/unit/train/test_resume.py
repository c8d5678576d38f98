"""A run that is killed and taken up again ends with the very weights of one that was not."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import torch

from offramp.engine.nano import NANO_BASE
from offramp.train.checkpoint import Checkpoint, CheckpointFile, Standing
from offramp.train.lora import LoraOptions, Progress, train_lora

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from tests.unit.train.conftest import Toy

# A checkpoint after every step, so that a kill also meets one that is being written; dropout and exchanges,
# so that both random generators matter.
OPTIONS = LoraOptions(rank=8, alpha=8, dropout=0.1, epochs=3, batch_tokens=128, checkpoint_seconds=0.0)
KILLS = 4


@pytest.fixture(scope="module")
def server() -> Any:
    """Processes that start with torch loaded: a process of its own each, forked from a clean one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["offramp.train.lora"])
    return context


def start(server: Any, toy: Toy, out: Path) -> tuple[BaseProcess, Any]:
    receiver, sender = server.Pipe(duplex=False)
    keywords = {"base": NANO_BASE, "out": out, "options": OPTIONS, "on_progress": sender.send}
    process = server.Process(target=train_lora, args=(toy.train, toy.validation), kwargs=keywords)
    process.start()
    sender.close()
    return process, receiver


def finish(server: Any, toy: Toy, out: Path, *, kill_after: int | None = None) -> bool:
    """Run to the end, or kill after some reports; says whether it was killed."""
    process, receiver = start(server, toy, out)
    reports = 0
    try:
        while reports != kill_after:
            receiver.recv()
            reports += 1
        process.kill()
    except EOFError:
        pass
    process.join()
    return process.exitcode != 0


def weights(out: Path) -> bytes:
    return (out / "adapter_model.safetensors").read_bytes()


def test_killed_runs_end_with_the_weights_of_an_unbroken_one(server: Any, toy: Toy, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert not finish(server, toy, whole)
    random = Random(1)
    killed = sum(finish(server, toy, broken, kill_after=random.randint(2, 3)) for _ in range(KILLS))
    assert killed >= 2
    assert not broken.exists()
    assert (tmp_path / "broken.run").is_dir()
    assert not finish(server, toy, broken)
    assert weights(broken) == weights(whole)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["broken", "whole"]


def test_an_interrupted_run_says_that_it_went_on(toy: Toy, tmp_path: Path) -> None:
    seen: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == 1:
            raise KeyboardInterrupt

    def train() -> Any:
        return train_lora(
            toy.train,
            toy.validation,
            base=NANO_BASE,
            out=tmp_path / "a",
            options=replace(OPTIONS, epochs=2),
            on_progress=interrupt,
        )

    with pytest.raises(KeyboardInterrupt):
        train()
    result = train()
    assert result.resumed == 1
    assert seen[1].note.startswith("taken up again at step ")
    assert "taken up again" in (tmp_path / "a" / "README.md").read_text()


def test_other_data_or_options_start_anew(toy: Toy, tmp_path: Path) -> None:
    def train(options: LoraOptions, seen: list[Progress]) -> None:
        def interrupt(progress: Progress) -> None:
            seen.append(progress)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train_lora(
                toy.train,
                toy.validation,
                base=NANO_BASE,
                out=tmp_path / "a",
                options=options,
                on_progress=interrupt,
            )

    first: list[Progress] = []
    other: list[Progress] = []
    train(OPTIONS, first)
    train(replace(OPTIONS, matrix_rate=1e-3), other)
    assert first[0].step == other[0].step
    assert other[0].note == ""


def checkpoint() -> Checkpoint:
    weights = {"a": torch.ones(2)}
    order = Random(0).getstate()
    return Checkpoint(Standing(steps=7), weights, {}, [], order, torch.get_rng_state(), [1.0])


def test_a_checkpoint_survives_its_file(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "run" / "0.pt", "key")
    file.save(checkpoint())
    found = file.load()
    assert found is not None
    assert found.standing == Standing(steps=7)
    assert torch.equal(found.weights["a"], torch.ones(2))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["0.pt"]


def test_a_checkpoint_of_another_run_is_none(tmp_path: Path) -> None:
    CheckpointFile(tmp_path / "0.pt", "key").save(checkpoint())
    assert CheckpointFile(tmp_path / "0.pt", "other").load() is None


@pytest.mark.parametrize("kept", [0, 10, 500])
def test_a_torn_checkpoint_is_none(kept: int, tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "0.pt", "key")
    file.save(checkpoint())
    (tmp_path / "0.pt").write_bytes((tmp_path / "0.pt").read_bytes()[:kept])
    assert file.load() is None


def test_a_half_written_successor_does_not_count(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "0.pt", "key")
    file.save(checkpoint())
    (tmp_path / "0.new").write_bytes(b"half")
    found = file.load()
    assert found is not None
    assert found.standing.steps == 7
