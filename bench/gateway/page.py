"""The summary for docs/benchmarks.md, in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.gateway.measure import per_event
from bench.gateway.stats import Spread, spread
from bench.gateway.targets import added

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bench.gateway.measure import Measured, Standing
    from bench.gateway.targets import Verdict

_COLUMNS = (
    "gateway",
    "CPU us, 2 KB",
    "CPU us, 32 KB",
    "us/event, burst",
    "us/event, paced",
    "+p50 / +p99 us, 2 KB",
    "+p50 / +p99 us, 32 KB",
    "MB warm",
    "fields kept",
)


def page(machine: dict[str, str], standings: Sequence[Standing], verdicts: Iterable[Verdict]) -> str:
    """Return where it ran, one line a gateway, and the promises."""
    where = "; ".join(f"{name}: {value.partition(' at /')[0]}" for name, value in machine.items())
    lines = [f"{where}; rounds: {max((len(one.rounds) for one in standings), default=0)}.", ""]
    lines += _markdown(_COLUMNS, (_line(standings, one) for one in standings))
    lines += ["", "`a + b`: first process + the others (offramp's recorder). Medians of the rounds.", ""]
    lines += _markdown(
        ("promise", "found", "verdict"), ((one.promise, one.found, one.word) for one in verdicts)
    )
    return "\n".join(lines) + "\n"


def _line(standings: Sequence[Standing], standing: Standing) -> list[str]:
    by_name = {one.name: one for one in standings}
    name = f"{standing.name} {standing.version}".strip()
    if standing.problem and not standing.rounds:
        return [name, standing.problem[:60].replace("|", "/"), *[""] * (len(_COLUMNS) - 2)]
    latencies = [_latencies(by_name, standing, part) for part in ("light-2k", "light-32k")]
    events = [_events(standing, part) for part in ("burst", "paced")]
    rss = _text(spread(one / 1e6 for one in standing.rss))
    kept = sum(verdict == "kept" for verdict in standing.fidelity.values())
    # One entry tells which keys were added, and is no field.
    fields = f"{kept} of {len(standing.fidelity) - 1}" if standing.fidelity else "-"
    return [name, _cpu(standing, "2k"), _cpu(standing, "32k"), *events, *latencies, rss, fields]


def _cpu(standing: Standing, part: str) -> str:
    if standing.name == "direct":
        return "0"
    first = _text(_over(standing, part, lambda one: one.gateway_us))
    others = _over(standing, part, lambda one: one.others_us)
    return f"{first} + {_text(others)}" if others.median > 1 else first


def _events(standing: Standing, part: str) -> str:
    return "0" if standing.name == "direct" else _text(_over(standing, part, _per_event), 1)


def _per_event(one: Measured) -> float:
    return per_event(one) or 0.0


def _latencies(standings: dict[str, Standing], standing: Standing, part: str) -> str:
    def figures(share: str) -> Spread:
        def of(one: Measured) -> float:
            return one.latency_us[share]

        if standing.name == "direct":
            return _over(standing, part, of)
        return added(standings, standing.name, part, of)

    text = " / ".join(_text(figures(share)) for share in ("p50", "p99"))
    return f"({text} in all)" if standing.name == "direct" else text


def _over(standing: Standing, part: str, figure: Callable[[Measured], float]) -> Spread:
    return spread(figure(one) for one in standing.each(part) if one)


def _text(found: Spread, digits: int = 0) -> str:
    return Spread(found.median, found.median, found.median).text(digits)


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = "|".join(["---", *["--:"] * (len(columns) - 1)])
    return [f"| {' | '.join(columns)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]
