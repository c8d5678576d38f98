"""How a specialist is trained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What all methods share; the defaults suit the bundled nano base.

    Attributes:
        epochs: Passes over the examples.
        batch_tokens: Padded tokens per step.
        matrix_rate: Peak rate of Muon on the trained matrices; everything else learns at a third of it.
        swap_share: Share of examples whose copied values are exchanged for others of the same
            argument in each pass; 0 switches it off.
        patience: Stop after this many validations without improvement.
        context: Longest row in tokens; longer ones are left out and counted.
        threads: Threads that torch may use.
        distil: Share of the teacher's distribution, against its answer, in the loss of a token, where the
            teacher gave log-probabilities; 0 leaves them aside.
        seed: Seed of initial weights, order and exchanges.
        seeds: Runs with consecutive seeds; the one with the lowest validation loss is kept.
        checkpoint_seconds: Wall-clock seconds between checkpoints inside an epoch; 0 writes one a step.
    """

    epochs: int = 5
    batch_tokens: int = 1024
    matrix_rate: float = 3e-3
    swap_share: float = 0.5
    patience: int = 2
    context: int = 512
    threads: int = 1
    distil: float = 0.5
    seed: int = 0
    seeds: int = 1
    checkpoint_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class LoraOptions(TrainOptions):
    """What an adapter needs besides.

    Attributes:
        rank: Rank of the adapter matrices; a narrow base needs a high one.
        alpha: Scale of the adapter is ``alpha / rank``.
        dropout: Dropout before the adapter.
    """

    rank: int = 64
    alpha: int = 64
    dropout: float = 0.0
