from __future__ import annotations

import json
from itertools import islice
from random import Random

import pytest

from offramp.train.corpus import Choice, Corpus, Slot, parse_template, read_grammar
from offramp.train.values import Values, read_words


def test_the_same_seed_gives_the_same_documents() -> None:
    assert [*islice(Corpus(Random(7)), 50)] == [*islice(Corpus(Random(7)), 50)]


def test_another_seed_gives_other_documents() -> None:
    assert [*islice(Corpus(Random(7)), 50)] != [*islice(Corpus(Random(8)), 50)]


def test_every_value_is_copied_from_its_prompt() -> None:
    for document in islice(Corpus(Random(1)), 2000):
        body = json.loads(document.completion[document.completion.index("{") :])
        assert all(value in document.prompt for value in body.values()), document


def test_arguments_come_in_the_order_of_mention() -> None:
    for document in islice(Corpus(Random(2)), 500):
        name, _, body = document.completion.partition("{")
        if name.startswith("alarm_set "):
            places = [document.prompt.rindex(value) for value in json.loads("{" + body).values()]
            assert places == sorted(places)


def test_every_slot_type_can_be_drawn() -> None:
    values = Values(Random(3))
    pending = [node for intent in read_grammar() for node in intent.template]
    while pending:
        node = pending.pop()
        if isinstance(node, Choice):
            pending += [inner for option in node.options for inner in option]
        elif isinstance(node, Slot):
            assert all(values.draw(node.type) for _ in range(20)), node


def test_a_template_is_text_slots_and_choices() -> None:
    assert parse_template("play {song}[ by {who=artist}]") == (
        "play ",
        Slot("song", "song"),
        Choice(((" by ", Slot("who", "artist")), ())),
    )


@pytest.mark.parametrize("path_words", [read_words()])
def test_no_word_list_is_empty_or_has_blank_words(path_words: dict[str, tuple[str, ...]]) -> None:
    assert all(word == word.strip() and word for words in path_words.values() for word in words)
