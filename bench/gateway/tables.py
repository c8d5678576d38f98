"""The tables as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.gateway.measure import LIGHT, SATURATED, STREAMED, per_event
from bench.gateway.stats import spread
from bench.gateway.targets import OURS, added

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bench.gateway.measure import Measured, Standing
    from bench.gateway.soak import Soaked
    from bench.gateway.targets import Verdict

_SHORT = {
    "offramp, recording off": "offramp off",
    "offramp, recording on": "offramp on",
    "LiteLLM proxy": "LiteLLM",
    "vllm-router": "vllm-r.",
    "sglang-router": "sglang-r.",
}
_MB = 1e6
_NOISY_US = 1_000.0
"""Alone on its machine, the direct way answers 99 of 100 calls far below this."""


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return one aligned table; the first column is on the left, the others on the right."""
    cells = [list(columns), *(list(row) for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(columns))]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join(
        ["", title, lines[0].rstrip(), "-" * len(lines[0]), *(line.rstrip() for line in lines[1:])]
    )


def header(machine: dict[str, str], standings: Iterable[Standing]) -> str:
    """Return machine and peers."""
    lines = [f"{name:>22}: {value}" for name, value in machine.items()]
    peers = ", ".join(f"{one.name} {one.version}" for one in standings if one.version)
    return "\n".join([*lines, f"{'peers':>22}: {peers}"])


def saturation(standings: Sequence[Standing]) -> str:
    """Return CPU of requests under full load."""
    columns = [
        "gateway",
        *(
            f"{what} {size}"
            for size in SATURATED
            for what in ("CPU us", "of it others", "req/s/core", "req/s seen")
        ),
    ]
    rows = [
        [one.name, *(cell for size in SATURATED for cell in _cpu(one, size)), _bad(one, SATURATED)]
        for one in standings
    ]
    title = "CPU per request, closed loop of 32 connections: median (min-max); others = recorder, workers"
    return table(title, [*columns, "bad"], rows)


def _cpu(standing: Standing, part: str) -> list[str]:
    each = standing.each(part)
    total = spread(one.total_us for one in each if one)
    if standing.name == "direct":
        return ["0", "0", "-", _over(each, lambda one: one.rps)]
    others = _over(each, lambda one: one.others_us)
    per_core = spread(1e6 / one.total_us for one in each if one and one.total_us)
    return [total.text(), others, per_core.text(), _over(each, lambda one: one.rps)]


def streams(standings: Sequence[Standing]) -> str:
    """Return CPU and first byte of streams under full load."""
    columns = ["gateway"]
    for part in STREAMED:
        columns += [f"{part} us/event", "of it others", "TTFB p50 us", "stream p50 ms"]
    rows = []
    for standing in standings:
        cells = [standing.name]
        for part in STREAMED:
            each = standing.each(part)
            events = "0" if standing.name == "direct" else spread(per_event(one) for one in each).text(1)
            cells += [
                events,
                _over(each, lambda one: one.others_us / 67, 1),
                _over(each, lambda one: one.first_byte_us["p50"]),
                _over(each, lambda one: one.latency_us["p50"] / 1e3),
            ]
        rows.append([*cells, _bad(standing, STREAMED)])
    title = (
        "Streams of 67 events of about 270 B: burst, 32 at once; paced, 100 events a second each, 64 at once"
    )
    return table(title, [*columns, "bad"], rows)


def light(standings: Sequence[Standing]) -> str:
    """Return added latency at a light load."""
    columns = [
        "gateway",
        "2k +p50",
        "2k +p99",
        "32k +p50",
        "32k +p99",
        "stream TTFB +p50",
        "+p99",
        "CPU us 2k",
        "bad",
    ]
    by_name = {one.name: one for one in standings}
    rows = []
    for one in standings:
        cells = [one.name]
        for part in LIGHT:
            cells += [_latency(by_name, one, part, share) for share in ("p50", "p99")]
        rows.append([*cells, _over(one.each("light-2k"), lambda part: part.total_us), _bad(one, LIGHT)])
    title = (
        "Light load, open loop, latency from the time a request was due, added to the direct way, us\n"
        "(100 requests or 25 streams a second; LiteLLM 20 and 5; the row `direct` is the whole latency)"
    )
    return table(title, columns, rows)


def _latency(standings: dict[str, Standing], standing: Standing, part: str, share: str) -> str:
    def figure(one: Measured) -> float:
        return (one.first_byte_us if part == "light-stream" else one.latency_us)[share]

    if standing.name == "direct":
        return _over(standing.each(part), figure)
    return added(standings, standing.name, part, figure).text()


def starts(standings: Sequence[Standing]) -> str:
    """Return what each takes to start and to hold."""
    rows = [
        [
            one.name,
            one.version,
            spread(one.boot_s).text(1),
            spread(size / _MB for size in one.rss).text(),
            one.problem[:150],
        ]
        for one in standings
    ]
    return table("Start and memory", ["gateway", "version", "first answer s", "RSS warm MB", "problem"], rows)


def memory(soaked: Soaked | str | None) -> str:
    """Return the memory before and after many calls."""
    if soaked is None or isinstance(soaked, str):
        return f"\nMemory after many calls: {soaked or 'not measured'}"
    rows = []
    for name in ("gateway", "recorder"):
        cells = [name]
        for sizes in (soaked.start, soaked.peak, soaked.end):
            one = getattr(sizes, name)
            cells.append(f"{one.total / _MB:.0f} ({one.shared / _MB:.0f})")
        rows.append(cells)
    count = soaked.count
    stored = "unknown" if count is None else f"{count.stored:,} of {count.asked:,}, {count.dropped:,} dropped"
    title = (
        f"Memory of {OURS} in MB resident (of it shared memory): {soaked.calls:,} calls of 2 KB\n"
        f"at {soaked.rps:,.0f} a second, {soaked.bad} bad; in the store: {stored}; "
        f"idle at the end: {'yes' if soaked.settled else 'NO'}"
    )
    return table(title, ["process", "warm", "largest", "at the end, idle"], rows)


def fidelity(standings: Sequence[Standing]) -> str:
    """Return what became of each field."""
    shown = [one for one in standings if one.fidelity]
    if not shown:
        return "\nFidelity: not measured"
    names = [name for name in shown[0].fidelity if name != _ADDED]
    rows = [[name, *(one.fidelity.get(name, "-") for one in shown)] for name in names]
    kept = [f"{sum(one.fidelity[name] == 'kept' for name in names)} of {len(names)}" for one in shown]
    keys = [f"  {one.name} adds: {one.fidelity[_ADDED]}" for one in shown if one.fidelity[_ADDED] != "none"]
    title = (
        "Fidelity: kept, moved (elsewhere in the body or under another name), CHANGED, LOST, or the refusal"
    )
    text = table(
        title, ["field", *(_SHORT.get(one.name, one.name) for one in shown)], [*rows, ["kept", *kept]]
    )
    return "\n".join([text, *keys])


_ADDED = "request: keys added"


def promises(verdicts: Iterable[Verdict]) -> str:
    """Return the promises and whether they hold."""
    rows = [[one.promise, one.found, one.word] for one in verdicts]
    return table(
        "Promises (ratios and differences are taken inside a round)", ["promise", "found", "verdict"], rows
    )


def faults(standings: Iterable[Standing]) -> str:
    """Return the first bad answers of each, trees that did not come to rest, calls that were not stored."""
    lines = [f"  {one.name}, {fault}" for one in standings for fault in _faults(one)]
    return "\n".join(["", "What went wrong", *(lines or ["  nothing"])])


def _faults(standing: Standing) -> Iterator[str]:
    for number, parts in enumerate(standing.rounds, start=1):
        for name, part in parts.items():
            where = f"round {number}, {name}"
            if part.bad:
                yield f"{where}: {part.bad} bad; {part.examples[:1]}"
            if not part.settled:
                yield f"{where}: still busy when its CPU was read"
            if standing.name == "direct" and name in LIGHT and part.latency_us["p99"] > _NOISY_US:
                p99 = f"{part.latency_us['p99']:,.0f} us"
                yield f"{where}: its own p99 was {p99}: neighbours; the p99s of this round say nothing"
            if part.dropped:
                yield f"{where}: it fell behind and dropped {part.dropped} calls"
    for number, count in enumerate(standing.counts, start=1):
        if count is not None and not count.complete:
            lost = f"{count.stored:,} in its store and {count.dropped:,} dropped, it says"
            yield f"round {number}: of {count.asked:,} calls {lost}"


def _over(each: Iterable[Measured | None], figure: Callable[[Measured], float], digits: int = 0) -> str:
    return spread(figure(one) for one in each if one).text(digits)


def _bad(standing: Standing, parts: Iterable[str]) -> str:
    return str(sum(one.bad for part in parts for one in standing.each(part) if one))
