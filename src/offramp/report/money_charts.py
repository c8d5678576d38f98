"""What it costs, from which volume it pays, and where the seconds went."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from offramp.report.markup import Markup, join, tag
from offramp.report.svg import CHARACTER, WIDTH, Scale, bar, chart, line, text
from offramp.report.words import count, seconds, usd

if TYPE_CHECKING:
    from offramp.report.summary import Costs

_LEFT, _TOP, _BOTTOM = 52.0, 28.0, 236.0
_SHORT_SECONDS = 0.05


def cost_bars(costs: Costs) -> Markup:
    """The bill on the LLM alone beside the bill with offramp, part by part."""
    parts = (
        ("kept", costs.kept, "tasks kept on the LLM"),
        ("deferred", costs.deferred, "calls handed back"),
        ("audit", costs.audits, "audits"),
        *([("billed", costs.billed, "cheaper models, as billed")] if costs.billed else []),
        ("device", costs.device, "device, idle time included"),
        ("training", costs.training_once, "training, once"),
    )
    top = max(costs.llm_only, costs.with_offramp + costs.training_once) or 1.0
    scale = Scale(0.0, top, 0.0, float(WIDTH))
    rows, x = [], 0.0
    for class_, amount, meaning in parts:
        width = scale.at(amount)
        rows.append(bar(x, 88, width, 26, class_, tip=f"{meaning}: {usd(amount)}"))
        x += width
    keys = [
        join(
            tag("rect", x=0, y=126 + 18 * i, width=10, height=10, class_=class_),
            text(16, 135 + 18 * i, meaning, class_="key"),
            text(250, 135 + 18 * i, usd(amount), class_="key", anchor="end"),
        )
        for i, (class_, amount, meaning) in enumerate(parts)
    ]
    once = f", and {usd(costs.training_once)} once" if costs.training_once else ""
    return chart(
        "cost",
        text(0, 14, f"LLM alone: {usd(costs.llm_only)}", class_="strong"),
        bar(0, 22, scale.at(costs.llm_only), 26, "llm", tip=f"LLM alone: {usd(costs.llm_only)}"),
        text(0, 80, f"With offramp: {usd(costs.with_offramp)}{once}", class_="strong"),
        *rows,
        *keys,
        title=f"Cost of {costs.days} days",
        description=f"LLM alone {usd(costs.llm_only)}; with offramp {usd(costs.with_offramp)}{once}: "
        + ", ".join(f"{meaning} {usd(amount)}" for _, amount, meaning in parts)
        + ".",
        height=212 + 18 * (len(parts) - 5),
    )


def break_even_chart(costs: Costs) -> Markup | None:
    """Cost against volume, both on logarithmic axes: the lines cross where one always-on device pays."""
    if costs.calls <= 0 or costs.llm_only <= 0 or costs.device <= 0:
        return None
    rate = costs.llm_only / costs.calls
    rest = (costs.kept + costs.deferred + costs.audits + costs.billed) / costs.calls
    middle = costs.dedicated_calls or costs.calls
    low = 10.0 ** math.floor(math.log10(max(1, min(middle, costs.calls)) / 3))
    high = 10.0 ** math.ceil(math.log10(max(middle, costs.calls) * 3))
    x = Scale(math.log10(low), math.log10(high), _LEFT, WIDTH - 14.0)
    bottom, top = math.floor(math.log10(rate * low)), math.ceil(math.log10(costs.device + rate * high))
    y = Scale(bottom, top, _BOTTOM, _TOP)
    volumes = [low * (high / low) ** (step / 40) for step in range(41)]
    llm = _log_path([(v, rate * v) for v in volumes], x, y, "curve line-llm")
    ours = _log_path([(v, costs.device + rest * v) for v in volumes], x, y, "curve line-offramp")
    return chart(
        "break-even",
        _decades(x, y),
        text(0, 12, f"cost of {costs.days} days", class_="axis"),
        text(
            (x.start + x.end) / 2,
            _BOTTOM + 32,
            f"calls in {costs.days} days, same mix",
            class_="axis",
            anchor="middle",
        ),
        llm,
        ours,
        _volume_marks(costs, x, y, rate=rate),
        _line_keys(x),
        title="From which volume it pays",
        description=break_even_words(costs),
        height=_BOTTOM + 40,
    )


def break_even_words(costs: Costs) -> str:
    """Where the lines cross, and where today's volume is."""
    if costs.dedicated_calls is None:
        return (
            "One always-on device pays at no volume that it can carry; "
            f"today there are {count(costs.calls)} calls in {costs.days} days."
        )
    return (
        f"One always-on device pays from {count(costs.dedicated_calls)} calls in {costs.days} days; "
        f"today there are {count(costs.calls)}."
    )


def stage_bars(durations: dict[str, float]) -> Markup | None:
    """Seconds of each stage, in the order in which they ran."""
    if not durations:
        return None
    longest = max(*durations.values(), _SHORT_SECONDS)
    scale = Scale(0.0, longest, 120.0, WIDTH - 86.0)
    rows = []
    for index, (stage, duration) in enumerate(durations.items()):
        y = 14 + 22.0 * index
        width = scale.at(duration) - scale.start
        rows.append(
            join(
                text(0, y, stage, room=112),
                bar(scale.start, y - 10, width, 12, "stage", tip=f"{stage}: {seconds(duration)}"),
                text(scale.start + width + 6, y, seconds(duration), class_="tick"),
            )
        )
    listed = ", ".join(f"{stage} {seconds(duration)}" for stage, duration in durations.items())
    return chart(
        "stages",
        *rows,
        title="Time by stage",
        description=f"{seconds(sum(durations.values()))} in all: {listed}.",
        height=22 * len(rows) + 2,
    )


def _log_path(points: list[tuple[float, float]], x: Scale, y: Scale, class_: str) -> Markup:
    steps = " ".join(f"{x.at(math.log10(a)):.1f},{y.at(math.log10(b)):.1f}" for a, b in points)
    return tag("polyline", points=steps, class_=class_)


def _decades(x: Scale, y: Scale) -> Markup:
    columns = range(round(x.low), round(x.high) + 1)
    every = max(1, math.ceil((y.high - y.low) / 5))
    rows = range(round(y.low), round(y.high) + 1, every)
    return join(
        *(line(x.at(power), _TOP, x.at(power), _BOTTOM, "grid") for power in columns),
        *(line(x.start, y.at(power), x.end, y.at(power), "grid") for power in rows),
        *(
            text(x.at(power), _BOTTOM + 15, _short(10.0**power), class_="tick", anchor="middle")
            for power in columns
        ),
        *(
            text(x.start - 6, y.at(power) + 4, "$" + _short(10.0**power), class_="tick", anchor="end")
            for power in rows
        ),
    )


def _volume_marks(costs: Costs, x: Scale, y: Scale, *, rate: float) -> Markup:
    today = x.at(math.log10(costs.calls))
    side = "end" if today > (x.start + x.end) / 2 else "start"
    shift = -6 if side == "end" else 6
    parts = [
        line(today, _TOP, today, _BOTTOM, "today"),
        text(today + shift, _BOTTOM - 8, f"today {count(costs.calls)}", class_="key", anchor=side),
    ]
    if costs.dedicated_calls:
        cross = x.at(math.log10(costs.dedicated_calls))
        height = y.at(math.log10(rate * costs.dedicated_calls))
        parts.append(tag("circle", cx=cross, cy=height, r=5, class_="cross"))
        words = f"pays from {count(costs.dedicated_calls)}"
        # Above and to the left there is no line; below and to the right only where the left has no room.
        if cross - x.start > CHARACTER * len(words) + 12:
            parts.append(text(cross - 9, height - 9, words, class_="strong", anchor="end"))
        else:
            parts.append(text(cross + 9, height + 19, words, class_="strong"))
    return join(*parts)


def _line_keys(x: Scale) -> Markup:
    return join(
        line(x.start + 10, _TOP + 12, x.start + 30, _TOP + 12, "curve line-llm"),
        text(x.start + 36, _TOP + 16, "LLM alone", class_="key"),
        line(x.start + 10, _TOP + 29, x.start + 30, _TOP + 29, "curve line-offramp"),
        text(x.start + 36, _TOP + 33, "with offramp, one device", class_="key"),
    )


def _short(number: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"
