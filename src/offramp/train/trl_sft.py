"""TRL's supervised fine-tuning on our rows: HF checkpoints, many GPUs through accelerate.

What it learns from is the same to the token: rows come rendered, with the labels of prompt tokens masked, and
TRL prepares nothing. Which weights are trained is the method's business, as in `fit`. What TRL does not have
stays with the loop of our own, which is the default: resuming to the very bit, retrying after a divergence,
exchanged values, and the teacher's log-probabilities.
"""

from __future__ import annotations

import math
import shutil
import time
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from transformers import EarlyStoppingCallback, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from trl import SFTConfig, SFTTrainer

from offramp.core.errors import BadInput
from offramp.train.feed import render_examples
from offramp.train.fit import write
from offramp.train.guard import LossGuard
from offramp.train.progress import Progress
from offramp.train.result import TrainResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from offramp.train.batches import Row
    from offramp.train.fit import Job

RATE = 2e-4
"""Peak rate of AdamW on adapter matrices, as is usual for bases of a billion parameters."""


def train_with_trl(job: Job, *, rows_per_step: int = 8, rate: float = RATE) -> TrainResult:
    """Train as `fit` does, by TRL's trainer, and write the same directory.

    Args:
        job: The work. Of its options, those of order, length, patience and seed count; seeds, exchanges and
            log-probabilities do not.
        rows_per_step: Rows of one step.
        rate: Peak learning rate.

    Raises:
        BadInput: No example fits the context, in training or in validation.
        Diverged: The loss is no number, or exploded.
        EngineError: The base cannot be loaded.
    """
    options, started = job.options, time.process_time()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    model, tokenizer = job.method.prepare(job.base)
    context = min(options.context, int(model.config.max_position_embeddings))
    rows, left_out = render_examples(tokenizer, job.pairs.train, context)
    held_out, held_left_out = render_examples(tokenizer, job.pairs.validation, context)
    if not rows or not held_out:
        raise BadInput(
            f"Training needs examples of at most {context} tokens; {len(rows)} training and {len(held_out)} "
            "validation examples are."
        )
    trainer = _trainer(job, model, tokenizer, (rows, held_out), rows_per_step, rate)
    last = get_last_checkpoint(str(job.work)) if job.work.is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    result = _result(job, trainer, rows, left_out + held_left_out, time.process_time() - started)
    write(job, model, tokenizer, result)
    shutil.rmtree(job.work, ignore_errors=True)
    return result


def _trainer(
    job: Job,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    parts: tuple[Sequence[Row], Sequence[Row]],
    rows_per_step: int,
    rate: float,
) -> Any:
    options = job.options
    config = SFTConfig(
        output_dir=str(job.work),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=rows_per_step,
        per_device_eval_batch_size=4 * rows_per_step,
        learning_rate=rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.03,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        # TRL sets the old name of this, which transformers deprecates.
        gradient_checkpointing=None,
        activation_checkpointing=False,
        bf16=torch.cuda.is_available(),
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        seed=options.seed,
    )
    train, held_out = (Dataset.from_list([_labelled(row) for row in part]) for part in parts)
    return SFTTrainer(
        model=model,
        args=config,
        train_dataset=train,
        eval_dataset=held_out,
        processing_class=tokenizer,
        callbacks=[EarlyStoppingCallback(options.patience), _Watch(job.on_progress)],
    )


def _labelled(row: Row) -> dict[str, list[int]]:
    ids = [*row.prompt, *row.completion]
    return {"input_ids": ids, "labels": [-100] * len(row.prompt) + list(row.completion)}


class _Watch(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Tells how it goes, and stops a run that diverges."""

    def __init__(self, on_progress: Callable[[Progress], None]) -> None:
        self._on_progress = on_progress
        self._guard = LossGuard()
        self._begun = (time.monotonic(), time.process_time())
        self._validated: float | None = None
        self._first = -1

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        """Take in what the trainer logs after each step and each validation."""
        del control
        logs = logs or {}
        self._validated = logs.get("eval_loss", self._validated)
        if "loss" not in logs:
            return
        self._guard.watch(state.global_step, logs["loss"], logs.get("grad_norm", 0.0))
        if self._first < 0:
            self._first = state.global_step - 1
        spent = max(time.monotonic() - self._begun[0], 1e-9)
        here = state.global_step - self._first
        self._on_progress(
            Progress(
                step=state.global_step,
                steps=state.max_steps,
                epoch=min(math.floor(state.epoch) + 1, math.ceil(args.num_train_epochs)),
                epochs=math.ceil(args.num_train_epochs),
                loss=logs["loss"],
                validation_loss=self._validated,
                eta_seconds=spent / here * (state.max_steps - state.global_step),
                tokens_per_second=state.num_input_tokens_seen / spent,
                cpu_seconds=time.process_time() - self._begun[1],
            )
        )


def _result(job: Job, trainer: Any, rows: Sequence[Row], left_out: int, cpu_seconds: float) -> TrainResult:
    state = trainer.state
    trained = [entry["loss"] for entry in state.log_history if "loss" in entry]
    validated = [entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry]
    per_epoch = max(1, len(trained) // max(1, len(validated)))
    history = tuple(
        (sum(part) / len(part), loss)
        for index, loss in enumerate(validated)
        if (part := trained[index * per_epoch : (index + 1) * per_epoch])
    )
    return TrainResult(
        path=job.out,
        method=job.method.name,
        loss=history[-1][0],
        validation_loss=min(validated),
        history=history,
        epochs=len(validated),
        steps=state.global_step,
        tokens=sum(map(len, rows)) * len(validated),
        examples=len(rows),
        left_out=left_out,
        cpu_seconds=cpu_seconds,
        lineage=job.pairs.lineage,
        seed=job.options.seed,
        seeds={job.options.seed: min(validated)},
        notes=("trained with TRL",),
    )
