from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from offramp.core.errors import BadSetting, MissingExtra
from offramp.redact.adapters import open_recogniser, spans_of
from offramp.redact.recogniser import ORGANISATION, PERSON, PLACE, Span

TEXT = "Anna works at Acme in Oslo"
FOUND = [Span(0, 4, PERSON), Span(14, 18, ORGANISATION), Span(22, 26, PLACE)]


def absent(name: str) -> ModuleType:
    raise ModuleNotFoundError(name=name)


def presidio(name: str) -> Any:
    results = [
        SimpleNamespace(start=0, end=4, entity_type="PERSON"),
        SimpleNamespace(start=14, end=18, entity_type="ORGANIZATION"),
        SimpleNamespace(start=22, end=26, entity_type="LOCATION"),
        SimpleNamespace(start=0, end=2, entity_type="US_BANK_NUMBER"),
    ]
    engine = SimpleNamespace(analyze=lambda text, language: results if text == TEXT else [])
    return SimpleNamespace(AnalyzerEngine=lambda: engine)


def spacy(name: str) -> Any:
    entities = [
        SimpleNamespace(start_char=0, end_char=4, label_="PERSON"),
        SimpleNamespace(start_char=14, end_char=18, label_="ORG"),
        SimpleNamespace(start_char=22, end_char=26, label_="GPE"),
        SimpleNamespace(start_char=5, end_char=10, label_="CARDINAL"),
    ]
    pipeline = SimpleNamespace(pipe=lambda texts: [SimpleNamespace(ents=entities) for _ in texts])
    return SimpleNamespace(load=lambda model: pipeline)


def gliner(name: str) -> Any:
    entities = [
        {"start": 0, "end": 4, "label": "person"},
        {"start": 14, "end": 18, "label": "organization"},
        {"start": 22, "end": 26, "label": "location"},
    ]
    model = SimpleNamespace(predict_entities=lambda text, labels, threshold: entities)
    return SimpleNamespace(GLiNER=SimpleNamespace(from_pretrained=lambda model_name: model))


@pytest.mark.parametrize(
    ("name", "load"), [("presidio", presidio), ("spacy:en_core_web_sm", spacy), ("gliner:small", gliner)]
)
def test_what_another_recogniser_finds_comes_as_our_spans(name: str, load: Any) -> None:
    recogniser = open_recogniser(name, load=load)
    assert recogniser is not None
    assert recogniser.find([TEXT]) == [FOUND]


@pytest.mark.parametrize("name", ["presidio", "spacy:m", "gliner:m"])
def test_a_package_that_is_not_installed_is_named(name: str) -> None:
    with pytest.raises(MissingExtra, match=name.split(":", maxsplit=1)[0]):
        open_recogniser(name, load=absent)


@pytest.mark.parametrize("name", ["", "spacy", "gliner:", "other", "bundled:x"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(BadSetting, match="no recogniser"):
        open_recogniser(name)


def test_the_bundled_one_needs_nothing() -> None:
    assert open_recogniser("bundled", load=absent) is not None
    assert open_recogniser("none", load=absent) is None


def test_of_overlapping_spans_the_longest_stays() -> None:
    assert spans_of([(0, 4, "PERSON"), (0, 10, "PERSON"), (8, 12, "GPE")]) == [Span(0, 10, PERSON)]


@pytest.mark.parametrize("name", ["spacy:gone", "gliner:gone"])
def test_a_model_that_is_not_there_is_named(name: str) -> None:
    def gone(model: str) -> Any:
        raise OSError(f"Can't find model {model!r}.")

    package: Any = SimpleNamespace(load=gone, GLiNER=SimpleNamespace(from_pretrained=gone))
    with pytest.raises(BadSetting, match=r"model 'gone' cannot be opened: Can't find"):
        open_recogniser(name, load=lambda _: package)
