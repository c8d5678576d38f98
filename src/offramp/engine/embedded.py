"""The embedded engine: any Hugging Face causal model on the CPU, adapters by name."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from peft import PeftModel
from transformers import DynamicCache

from offramp.core.errors import EngineError
from offramp.core.model import Completion
from offramp.engine.bases import (
    BROKEN,
    check_origin,
    is_whole,
    load_base,
    load_whole,
    revision_of,
    without_peft_noise,
)
from offramp.engine.canonical import Canon
from offramp.engine.constrain import END, Automaton, Value
from offramp.engine.render import end_token, render_prompt
from offramp.engine.tokens import TokenTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel

    from offramp.core.model import EngineRequest
    from offramp.engine.constrain import State

_TRIES = 64
"""Allowed tokens that are tried for being the tokenizer's own choice of cut."""


class EmbeddedEngine:
    """Runs one base with its adapters in this process.

    A base of at most ``merge_limit`` parameters gets one merged copy of its weights per adapter: a few
    megabytes each, and no adapter arithmetic per token. A larger base keeps its adapters apart and
    switches between them per batch, so its weights are in memory once.

    Args:
        base: Directory or hub name of the base. The adapter name ``""`` is the bare base.
        batch_size: Most requests in one forward pass.
        threads: Threads that torch may use.
        merge_limit: Largest base, in parameters, whose adapters are merged.
        canonical: Whether constrained answers keep to the tokenizer's own cut; without, only to measure what
            that is worth.

    Raises:
        EngineError: The base cannot be loaded, or constrained decoding cannot work with its tokenizer.
    """

    def __init__(
        self,
        base: Path | str,
        *,
        batch_size: int = 16,
        threads: int = 1,
        merge_limit: int = 50_000_000,
        canonical: bool = True,
    ) -> None:
        torch.set_num_threads(threads)
        self._base, self._tokenizer = load_base(base)
        self._name = str(base)
        self._revision = revision_of(base, self._base)
        self._table = TokenTable(self._tokenizer)
        self._canon = Canon(self._tokenizer, self._table.bytes_of) if canonical else None
        self._end = end_token(self._tokenizer)
        self._batch_size = batch_size
        self._merge = self._base.num_parameters() <= merge_limit
        self._merged: dict[str, PreTrainedModel] = {}
        self._switched: PeftModel | None = None
        self._context = int(self._base.config.max_position_embeddings)

    @property
    def context(self) -> int:
        """Tokens that a prompt and its completion may have together."""
        return self._context

    def count(self, prompt: str) -> int:
        """Return how many tokens a prompt takes, chat template included."""
        return len(render_prompt(self._tokenizer, prompt))

    def load(self, adapter: str, path: Path) -> None:
        """Make a directory that training wrote available under a name, replacing what had it before.

        It holds a peft adapter, or all weights of a model that was fully fine-tuned from this base.

        Raises:
            EngineError: The directory holds neither, or was trained on other weights than this base's; or the
                name is empty.
        """
        if not adapter:
            raise EngineError("The empty adapter name is the bare base; give the adapter another name.")
        try:
            check_origin(path, self._revision)
            with without_peft_noise():
                self._attach(adapter, path)
        except BROKEN as error:
            raise EngineError(
                f"{path} is no adapter for the base {self._name!r}: {error}",
                hint="Convert the task again with this base.",
            ) from error

    def _attach(self, adapter: str, path: Path) -> None:
        if is_whole(path):
            self._merged[adapter] = load_whole(path, self._base)
        elif self._merge:
            wrapped = PeftModel.from_pretrained(copy.deepcopy(self._base), path)
            self._merged[adapter] = wrapped.merge_and_unload().eval()
        elif self._switched is None:
            self._switched = PeftModel.from_pretrained(self._base, path, adapter_name=adapter).eval()
        else:
            if adapter in self._switched.peft_config:
                self._switched.delete_adapter(adapter)
            self._switched.load_adapter(path, adapter_name=adapter)

    def complete(self, requests: Sequence[EngineRequest]) -> list[Completion]:
        """Generate greedily for all requests, in their order; adapters may be mixed.

        Requests are batched by adapter and prompt length.

        Raises:
            EngineError: A request names an adapter that is not loaded, its prompt leaves no room in the
                context, or its constraint is not well formed.
        """
        sequences = [self._prepare(request) for request in requests]
        order = sorted(range(len(requests)), key=lambda i: (requests[i].adapter, len(sequences[i].prompt)))
        for adapter in dict.fromkeys(requests[i].adapter for i in order):
            members = [sequences[i] for i in order if requests[i].adapter == adapter]
            for start in range(0, len(members), self._batch_size):
                self._generate(adapter, members[start : start + self._batch_size])
        return [sequence.completion() for sequence in sequences]

    def _prepare(self, request: EngineRequest) -> _Sequence:
        if request.adapter and request.adapter not in self._loaded():
            raise EngineError(
                f"No adapter {request.adapter!r} is loaded; there are {sorted(self._loaded())}.",
                hint="Load it first.",
            )
        prompt = render_prompt(self._tokenizer, request.prompt)
        room = self._context - len(prompt)
        if room <= 0:
            raise EngineError(
                f"The prompt has {len(prompt)} tokens; {self._name!r} has a context of {self._context}."
            )
        automaton = Automaton(request.constraint) if request.constraint else None
        limit = min(request.max_tokens, room)
        start = automaton.start if automaton else None
        return _Sequence(prompt, limit, self._table, self._canon, self._end, automaton, start)

    def _loaded(self) -> Iterable[str]:
        return {*self._merged, *(self._switched.peft_config if self._switched else ())}

    def _model_of(self, adapter: str) -> PreTrainedModel:
        if adapter in self._merged:
            return self._merged[adapter]
        if self._switched is None:
            return self._base
        if not adapter:
            self._switched.base_model.disable_adapter_layers()
        else:
            self._switched.base_model.enable_adapter_layers()
            self._switched.set_adapter(adapter)
        return self._switched

    @torch.inference_mode()
    def _generate(self, adapter: str, batch: list[_Sequence]) -> None:
        """Decode one batch to its end; rows that are done leave it."""
        model = self._model_of(adapter)
        width = max(len(row.prompt) for row in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        mask = torch.zeros(len(batch), width, dtype=torch.long)
        for index, row in enumerate(batch):
            ids[index, width - len(row.prompt) :] = torch.tensor(row.prompt)
            mask[index, width - len(row.prompt) :] = 1
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache = DynamicCache(config=model.config)
        while True:
            output = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            logits = output.logits[:, -1].float()
            chosen = [row.choose(logits[index]) for index, row in enumerate(batch)]
            going = [index for index, row in enumerate(batch) if not row.stopped]
            if not going:
                return
            positions = positions[:, -1:] + 1
            if len(going) < len(batch):
                keep = torch.tensor(going)
                batch = [batch[index] for index in going]
                chosen = [chosen[index] for index in going]
                mask, positions = mask[keep], positions[keep]
                cache.batch_select_indices(keep)
            ids = torch.tensor(chosen)[:, None]
            mask = torch.cat([mask, torch.ones_like(ids)], dim=1)


@dataclass(slots=True)
class _Sequence:
    """One answer in the making."""

    prompt: list[int]
    limit: int
    table: TokenTable
    canon: Canon | None
    end: int
    automaton: Automaton | None
    state: State | None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    stopped: bool = False
    finished: bool = False
    said: bytes = b""
    settled: tuple[int, ...] = ()

    def choose(self, logits: torch.Tensor) -> int:
        """Take the best allowed token from a row of logits, and note its log-probability."""
        if self.limit <= 0:
            self.stopped = True
            return self.end
        best = self._best(logits) if self.automaton is None else self._best_allowed(logits)
        if best is None or best[0] == self.end:
            self.stopped, self.finished = True, best is not None
            return self.end
        token, logprob = best
        self.tokens.append(token)
        self.logprobs.append(logprob)
        self.finished = self.state == END
        self.stopped = self.finished or len(self.tokens) >= self.limit
        return token

    def _best(self, logits: torch.Tensor) -> tuple[int, float]:
        logprobs = logits.log_softmax(-1)
        token = int(logprobs.argmax())
        return token, float(logprobs[token])

    def _best_allowed(self, logits: torch.Tensor) -> tuple[int, float] | None:
        """Return the best allowed token; None where no token of this vocabulary can go on."""
        assert self.automaton is not None
        assert self.state is not None
        allowed = self.table.allowed(self.automaton, self.state)
        if not allowed:
            return None
        best, values = self._canonical(allowed, logits[allowed])
        text = self.table.bytes_of[allowed[best]]
        # Text without an alternative says nothing about the answer, however it is cut into tokens.
        forced = len(allowed) == 1 or len(text) <= len(self.automaton.forced(self.state))
        self.state = self.automaton.feed(self.state, text)
        self.said += text
        # Inside a free value any cut will do, and what follows is not held against it.
        free = isinstance(self.state, Value) and not self.automaton.copies
        self.settled = () if free else (*self.settled, allowed[best])
        return allowed[best], 0.0 if forced else float(values.log_softmax(-1)[best])

    def _canonical(self, allowed: list[int], values: torch.Tensor) -> tuple[int, torch.Tensor]:
        """Choose the best token that the tokenizer, too, would put here.

        Returns:
            Its place among the allowed ones, and their logits, those passed over at minus infinity. Where
            none of the first few will do, the best of all.
        """
        assert self.automaton is not None
        assert self.state is not None
        left = values.clone()
        for _ in range(min(_TRIES, len(allowed))):
            best = int(left.argmax())
            after = self.automaton.feed(self.state, self.table.bytes_of[allowed[best]])
            if (
                after is None
                or self.canon is None
                or self.canon.keeps(self.automaton, after, (self.said, self.settled), allowed[best])
            ):
                return best, left
            left[best] = -torch.inf
        return int(values.argmax()), values

    def completion(self) -> Completion:
        """Return what was generated."""
        parts = [self.table.bytes_of[token] for token in self.tokens]
        return Completion(
            text=b"".join(parts).decode("utf-8", "replace"),
            logprobs=tuple(self.logprobs),
            pieces=tuple(part.decode("utf-8", "replace") for part in parts),
            finished=self.finished,
        )
