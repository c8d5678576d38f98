"""A plan as one picture: devices as bars, who sits where, what is reserved, what is left.

Self-contained SVG: no script, no font, nothing that is fetched.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from offramp.core.placement import Role
from offramp.plan.words import adapters, devices, percent, size, usd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from offramp.core.placement import PlacedEngine, Placement
    from offramp.plan.devices import Device
    from offramp.plan.fleet_plan import Filling, FleetPlan

WIDTH = 980
_LEFT, _RIGHT, _ROW, _TOP = 180, 170, 62, 96
_BAR = WIDTH - _LEFT - _RIGHT
_COLOURS = ("#4477aa", "#228833", "#b8860b", "#aa3377", "#55aacc", "#cc6644", "#777733", "#9966bb")
"""Told apart by people who see few colours too (after P. Tol's bright scheme), darkened for white text."""
_LLM_COLOUR = "#333a44"
_OPACITY = {"weights": 1.0, "adapters": 0.85, "fixed": 0.7, "kv": 0.45}
_CHARACTER = 6.2
_HATCH = """<defs><pattern id="free" width="6" height="6" patternUnits="userSpaceOnUse"
patternTransform="rotate(45)"><rect width="6" height="6" fill="#f4f4f2"/>
<line x1="0" y1="0" x2="0" y2="6" stroke="#dcdcd8" stroke-width="2"/></pattern></defs>"""


def draw(plan: FleetPlan, devices: Mapping[str, Device]) -> str:
    """Draw a plan.

    Args:
        plan: What to draw.
        devices: Kinds of devices by name: what a whole bar is.

    Returns:
        An SVG document.
    """
    placement = plan.placement
    colours = _colours(placement)
    rows = list(_rows(plan, devices, colours))
    legend = list(_legend(plan, colours, _TOP + _ROW * max(len(placement.devices), 1) + 24))
    height = _TOP + _ROW * max(len(placement.devices), 1) + 24 + 22 * (len(placement.engines) + 1) + 16
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"',
            f'height="{height}" font-family="system-ui, sans-serif" font-size="12">',
            "<title>Which engine runs on which device</title>",
            _HATCH,
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *_heading(plan),
            *rows,
            *legend,
            "</svg>",
            "",
        ]
    )


def _colours(placement: Placement) -> dict[str, str]:
    """Give each base a colour of its own, the LLM a dark one."""
    bases = list(dict.fromkeys(one.base for one in placement.engines if one.role is Role.SMALL))
    return {base: _COLOURS[number % len(_COLOURS)] for number, base in enumerate(bases)}


def _colour(engine: PlacedEngine, colours: Mapping[str, str]) -> str:
    return _LLM_COLOUR if engine.role is Role.LLM else colours[engine.base]


def _heading(plan: FleetPlan) -> Iterator[str]:
    money = f"{devices(len(plan.placement.devices))}, {usd(plan.devices_usd)} an hour"
    if plan.placement.reserve is not None:
        money += ", the LLM among them"
    elif plan.llm_only_usd:
        money += f" and {usd(plan.llm_usd)} for the LLM; all of it on the LLM: {usd(plan.llm_only_usd)}"
    yield _text(16, 26, money, size=16, weight=600)
    yield _text(16, 48, _cut(plan.binding, WIDTH - 32), colour="#555555")
    promise = (
        f"KV overflow on a device at most {plan.placement.overflow:.2g}; "
        f"in engines of their own, tasks would need {plan.oversubscription:.1f} times the KV cache"
    )
    yield _text(16, 66, promise, colour="#555555")
    yield _text(_LEFT, 88, "upper bar: memory · lower bar: share of compute", colour="#888888", size=11)


def _rows(plan: FleetPlan, devices: Mapping[str, Device], colours: Mapping[str, str]) -> Iterator[str]:
    for number, (device, filling) in enumerate(zip(plan.placement.devices, plan.devices, strict=True)):
        top = _TOP + _ROW * number
        yield _text(16, top + 14, device.kind, weight=600)
        cut = f" · {'+'.join(device.profiles)}" if device.profiles else ""
        yield _text(
            16, top + 30, _cut(f"{device.node} · gpu {device.index}{cut}", _LEFT - 24), colour="#777777"
        )
        engines = plan.placement.on(number)
        yield from _memory_bar(engines, devices[device.kind].memory, top, colours)
        yield from _share_bar(engines, number, top + 28, colours)
        yield from _figures(filling, devices[device.kind], top)


def _memory_bar(
    engines: tuple[PlacedEngine, ...], there: int, top: float, colours: Mapping[str, str]
) -> Iterator[str]:
    x = float(_LEFT)
    for engine in engines:
        begun = x
        for part, opacity in _OPACITY.items():
            amount = getattr(engine.memory, part)
            width = _BAR * amount / there
            label = f"{engine.name}: {part} {size(amount)}"
            yield _box(x, top, width, 24, _colour(engine, colours), opacity=opacity, title=label)
            x += width
        yield _frame(begun, top, x - begun, 24, dashed=engine.role is Role.LLM)
        yield from _label(begun, x - begun, top + 16, engine.name)
    yield from _free(x, top, 24, f"{size(there * (1 - (x - _LEFT) / _BAR))} free")


def _share_bar(
    engines: tuple[PlacedEngine, ...], device: int, top: float, colours: Mapping[str, str]
) -> Iterator[str]:
    x = float(_LEFT)
    for engine in engines:
        share = sum(part.share for part in engine.slices if part.device == device)
        width = _BAR * min(share, 1.0)
        reserve = ", reserve for the LLM" if engine.role is Role.LLM else ""
        label = f"{engine.name}: {percent(share)} of the compute{reserve}"
        yield _box(x, top, width, 14, _colour(engine, colours), opacity=0.85, title=label)
        yield _frame(x, top, width, 14, dashed=engine.role is Role.LLM)
        yield from _label(x, width, top + 11, f"{percent(share)}{' reserve' * (engine.role is Role.LLM)}")
        x += width
    yield from _free(x, top, 14, f"{percent(1 - (x - _LEFT) / _BAR)} free")


def _free(x: float, top: float, height: float, label: str) -> Iterator[str]:
    width = _LEFT + _BAR - x
    if width > 0.5:
        yield _box(x, top, width, height, "url(#free)", title=label)
        if width > _CHARACTER * len(label) + 8:
            yield _text(
                x + width / 2, top + height / 2 + 4, label, colour="#777777", size=11, anchor="middle"
            )


def _figures(filling: Filling, device: Device, top: float) -> Iterator[str]:
    x = _LEFT + _BAR + 10
    yield _text(x, top + 16, f"{percent(filling.memory)} of {size(device.memory)}", size=11)
    yield _text(
        x,
        top + 39,
        f"works {percent(filling.duty)} · {usd(device.price_per_hour)}/h",
        size=10,
        colour="#777777",
    )


def _legend(plan: FleetPlan, colours: Mapping[str, str], top: float) -> Iterator[str]:
    yield _text(16, top + 10, "Engines (darkest to lightest: weights, adapters, fixed, KV)", weight=600)
    for number, (engine, outlook) in enumerate(zip(plan.placement.engines, plan.engines, strict=True)):
        y = top + 22 * (number + 1)
        yield _box(16, y, 12, 12, _colour(engine, colours))
        what = "the LLM" if engine.role is Role.LLM else adapters(len(engine.adapters))
        said = (
            f"{engine.name}: {engine.base}, {what}, {engine.slots} requests at once; "
            f"{outlook.tightest!r} predicted at {percent(outlook.tightness)} of its objective"
        )
        yield _text(36, y + 10, _cut(said, WIDTH - 52))


def _label(x: float, width: float, y: float, text: str) -> Iterator[str]:
    """Write into a bar what there is room for."""
    if width > _CHARACTER * len(text) + 8:
        yield _text(x + 5, y, text, colour="#ffffff", size=11, outlined=True)


def _cut(text: str, width: float) -> str:
    most = int(width / _CHARACTER)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _box(
    x: float, y: float, width: float, height: float, fill: str, *, opacity: float = 1.0, title: str = ""
) -> str:
    told = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.0):.1f}" height="{height:.0f}" fill="{fill}" '
        f'fill-opacity="{opacity:g}">{told}</rect>'
    )


def _frame(x: float, y: float, width: float, height: float, *, dashed: bool) -> str:
    dash = ' stroke-dasharray="4 2" stroke="#dd2222"' if dashed else ' stroke="#ffffff"'
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.0f}" fill="none" '
        f'stroke-width="1.5"{dash}/>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    colour: str = "#222222",
    size: int = 12,
    weight: int = 400,
    anchor: str = "start",
    outlined: bool = False,
) -> str:
    # Labels lie on dark and on light parts of a bar.
    outline = ' paint-order="stroke" stroke="#222222" stroke-opacity="0.55" stroke-width="2.5"' * outlined
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}"{outline}>{escape(text)}</text>'
    )
