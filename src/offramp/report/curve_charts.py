"""The reliability diagram and risk-coverage curves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from offramp.report.markup import Markup, join, tag
from offramp.report.svg import WIDTH, Scale, chart, line, nice_top, text, x_axis, y_axis
from offramp.report.words import count, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from offramp.report.summary import CurvePoint, ReliabilityBin, RiskCurve

_LEFT, _TOP, _BOTTOM = 46.0, 28.0, 290.0
_CURVES = 3


def reliability_chart(bins: tuple[ReliabilityBin, ...]) -> Markup | None:
    """Agreement against confidence: on the diagonal, 0.9 means that nine of ten agree."""
    filled = [found for found in bins if found.n > 0]
    if not filled:
        return None
    lowest = min(min(found.confidence, found.agreement) for found in filled)
    low = max(0.0, math.floor(lowest * 5) / 5) if lowest < 0.999 else 0.8
    x, y = Scale(low, 1.0, _LEFT, WIDTH - 14.0), Scale(low, 1.0, _BOTTOM, _TOP)
    labels = tuple(percent(tick) for tick in x.ticks())
    most = max(found.n for found in filled)
    dots = [
        tag(
            "circle",
            tag(
                "title",
                f"confidence {percent(b.confidence)}, agreement {percent(b.agreement)}, {count(b.n)} calls",
            ),
            cx=x.at(b.confidence),
            cy=y.at(b.agreement),
            r=3 + 9 * math.sqrt(b.n / most),
            class_="bin",
        )
        for b in filled
    ]
    total = sum(found.n for found in filled)
    gap = sum(found.n * abs(found.confidence - found.agreement) for found in filled) / total
    return chart(
        "reliability",
        y_axis(y, x.start, x.end, labels, "agrees with the teacher"),
        x_axis(x, _TOP, _BOTTOM, labels, "confidence (circles: area shows the number of calls)"),
        line(x.start, y.start, x.end, y.end, "diagonal"),
        *dots,
        title="Reliability of the confidence",
        description=f"{count(total)} calls in {len(filled)} bins; mean gap to the diagonal {percent(gap)}.",
        height=_BOTTOM + 40,
    )


def risk_curves(curves: tuple[RiskCurve, ...]) -> Markup | None:
    """Risk against coverage over all thresholds, with the promise and the chosen threshold."""
    return _risk_chart([curve for curve in curves if curve.points][:_CURVES], "risk")


def risk_curve(curve: RiskCurve, name: str) -> Markup | None:
    """Risk against coverage of one certificate.

    Args:
        curve: Its curve.
        name: Unique on the page.
    """
    return _risk_chart([curve] if curve.points else [], name)


def _risk_chart(drawn: Sequence[RiskCurve], name: str) -> Markup | None:
    if not drawn:
        return None
    alphas = sorted({curve.alpha for curve in drawn if curve.alpha is not None})
    highest = max(max(point.upper or 0.0, point.risk) for curve in drawn for point in curve.points)
    # Strict thresholds rest on few calls: their bounds would flatten the rest of the picture.
    top = nice_top(min(highest, max(0.3, 3 * max(alphas, default=0.1))) or 0.01)
    x, y = Scale(0.0, 1.0, _LEFT, WIDTH - 14.0), Scale(0.0, top, _BOTTOM, _TOP)
    return chart(
        name,
        y_axis(y, x.start, x.end, tuple(percent(t) for t in y.ticks()), "disagreement among answered calls"),
        x_axis(x, _TOP, _BOTTOM, tuple(percent(t) for t in x.ticks()), "coverage: share of calls answered"),
        *(_promise_line(x, y, alpha) for alpha in alphas),
        *(_curve(curve, x, y, index) for index, curve in enumerate(drawn)),
        *(_curve_key(curve, x, index) for index, curve in enumerate(drawn)),
        title="Risk against coverage",
        description=" ".join(_curve_words(curve) for curve in drawn),
        height=_BOTTOM + 40,
    )


def _promise_line(x: Scale, y: Scale, alpha: float) -> Markup:
    return join(
        line(x.start, y.at(alpha), x.end, y.at(alpha), "alpha"),
        text(x.end, y.at(alpha) - 5, f"promised {percent(alpha)}", class_="alpha-label", anchor="end"),
    )


def _curve(curve: RiskCurve, x: Scale, y: Scale, index: int) -> Markup:
    points = sorted(curve.points, key=lambda point: point.coverage)
    bounds = [(point.coverage, point.upper) for point in points if point.upper is not None]
    chosen = chosen_point(curve)
    return join(
        _path(((p.coverage, p.risk) for p in points), x, y, f"curve c{index}"),
        _path(bounds, x, y, f"curve bound c{index}") if bounds else None,
        None
        if chosen is None
        else tag(
            "circle",
            tag("title", _chosen_words(chosen)),
            cx=x.at(chosen.coverage),
            cy=y.at(chosen.risk),
            r=5,
            class_=f"chosen c{index}",
        ),
    )


def _path(points: Iterable[tuple[float, float]], x: Scale, y: Scale, class_: str) -> Markup:
    steps = " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in points)
    return tag("polyline", points=steps, class_=class_)


def _curve_key(curve: RiskCurve, x: Scale, index: int) -> Markup:
    row = _TOP + 16 + 17 * index
    label = (
        f"{curve.label} (dashed: upper bound)"
        if any(p.upper is not None for p in curve.points)
        else curve.label
    )
    return join(
        line(x.start + 10, row - 4, x.start + 30, row - 4, f"curve c{index}"),
        text(x.start + 36, row, label, class_="key", room=300),
    )


def chosen_point(curve: RiskCurve) -> CurvePoint | None:
    """The point of the chosen threshold: the closest one, where the curve has thresholds."""
    if curve.threshold is None:
        return None
    known = [(point, point.threshold) for point in curve.points if point.threshold is not None]
    if not known:
        return None
    wanted = curve.threshold
    return min(known, key=lambda pair: abs(pair[1] - wanted))[0]


def _chosen_words(point: CurvePoint) -> str:
    return f"chosen: answers {percent(point.coverage)}, of which {percent(point.risk)} disagree"


def _curve_words(curve: RiskCurve) -> str:
    chosen = chosen_point(curve)
    ending = "no threshold was chosen" if chosen is None else _chosen_words(chosen)
    return f"{curve.label}: {ending}."
