"""The base of an installation, chosen by the calls of its own tasks."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.app.build import App
from offramp.app.chosen import save_base
from offramp.app.models import NANO, Wish, judged
from offramp.core.call import OutputType
from offramp.core.errors import BadInput
from offramp.curate.curate import curate
from offramp.curate.filter import require_consent
from offramp.loop.bases import load_of, probe_bases
from offramp.loop.ladder import Brief, make
from offramp.loop.pipeline import SHARES
from offramp.loop.race import part_of
from offramp.loop.score import score
from offramp.select import units_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offramp.core.call import Call
    from offramp.core.json import JsonObject
    from offramp.discover.discover import Discovery
    from offramp.select import Outcome, SmallModel

TRAINED = 400
"""Training calls that each base is tried with at most."""

ASKED = 256
"""Validation calls that each base is asked at most."""


def choose_base(
    app: App, found: tuple[Sequence[Call], Discovery], say: Callable[[str], None], *, task: str | None = None
) -> Outcome | None:
    """Choose the base of the installation by the largest unit that would be trained on one, and keep it.

    Models that pass the hard filters and are small on the configured device get an adapter trained on a part
    of the unit's training calls, and answer its validation calls by successive halving.

    Args:
        app: The installation; ``auto`` in its settings is replaced by what was chosen.
        found: The calls, and the tasks found in them.
        say: Told how it goes, a line at a time.
        task: Id, slug or name of the task that is to decide (with its group); the largest where not given.

    Returns:
        What came of the probe; None where no unit needs a base, and the bundled one stays.

    Raises:
        BadInput: No model passed the filters, none could be trained, or a call may not be trained on.
    """
    brief = _deciding(found, task)
    if brief is None:
        _settle(app, NANO, {})
        return None
    require_consent([brief.dataset])
    part = part_of(brief, trained=TRAINED, asked=ASKED, seed=app.settings.train.seed)
    wish = Wish(app.settings.plan.device, load=load_of(item.call for item in brief.train))
    models = judged(app.settings, wish)
    passed = sum(not fit.reasons and fit.small for fit in models)
    say(f"Probing {passed} of {len(models)} models as the base, on {brief.unit.name}")
    app.settings.specialists_path.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=app.settings.specialists_path, prefix="probe-") as scratch:
        arms = _Arms(app, part, Path(scratch), say)
        outcome = probe_bases(models, arms.losses, len(part.dataset.parts["validation"]))
    if not outcome.winner:
        failures = "; ".join(f"{one.name}: {one.reason}" for one in outcome.standings)
        raise BadInput(f"No base could be trained: {failures}", hint="Name one with --base.")
    _settle(app, outcome.winner, asdict(outcome))
    return outcome


def render_outcome(outcome: Outcome) -> str:
    """Lay a probe out as text, a line per base."""
    lines = [f"Base: {outcome.winner}"]
    lines += [
        f"  {one.name:<40} {one.agreement:6.1%} of {one.calls} calls, {one.size:.2f} s modelled: {one.reason}"
        for one in outcome.standings
    ]
    return "\n".join(lines)


def _deciding(found: tuple[Sequence[Call], Discovery], task: str | None) -> Brief | None:
    calls, discovery = found
    for unit in units_of(discovery.tasks):
        names = {name for one in unit.tasks for name in one.names}
        if unit.output is not OutputType.LABEL and (task is None or task in names):
            return Brief(unit, curate(calls, discovery.assignment, unit.tasks, shares=SHARES))
    return None


class _Arms:
    """Trains and asks one base at a time, so that one is in memory at a time."""

    def __init__(self, app: App, part: Brief, folder: Path, say: Callable[[str], None]) -> None:
        self._app, self._part, self._folder, self._say = app, part, folder, say

    def losses(self, model: SmallModel, rows: Sequence[int]) -> list[float]:
        """Ask a base, with an adapter trained on the part, about some validation calls."""
        settings = self._app.settings
        app = App(replace(settings, train=replace(settings.train, base=model.name)))
        # The encoder is the same for all of them, and so is what it has embedded.
        app.embedder = self._app.embedder
        workshop = replace(app.workshop(self._say), folder=self._folder)
        validation = self._part.dataset.parts["validation"]
        loss = score(
            make("lora", self._part, workshop), [validation[row] for row in rows], judge=workshop.judge
        ).loss
        self._say(f"  {model.name}: agrees on {1 - loss.mean():.1%} of {len(rows)} more calls")
        return [float(value) for value in loss]


def _settle(app: App, name: str, probe: JsonObject) -> None:
    save_base(app.store, name, probe)
    app.settings = replace(app.settings, train=replace(app.settings.train, base=name))
