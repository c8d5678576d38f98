"""Turns a prompt and a completion into token ids: the one place, for training and for serving.

A specialist is only as good as the match between what it saw in training and what it is asked while
it serves, so both sides call these two functions and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from offramp.core.errors import EngineError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def render_prompt(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[int]:
    """Render one user turn through the tokenizer's chat template, up to where the answer starts.

    Raises:
        EngineError: The tokenizer has no chat template.
    """
    if not tokenizer.chat_template:
        raise EngineError(
            f"The tokenizer of {tokenizer.name_or_path!r} has no chat template; offramp needs one.",
            hint="Take the instruction-tuned variant of this base.",
        )
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,  # templates without a thinking mode ignore it
    )
    return cast("list[int]", tokenizer(text, add_special_tokens=False)["input_ids"])


def render_completion(tokenizer: PreTrainedTokenizerBase, completion: str) -> list[int]:
    """Render an answer, with the end-of-turn token that closes it."""
    ids = cast("list[int]", tokenizer(completion, add_special_tokens=False)["input_ids"])
    return [*ids, end_token(tokenizer)]


def end_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the id of the token that ends an answer.

    Raises:
        EngineError: The tokenizer names none.
    """
    if tokenizer.eos_token_id is None:
        raise EngineError(f"The tokenizer of {tokenizer.name_or_path!r} names no end token.")
    return int(tokenizer.eos_token_id)
