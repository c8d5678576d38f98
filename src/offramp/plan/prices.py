"""What the teacher costs: USD per million tokens by model, dated and with a source, editable by the user."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from offramp.core.errors import BadSetting, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from offramp.core.json import JsonObject

MILLION = 1_000_000
_KEYS = ("input", "cached_input", "output")
# A dated snapshot costs what its family costs: gpt-4o-2024-08-06, claude-haiku-4-5-20251001.
_DATED = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$")


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """List price of one model.

    Attributes:
        input: USD per million prompt tokens.
        cached_input: USD per million prompt tokens that the provider had cached.
        output: USD per million completion tokens.
        date: Day on which the price was read (ISO), "" where it was not said.
        source: Where it was read.
    """

    input: float
    cached_input: float
    output: float
    date: str = ""
    source: str = ""

    def call(self, *, input_tokens: float, output_tokens: float, cached_input_tokens: float = 0.0) -> float:
        """USD of one call; ``cached_input_tokens`` are a part of ``input_tokens``."""
        fresh = input_tokens - cached_input_tokens
        total = fresh * self.input + cached_input_tokens * self.cached_input + output_tokens * self.output
        return total / MILLION


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of the models that are known, and what to do about the others.

    Attributes:
        models: Price by model name.
        default: Price of every other model; None refuses them.
        where: Where the prices come from, for messages.
    """

    models: Mapping[str, ModelPrice]
    default: ModelPrice | None = None
    where: str = "the bundled prices"

    def price(self, model: str) -> ModelPrice:
        """Return the price of a model.

        The provider's prefix, a date at the end and dots for dashes make no difference.

        Raises:
            NotFound: The model is unknown and there is no default.
        """
        if model in self.models:
            return self.models[model]
        found = {_family(name): price for name, price in self.models.items()}.get(
            _family(model), self.default
        )
        if found is None:
            raise NotFound(
                f"There is no price for model {model!r} in {self.where}; "
                f"known are {', '.join(sorted(self.models))}.",
                hint='Add it to a prices file: {"models": {"NAME": {"input": USD, "output": USD}}}, '
                'or give that file a "default".',
            )
        return found


def load_prices(path: Path | None = None) -> Prices:
    """Read the bundled prices, then those of ``path`` over them.

    A file looks like the bundled one: ``{"models": {NAME: {"input": USD, "output": USD}}, "default": ...}``
    with USD per million tokens; ``cached_input`` (the input price where it is missing), ``date`` and
    ``source`` are optional.

    Raises:
        BadSetting: The file is missing, no JSON, or has something else in it.
    """
    bundled = json.loads(files("offramp").joinpath("assets/prices.json").read_text(encoding="utf-8"))
    models = {name: _price(name, raw, "the bundled prices") for name, raw in bundled["models"].items()}
    if path is None:
        return Prices(models)
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadSetting(f"{path} is not a prices file: {error}.") from error
    if not isinstance(given, dict) or not isinstance(given.get("models", {}), dict):
        raise BadSetting(f'{path} is not a prices file: expected {{"models": {{NAME: PRICES}}}}.')
    models |= {name: _price(name, raw, str(path)) for name, raw in given.get("models", {}).items()}
    default = given.get("default")
    return Prices(
        models,
        default=None if default is None else _price("default", default, str(path)),
        where=f"{path} and the bundled prices",
    )


def _price(name: str, raw: JsonObject, where: str) -> ModelPrice:
    if not isinstance(raw, dict):
        raise BadSetting(
            f"The price of {name!r} in {where} is {raw!r}; an object with input and output is needed."
        )
    unknown = sorted(set(raw) - {*_KEYS, "date", "source"})
    if unknown:
        raise BadSetting(
            f"The price of {name!r} in {where} has {unknown}; allowed are {', '.join(_KEYS)}, date, source."
        )
    values = {**raw, "cached_input": raw.get("cached_input", raw.get("input"))}
    for key in _KEYS:
        value = values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise BadSetting(
                f"The price of {name!r} in {where} has {key}={value!r}; USD per million tokens is needed."
            )
    return ModelPrice(
        input=float(values["input"]),
        cached_input=float(values["cached_input"]),
        output=float(values["output"]),
        date=str(raw.get("date", "")),
        source=str(raw.get("source", "")),
    )


def _family(model: str) -> str:
    return _DATED.sub("", model.rsplit("/", 1)[-1].lower().replace(".", "-"))
