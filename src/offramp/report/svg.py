"""Scales, axes and text for inline SVG. Colours come from the page's style sheet, by class."""

from __future__ import annotations

import math
from dataclasses import dataclass

from offramp.report.markup import Markup, elide, join, tag

WIDTH = 420
"""Units across every chart. Drawn 0.85 (phone) to 1.25 times as large, so that text stays readable."""

CHARACTER = 6.6
"""Units that a character of chart text takes on average."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from values to coordinates.

    Attributes:
        low: Value at ``start``.
        high: Value at ``end``.
        start: First coordinate.
        end: Last coordinate.
    """

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Coordinate of a value; values outside are put on the edge."""
        inside = min(max(value, self.low), self.high)
        return self.start + (inside - self.low) / (self.high - self.low) * (self.end - self.start)

    def beyond(self, value: float) -> bool:
        """Whether a value lies above the scale."""
        return value > self.high

    def ticks(self, wanted: int = 5) -> tuple[float, ...]:
        """Round values on the scale, about ``wanted`` of them."""
        step = nice_step((self.high - self.low) / wanted)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return tuple(round(i * step, 12) for i in range(first, last + 1))


def nice_step(rough: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is at least ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))


def nice_top(value: float, *, wanted: int = 5) -> float:
    """A round value at or above ``value`` for the end of an axis that starts at 0."""
    step = nice_step(value / wanted)
    return math.ceil(value / step - 1e-9) * step


def chart(name: str, *parts: object, title: str, description: str, height: float) -> Markup:
    """Wrap parts into an accessible SVG: a title, and a description that says what the picture shows.

    Args:
        name: Unique on the page.
        parts: Its markup.
        title: What it is.
        description: What it shows, with the figures.
        height: Units high.
    """
    return tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", description, id=f"{name}-desc"),
        *parts,
        viewBox=f"0 0 {WIDTH} {height:.0f}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        class_="chart",
    )


def text(
    x: float, y: float, content: str, *, class_: str = "", anchor: str = "start", room: float = 0
) -> Markup:
    """Draw text; where it is wider than ``room`` units its middle goes and the whole becomes its tooltip."""
    shown = elide(content, max(3, int(room / CHARACTER))) if room else content
    whole = tag("title", content) if shown != content else None
    return tag("text", shown, whole, x=x, y=y, class_=class_ or None, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Draw a straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def bar(x: float, y: float, width: float, height: float, class_: str, *, tip: str = "") -> Markup:
    """Draw a bar; one that is not empty is at least a unit wide, so that it can be seen."""
    shown = 0.0 if width <= 0 else max(1.0, width)
    return tag(
        "rect", tag("title", tip) if tip else None, x=x, y=y, width=shown, height=height, class_=class_
    )


def x_axis(scale: Scale, top: float, bottom: float, labels: tuple[str, ...], title: str) -> Markup:
    """Draw grid lines, tick labels (one per ``scale.ticks()``) and the axis' title below."""
    ticks = scale.ticks()
    return join(
        *(line(scale.at(tick), top, scale.at(tick), bottom, "grid") for tick in ticks),
        *(
            text(scale.at(tick), bottom + 15, label, class_="tick", anchor="middle")
            for tick, label in zip(ticks, labels, strict=True)
        ),
        text((scale.start + scale.end) / 2, bottom + 32, title, class_="axis", anchor="middle"),
    )


def y_axis(scale: Scale, left: float, right: float, labels: tuple[str, ...], title: str) -> Markup:
    """Draw grid lines, tick labels (one per ``scale.ticks()``) and the axis' title above."""
    ticks = scale.ticks()
    return join(
        *(line(left, scale.at(tick), right, scale.at(tick), "grid") for tick in ticks),
        *(
            text(left - 6, scale.at(tick) + 4, label, class_="tick", anchor="end")
            for tick, label in zip(ticks, labels, strict=True)
        ),
        text(0, 12, title, class_="axis"),
    )


def legend(y: float, *entries: tuple[str, str]) -> Markup:
    """Draw one line of legend: pairs of a rectangle's class and its meaning."""
    parts, x = [], 0.0
    for class_, meaning in entries:
        parts.append(tag("rect", x=x, y=y - 9, width=10, height=10, class_=class_))
        parts.append(text(x + 15, y, meaning, class_="key"))
        x += 15 + CHARACTER * len(meaning) + 16
    return join(*parts)
