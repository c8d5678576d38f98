"""The catalogue of small models that a specialist may be built on: the bundled file, or one of the user's."""

from __future__ import annotations

import json
import types
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from offramp.core.errors import BadSetting, NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.core.json import JsonObject

SOURCES = frozenset({"shape", "licence", "facts"})
"""What each model has to name an address for."""


@dataclass(frozen=True, slots=True)
class Licence:
    """What a licence allows, in short; it is no legal advice.

    Attributes:
        title: Its full name.
        commercial: Whether commercial use is allowed without asking.
        fine_tuning: Whether derivatives may be made.
        address: Where its text is.
        note: Conditions worth knowing.
    """

    title: str
    commercial: bool
    fine_tuning: bool
    address: str
    note: str


@dataclass(frozen=True, slots=True)
class SmallModel:
    """One model of the catalogue.

    Attributes:
        name: Its name on the hub.
        family: Its ``model_type``.
        parameters: The published number of weights; None where nobody says it.
        layers: Decoder layers.
        hidden: Width of the residual stream.
        intermediate: Width of the gated feed-forward block.
        heads: Query heads.
        kv_heads: Key-value heads.
        head_dim: Width of one head.
        vocab: Rows of the embedding.
        tied: Whether the output layer reuses the embedding.
        qkv_bias: Whether query, key and value projections have a bias.
        qk_norm: Whether queries and keys are normalised.
        window: Tokens that a sliding-window layer keeps; None where all layers keep all.
        full_every: Every how many layers one keeps all tokens, where there is a window; None: no layer does.
        context: Tokens it was trained for.
        chat: Whether its tokenizer has a chat template.
        licence: Key of its licence.
        languages: Codes (ISO 639-1) of the languages its card names.
        languages_note: What the card says of languages and context besides.
        inferred: Which figures are conclusions, and from what; "" where all were read.
        tool_calling: Whether it was trained to call tools; None where nobody says it.
        released: Day or month (ISO); None where nobody says it.
        sources: Address by what it says: ``shape``, ``licence``, ``facts``.
    """

    name: str
    family: str
    parameters: int | None
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool
    qkv_bias: bool
    qk_norm: bool
    window: int | None
    full_every: int | None
    context: int
    chat: bool
    licence: str
    languages: tuple[str, ...]
    languages_note: str
    inferred: str
    tool_calling: bool | None
    released: str | None
    sources: dict[str, str]

    def windows(self) -> tuple[int | None, ...]:
        """Tokens that each layer keeps in its KV cache; None keeps all."""
        every = self.full_every
        return tuple(
            None if self.window is None or (every is not None and (layer + 1) % every == 0) else self.window
            for layer in range(self.layers)
        )


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Models by name, and the licences they name.

    Attributes:
        models: Models by hub name.
        licences: Licences by key.
    """

    models: dict[str, SmallModel]
    licences: dict[str, Licence]

    def find(self, name: str) -> SmallModel:
        """Return a model by its hub name, or by the part after the slash.

        Raises:
            NotFound: There is none of that name.
        """
        known = self.models | {key.rpartition("/")[2]: model for key, model in self.models.items()}
        if name not in known:
            raise NotFound(
                f"There is no model {name!r} among the {len(self.models)} of the catalogue.",
                hint="`offramp models` lists them; describe yours in a models file.",
            )
        return known[name]

    def licence(self, model: SmallModel) -> Licence:
        """Return a model's licence."""
        return self.licences[model.licence]


def load_catalogue(path: Path | None = None) -> Catalogue:
    """Read the bundled catalogue, then the models and licences of ``path`` over it.

    Raises:
        BadSetting: The file is missing or no JSON, or an entry lacks a field, has one too many, or one of
            the wrong form; the message names entry and field.
    """
    bundled = json.loads(files("offramp").joinpath("assets/models.json").read_text(encoding="utf-8"))
    catalogue = _read(bundled, "the bundled models", {})
    if path is None:
        return catalogue
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadSetting(f"{path} is not a models file: {error}.") from error
    if not isinstance(given, dict):
        raise BadSetting(f'{path} is not a models file: expected {{"licences": {{...}}, "models": [...]}}.')
    own = _read(given, str(path), catalogue.licences)
    return Catalogue(catalogue.models | own.models, own.licences)


def _read(value: JsonObject, where: str, known: dict[str, Licence]) -> Catalogue:
    licences, models = value.get("licences", {}), value.get("models", [])
    if not isinstance(licences, dict) or not isinstance(models, list):
        raise BadSetting(f"{where} need an object of licences and a list of models.")
    read = known | {key: _entry(Licence, raw, f"Licence {key!r} in {where}") for key, raw in licences.items()}
    found: dict[str, SmallModel] = {}
    for raw in models:
        model = _entry(SmallModel, raw, f"Model {_name(raw)!r} in {where}")
        _check(model, read, where)
        if model.name in found:
            raise BadSetting(f"Model {model.name!r} stands twice in {where}.")
        found[model.name] = model
    return Catalogue(found, read)


def _name(raw: object) -> object:
    return raw.get("name") if isinstance(raw, dict) else raw


def _entry(kind: type[Any], raw: object, what: str) -> Any:
    """Make one entry, field by field, each of the type that its class says."""
    if not isinstance(raw, dict):
        raise BadSetting(f"{what} is {raw!r}; an object is needed.")
    wanted = [field.name for field in fields(kind)]
    if set(raw) != set(wanted):
        missing, extra = sorted(set(wanted) - set(raw)), sorted(set(raw) - set(wanted))
        raise BadSetting(f"{what} lacks {missing} and has {extra} too many.")
    hints = get_type_hints(kind)
    for name in wanted:
        if not _is(raw[name], hints[name]):
            raise BadSetting(f"{what} has {name}={raw[name]!r}, which is not of the form {hints[name]}.")
    return kind(**{name: tuple(v) if isinstance(v := raw[name], list) else v for name in wanted})


def _is(value: object, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (types.UnionType, Union):
        return any(_is(value, one) for one in get_args(hint))
    if origin is tuple:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    return type(value) is hint


def _check(model: SmallModel, licences: dict[str, Licence], where: str) -> None:
    sizes = ("layers", "hidden", "intermediate", "heads", "kv_heads", "head_dim", "vocab", "context")
    troubles = [f"{name}={getattr(model, name)}" for name in sizes if getattr(model, name) < 1]
    if model.heads % max(model.kv_heads, 1):
        troubles.append(f"heads={model.heads} is no multiple of kv_heads={model.kv_heads}")
    if model.licence not in licences:
        troubles.append(f"licence={model.licence!r} is none of {sorted(licences)}")
    if set(model.sources) != SOURCES:
        troubles.append(f"sources name {sorted(model.sources)}, needed are {sorted(SOURCES)}")
    troubles += [f"source {text!r}" for text in model.sources.values() if not text.startswith("http")]
    if model.full_every is not None and (model.window is None or model.full_every < 1):
        troubles.append(f"full_every={model.full_every} with window={model.window}")
    if troubles:
        raise BadSetting(f"Model {model.name!r} in {where}: {'; '.join(troubles)}.")
