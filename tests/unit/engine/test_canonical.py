"""Whatever a model wants, a constrained answer is cut into tokens as the tokenizer would cut it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from offramp.core.model import Constraint, ToolShape
from offramp.engine.canonical import Canon
from offramp.engine.constrain import Automaton
from offramp.engine.embedded import _Sequence
from offramp.engine.nano import NANO_BASE
from offramp.engine.render import end_token, render_completion
from offramp.engine.tokens import TokenTable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REQUEST = "Remind me to water the ferns on Friday at 10:30, please — and call Zoë's shop"
TOOLS = (
    ToolShape("set_reminder", ("what", "when", "time_zone")),
    ToolShape("set_alarm", ("time",)),
    ToolShape("search", ()),
    ToolShape("send-message.v2", ("to", "text")),
)


def plain_tokenizer() -> PreTrainedTokenizerFast:
    """GPT-2's way of cutting, with merges learned from a few lines."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = [
        REQUEST,
        'set_reminder {"what":"water the ferns","when":"Friday"}',
        'send-message.v2 {"to":"Zoë"}',
    ]
    raw.train_from_iterator(lines * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>")


@pytest.fixture(scope="module", params=["nano", "plain"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    if request.param == "plain":
        return plain_tokenizer()
    made: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(NANO_BASE)
    return made


def decode(tokenizer: PreTrainedTokenizerBase, constraint: Constraint, seed: int) -> _Sequence:
    """Answer with a model that wants random things."""
    table = TokenTable(tokenizer)
    automaton = Automaton(constraint)
    canon = Canon(tokenizer, table.bytes_of)
    sequence = _Sequence([0], 96, table, canon, end_token(tokenizer), automaton, automaton.start)
    generator = torch.Generator().manual_seed(seed)
    while not sequence.stopped:
        sequence.choose(5 * torch.randn(len(table.bytes_of), generator=generator))
    return sequence


@pytest.mark.parametrize("seed", range(12))
def test_copied_answers_are_cut_as_in_training(tokenizer: PreTrainedTokenizerBase, seed: int) -> None:
    sequence = decode(tokenizer, Constraint(TOOLS, copy_from=REQUEST), seed)
    text = sequence.completion().text
    assert sequence.finished
    assert [*sequence.tokens, sequence.end] == render_completion(tokenizer, text)


def test_a_letter_that_begins_a_forced_word_is_passed_over(tokenizer: PreTrainedTokenizerBase) -> None:
    table = TokenTable(tokenizer)
    automaton = Automaton(Constraint((ToolShape("search", ("water",)),), copy_from=REQUEST))
    canon = Canon(tokenizer, table.bytes_of)
    said = b'search {"'
    state = automaton.feed(automaton.start, said)
    assert state is not None
    kept = []
    cut = tokenizer(said.decode(), add_special_tokens=False)["input_ids"]
    for token in table.allowed(automaton, state):
        after = automaton.feed(state, table.bytes_of[token])
        assert after is not None
        if canon.keeps(automaton, after, (said, cut), token):
            kept.append(token)
    canonical = render_completion(tokenizer, 'search {"water":"Friday"}')
    assert len(table.allowed(automaton, state)) > len(kept)
    assert set(kept) <= set(canonical)


def test_what_is_free_stays_free(tokenizer: PreTrainedTokenizerBase) -> None:
    """Nothing is known of what comes in a free value, so no token is passed over there."""
    table = TokenTable(tokenizer)
    automaton = Automaton(Constraint((ToolShape("search", ("water",)),)))
    canon = Canon(tokenizer, table.bytes_of)
    said = b'search {"water":"w'
    state = automaton.feed(automaton.start, said)
    assert state is not None
    inside = [i for i in table.allowed(automaton, state) if table.bytes_of[i].isalpha()]
    for token in inside:
        after = automaton.feed(state, table.bytes_of[token])
        assert after is not None
        assert canon.keeps(automaton, after, (said, ()), token)
    assert len(inside) > 50
