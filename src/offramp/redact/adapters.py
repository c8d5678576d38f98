"""Other recognisers behind the same port: Presidio, spaCy, GLiNER; and the choice among them by name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from offramp.core.errors import BadSetting, MissingExtra
from offramp.redact.recogniser import ADDRESS, AGE, DATE, ORGANISATION, PERSON, PLACE, TITLE, Span
from offramp.redact.tagger import Tagger, bundled_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import ModuleType

    from offramp.redact.recogniser import Recogniser

KINDS_OF = {
    "PERSON": PERSON,
    "PER": PERSON,
    "GPE": PLACE,
    "LOC": PLACE,
    "LOCATION": PLACE,
    "FAC": ADDRESS,
    "ADDRESS": ADDRESS,
    "STREET_ADDRESS": ADDRESS,
    "ORG": ORGANISATION,
    "ORGANIZATION": ORGANISATION,
    "ORGANISATION": ORGANISATION,
    "DATE": DATE,
    "DATE_TIME": DATE,
    "AGE": AGE,
    "TITLE": TITLE,
}
"""Kinds of the labels that other recognisers use; whatever else they find is the rules' business."""

GLINER_LABELS = ("person", "location", "address", "organization")


def spans_of(found: Iterable[tuple[int, int, str]]) -> list[Span]:
    """Return spans of known kinds in order; of overlapping ones the longest stays."""
    known = [
        Span(start, end, KINDS_OF[label.upper()]) for start, end, label in found if label.upper() in KINDS_OF
    ]
    chosen: list[Span] = []
    for span in sorted(known, key=lambda span: (span.start - span.end, span.start)):
        if all(span.end <= other.start or other.end <= span.start for other in chosen):
            chosen.append(span)
    return sorted(chosen)


class PresidioRecogniser:
    """Asks a Presidio analyzer.

    Args:
        analyzer: A ``presidio_analyzer.AnalyzerEngine``.
        language: Of the texts.
    """

    def __init__(self, analyzer: Any, language: str = "en") -> None:
        self._analyzer = analyzer
        self._language = language

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """Return the spans of each text."""
        return [
            spans_of(
                (result.start, result.end, str(result.entity_type))
                for result in self._analyzer.analyze(text=text, language=self._language)
            )
            for text in texts
        ]


class SpacyRecogniser:
    """Asks a spaCy pipeline with a named-entity recogniser.

    Args:
        pipeline: A ``spacy.Language``.
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """Return the spans of each text."""
        return [
            spans_of((entity.start_char, entity.end_char, str(entity.label_)) for entity in document.ents)
            for document in self._pipeline.pipe(list(texts))
        ]


class GlinerRecogniser:
    """Asks a GLiNER model.

    Args:
        model: A ``gliner.GLiNER``.
        threshold: Least score of what counts as found.
    """

    def __init__(self, model: Any, threshold: float = 0.5) -> None:
        self._model = model
        self._threshold = threshold

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """Return the spans of each text."""
        return [
            spans_of(
                (entity["start"], entity["end"], str(entity["label"]))
                for entity in self._model.predict_entities(
                    text, list(GLINER_LABELS), threshold=self._threshold
                )
            )
            for text in texts
        ]


def open_recogniser(
    name: str, *, load: Callable[[str], ModuleType] = importlib.import_module
) -> Recogniser | None:
    """Open a recogniser by its name in the settings.

    Args:
        name: ``bundled``; ``none``; ``presidio``; ``spacy:MODEL`` or ``gliner:MODEL``.
        load: Imports a module by name.

    Raises:
        BadSetting: The name is none of these, or the model cannot be opened.
        MissingExtra: The package it needs is not installed.
    """
    kind, _, model = name.partition(":")
    if name == "none":
        return None
    if name == "bundled":
        return Tagger(bundled_weights())
    if name == "presidio":
        return PresidioRecogniser(_module("presidio_analyzer", load).AnalyzerEngine())
    if kind == "spacy" and model:
        return SpacyRecogniser(_model(model, _module("spacy", load).load))
    if kind == "gliner" and model:
        return GlinerRecogniser(_model(model, _module("gliner", load).GLiNER.from_pretrained))
    raise BadSetting(
        f"{name!r} is no recogniser; known are none, bundled, presidio, spacy:MODEL and gliner:MODEL."
    )


def _model(name: str, opens: Callable[[str], Any]) -> Any:
    try:
        return opens(name)
    except (OSError, ValueError) as error:
        raise BadSetting(
            f"The recogniser's model {name!r} cannot be opened: {error}",
            hint="Download it first, or use the bundled recogniser.",
        ) from error


def _module(name: str, load: Callable[[str], ModuleType]) -> ModuleType:
    try:
        return load(name)
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"The recogniser needs {name.replace('_', '-')}, which is not installed.",
            hint=f"Install it (pip install {name.replace('_', '-')}), or use the bundled one.",
        ) from error
