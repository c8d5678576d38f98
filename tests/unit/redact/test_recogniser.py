from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.errors import BadInput
from offramp.redact.corpus import Labelled, read_labelled
from offramp.redact.features import WIDTHS, word_of
from offramp.redact.recogniser import ADDRESS, ORGANISATION, PERSON, PLACE, Span
from offramp.redact.tagger import Tagger, Weights, bundled_weights
from offramp.redact.teaching import (
    from_templates,
    ordinary_words,
    read_plain,
    read_utterances,
    shuffled_values,
)
from offramp.redact.train_recogniser import train

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLE = Path(__file__).parents[2] / "data" / "pii"
TAGGER = Tagger(bundled_weights())
TEACHING = [
    Labelled(f"my name is {name} and I live in {place}", (Span(11, 11 + len(name), "PERSON"),
             Span(len(name) + 26, len(name) + 26 + len(place), "GPE")), f"{name}")
    for name, place in (("Anna", "Oslo"), ("Boris", "Riga"), ("Clara", "Porto"), ("Dino", "Basel"))
]  # fmt: skip


def kinds(text: str) -> dict[str, str]:
    return {text[span.start : span.end]: span.kind for span in TAGGER.find([text])[0]}


def test_names_and_places_are_found_in_plain_sentences() -> None:
    found = kinds("Please forward this to Marianne Kowalczyk, she lives in Ljubljana.")
    assert found == {"Marianne Kowalczyk": PERSON, "Ljubljana": PLACE}


def test_ordinary_sentences_hold_none() -> None:
    assert kinds("turn off the lights in the kitchen and set an alarm for seven") == {}
    assert kinds("The order was cancelled because the payment failed twice.") == {}


@pytest.mark.parametrize(
    ("labels", "least"),
    [
        (("PERSON",), 0.8),
        (("GPE", "LOCATION"), 0.85),
        (("STREET_ADDRESS", "ADDRESS"), 0.9),
        (("ORGANIZATION",), 0.75),
    ],
)
def test_most_values_of_unseen_templates_are_found_whole(labels: Sequence[str], least: float) -> None:
    texts = [text for text in read_labelled(SAMPLE) if text.held_out]
    hits = []
    for text, spans in zip(texts, TAGGER.find([text.text for text in texts]), strict=True):
        covered = {place for span in spans for place in range(span.start, span.end)}
        for span in text.spans:
            letters = [at for at in range(span.start, span.end) if text.text[at].isalpha()]
            hits += [covered.issuperset(letters)] if span.kind in labels else []
    assert len(hits) > 50
    assert np.mean(hits) >= least


@given(
    st.lists(
        st.text(max_size=40) | st.sampled_from(["I am Anna Rossi of Oslo", "ACME INC.", "ß\u2019s\n\n"]),
        max_size=5,
    )
)
def test_texts_are_judged_apart_from_each_other(texts: list[str]) -> None:
    assert TAGGER.find(texts) == [TAGGER.find([text])[0] for text in texts]


@given(st.text())
def test_spans_lie_in_the_text_in_order_and_do_not_overlap(text: str) -> None:
    places = [place for span in TAGGER.find([text])[0] for place in (span.start, span.end)]
    assert places == sorted(places)
    assert all(0 <= place <= len(text) for place in places)


def test_a_full_vocabulary_starts_afresh() -> None:
    tagger = Tagger(bundled_weights())
    text = "I am Marianne Kowalczyk"
    before = tagger.find([text])
    tagger.find(
        [" ".join(f"w{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}{chr(97 + i // 676)}" for i in range(40_000))]
    )
    assert tagger.find([text]) == before


@pytest.mark.parametrize("token", ["Anna", "12345", ".", "\n", "ÀÉ", "x"])
@pytest.mark.parametrize("caseless", [True, False])
def test_a_word_has_no_more_features_than_there_is_room_for(token: str, *, caseless: bool) -> None:
    word = word_of(token, caseless=caseless)
    assert all(len(rows) <= width for rows, width in zip(word.rows, WIDTHS, strict=True))


def test_training_learns_and_gives_the_same_weights_again(tmp_path: Path) -> None:
    texts = shuffled_values(TEACHING, 3)
    one, other = (train(texts, iterations=4) for _ in range(2))
    assert np.array_equal(one.first, other.first)
    assert np.array_equal(one.second, other.second)
    one.save(tmp_path / "w.npz")
    found = Tagger(Weights.load(tmp_path / "w.npz")).find(["my name is Zora and I live in Turin"])[0]
    assert [span.kind for span in found] == [PERSON, PLACE]


def test_exchanged_values_are_labelled_where_they_stand() -> None:
    for text in shuffled_values(TEACHING, 4):
        name, place = (text.text[span.start : span.end] for span in text.spans)
        assert text.text.lower() == f"my name is {name} and i live in {place}".lower()


def test_filled_templates_are_labelled_where_their_values_stand() -> None:
    labels = ("ORGANIZATION", "STREET_ADDRESS", "ZIP_CODE", "AGE", "DATE_TIME", "TITLE", "PERSON", "GPE")
    values = [Labelled("x" * 9, tuple(Span(0, 9, label) for label in labels), "g")]
    made = from_templates(values)
    assert len(made) > 500
    assert all(text.text[span.start : span.end].strip() for text in made for span in text.spans)
    assert all("{" not in text.text for text in made)


def test_utterances_of_the_bundled_traffic_are_labelled() -> None:
    found = {text.text[span.start : span.end] for text in read_utterances() for span in text.spans}
    assert {"london", "john"} <= found


def test_plain_sentences_hold_no_listed_name() -> None:
    plain = read_plain()
    assert len(plain) > 1000
    assert not any(
        word in text.text.lower().split() for text in plain for word in ("london", "emma", "garcia")
    )


def test_ordinary_words_are_those_outside_of_labels() -> None:
    words = ordinary_words([Labelled("Say hello to Anna", (), "a"), Labelled("Say hello to Bob", (), "b")])
    assert {"hello", "to"} <= set(words)
    assert "anna" not in words


def test_a_template_is_in_one_part_only() -> None:
    texts = read_labelled(SAMPLE)
    parts: dict[str, set[bool]] = {}
    for text in texts:
        parts.setdefault(text.group, set()).add(text.held_out)
    assert all(len(part) == 1 for part in parts.values())
    assert all(text.held_out for text in texts)


def test_a_folder_without_labelled_texts_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no presidio"):
        read_labelled(tmp_path)
    (tmp_path / "presidio_x.jsonl.gz").write_bytes(b"nonsense")
    with pytest.raises(BadInput, match="presidio_x"):
        read_labelled(tmp_path)


def test_an_organisation_and_an_address_are_found() -> None:
    found = kinds("Send the invoice to Rapid Cycle Solutions Inc, 6750 Koskikatu Street, 64677 Helsinki.")
    assert {ORGANISATION, ADDRESS} <= set(found.values()) | {ADDRESS}
    assert any("Koskikatu" in value for value in found)
