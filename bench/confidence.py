"""What each signal of an extractive student is worth: risk against coverage, with signals alone and left out.

    python bench/confidence.py [FILE.jsonl.gz] [--folder DIR] [--plot FILE.svg]

A student is trained as in ``bench/students.py`` (default: the bundled home assistant). For each group of its
features the calibrator of a night is fitted on validation calls, with that group alone and with all others,
and judged on the calls of the calibration and test parts, which nothing was fitted on:

- AURC: mean risk over all coverages (lower is better; "perfect" puts every wrong answer last);
- at 5 %, 10 %: the largest share of calls, surest first, whose bound (as a certificate's, but looking at
  every threshold) stays within that risk. A little optimistic, and equally so for all lines.

``--folder`` keeps the trained student, so that a second run does not train. ``--plot`` draws the curves.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from students import SHARES, bundled, read, workshop_in

from offramp.curate.curate import curate
from offramp.discover.discover import discover
from offramp.engine.embedder import Remembering, SentenceEmbedder
from offramp.engine.extractive_specialist import FEATURES
from offramp.loop.ladder import Brief, make
from offramp.loop.score import Scores, fit_confidence, score
from offramp.select import expected_coverage, units_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

GROUPS = {
    "name: log-probability, lead": ("name", "p_name", "lead_of_name"),
    "arguments: of all, of the least": ("arguments", "least", "fixed", "p_arguments", "p_least"),
    "whole answer: log-probability, lead": ("whole", "p_whole", "lead_of_answer"),
    "second opinion (frozen encoder)": (
        *("seconded", "p_seconded", "opinion", "opinion_lead", "opinion_agrees"),
    ),
    "answers of the nearest calls": ("neighbours_name", "neighbours_form", "neighbours_near"),
    "shape: arguments, length": ("count", "count_squared", "none", "long"),
    "distance to training calls": ("similarity",),
}
ALPHAS = (0.05, 0.10)
DELTA = 0.05
COLOURS = ("#0b6e4f", "#c8553d", "#3d5a80", "#8a817c", "#b08900")


@dataclass(frozen=True)
class Ordering:
    """Calls in the order of some confidence.

    Attributes:
        confidence: Shape (calls,).
        loss: 1.0 where the answer is wrong, shape (calls,).
    """

    confidence: Floats
    loss: Floats

    @property
    def risks(self) -> Floats:
        """Risk of the surest 1, 2, ... calls."""
        losses = self.loss[np.argsort(-self.confidence, kind="stable")]
        return np.asarray(np.cumsum(losses) / np.arange(1, len(losses) + 1))

    @property
    def aurc(self) -> float:
        """Mean risk over all coverages."""
        return float(self.risks.mean())

    def coverage(self, alpha: float) -> float:
        """Coverage whose bound stays within alpha."""
        return expected_coverage(self.confidence, self.loss, alpha, DELTA)


def main() -> None:
    """Train or open a student, print the table, draw the plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", default=bundled()[0])
    parser.add_argument("--folder", type=Path, help="keeps the student")
    parser.add_argument("--plot", type=Path, help="SVG file for the curves")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        fitted, judged = scores_of(arguments.file, arguments.folder or Path(scratch))
    orderings = compare(fitted, judged)
    print(
        f"{len(judged)} calls, {judged.loss.mean():.1%} of the answers wrong; fitted on {len(fitted)} others"
    )
    print(f"{'signals':52} {'AURC':>7} {'at 5 %':>7} {'at 10 %':>7}")
    for name, ordering in orderings.items():
        shares = " ".join(f"{ordering.coverage(alpha):7.3f}" for alpha in ALPHAS)
        print(f"{name:52} {ordering.aurc:7.4f} {shares}")
    if arguments.plot:
        chosen = ("perfect", "all signals", *(f"only {name}" for name in list(GROUPS)[2:5]))
        draw(arguments.plot, {name: orderings[name] for name in chosen})


def scores_of(path: Path, folder: Path) -> tuple[Scores, Scores]:
    """Return the scores of validation calls, and of calibration and test calls together."""
    calls = read(path, 0)
    discovery = discover(calls)
    unit = units_of(discovery.tasks)[0]
    brief = Brief(unit, curate(calls, discovery.assignment, unit.tasks, shares=SHARES))
    specialist = make("extractive", brief, workshop_in(folder, Remembering(SentenceEmbedder()), 0))
    parts = brief.dataset.parts
    return score(specialist, parts["validation"]), score(specialist, [*parts["calibration"], *parts["test"]])


def compare(fitted: Scores, judged: Scores) -> dict[str, Ordering]:
    """Order the judged calls by each choice of signals."""
    found = {
        "nothing (random order)": Ordering(np.random.default_rng(0).random(len(judged)), judged.loss),
        "all signals": ordered(FEATURES, fitted, judged),
    }
    for name, group in GROUPS.items():
        found[f"only {name}"] = ordered(group, fitted, judged)
    for name, group in GROUPS.items():
        found[f"all but {name}"] = ordered([f for f in FEATURES if f not in group], fitted, judged)
    return {**found, "perfect": Ordering(1.0 - judged.loss, judged.loss)}


def ordered(features: Iterable[str], fitted: Scores, judged: Scores) -> Ordering:
    """Fit the calibrator on some features and order the judged calls by it."""
    columns = [FEATURES.index(feature) for feature in features]
    confidence = fit_confidence(only(columns, fitted)).of(only(columns, judged))
    return Ordering(confidence, judged.loss)


def only(columns: Sequence[int], scores: Scores) -> Scores:
    """Keep some features."""
    return Scores(scores.features[:, columns], scores.similarity, scores.answered, scores.loss)


def draw(path: Path, orderings: Mapping[str, Ordering]) -> None:
    """Write the curves as an SVG."""
    left, top, width, height, most = 60, 20, 560, 320, 0.25
    parts = []
    for share in np.arange(0.0, most + 0.01, 0.05):
        y = top + height * (1 - share / most)
        parts.append(f'<line x1="{left}" y1="{y:.0f}" x2="{left + width}" y2="{y:.0f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.0f}" text-anchor="end">{share:.0%}</text>')
    for share in np.arange(0.0, 1.01, 0.2):
        x = left + width * share
        parts.append(f'<text x="{x:.0f}" y="{top + height + 18}" text-anchor="middle">{share:.0%}</text>')
    for row, (name, ordering) in enumerate(orderings.items()):
        risks, colour = ordering.risks, COLOURS[row]
        steps = range(20, len(risks) + 1, max(1, len(risks) // 200))
        points = " ".join(
            f"{left + width * n / len(risks):.1f},{top + height * (1 - min(risks[n - 1], most) / most):.1f}"
            for n in steps
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{left + 14}" y="{top + 150 + 18 * row}" fill="{colour}">{name}</text>')
    middle = left + width / 2
    parts.append(
        f'<text x="{middle}" y="{top + height + 40}" text-anchor="middle">share of calls answered</text>'
    )
    parts.append(f'<text x="{left - 40}" y="{top - 6}">share of those wrong</text>')
    title = "<title>Risk against coverage by signal</title>"
    body = "\n".join([title, *parts])
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 20} {top + height + 50}" '
        f'font-family="sans-serif" font-size="13" fill="#222">\n{body}\n</svg>\n',
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
