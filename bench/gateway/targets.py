"""The promises of the gateway beside the figures of the same run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.gateway import answers
from bench.gateway.fates import KEPT
from bench.gateway.soak import Soaked
from bench.gateway.stats import Spread, spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.gateway.measure import Measured, Standing

OURS = "offramp, recording on"
ROUTERS = ("vllm-router", "sglang-router")
MEMORY_MB = 100
FLAT_MB = 10
"""How much memory may grow between warm and the end of the soak, and still be called flat."""

_TIMES = (
    ("2k", "LiteLLM proxy", 100.0),
    ("2k", "TensorZero", 4.0),
    ("32k", "LiteLLM proxy", 60.0),
    ("32k", "TensorZero", 4.0),
)


def _gateway_us(one: Measured) -> float:
    return one.gateway_us


def _total_us(one: Measured) -> float:
    return one.total_us


_KINDS = (("gateway process", _gateway_us), ("with the recorder", _total_us))
"""The request path alone, and all that a call costs."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One promise.

    Attributes:
        promise: What was promised.
        found: What was measured.
        passed: Whether it holds; None where it was not measured.
    """

    promise: str
    found: str
    passed: bool | None

    @property
    def word(self) -> str:
        """PASS, FAIL or not measured."""
        return "not measured" if self.passed is None else "PASS" if self.passed else "FAIL"


def judge(standings: dict[str, Standing], soaked: Soaked | str | None) -> list[Verdict]:
    """Return every promise with its verdict."""
    verdicts: list[Verdict] = []
    for size, peer, wanted in _TIMES:
        verdicts += _times_less(standings, size, peer, wanted)
    for size in ("2k", "32k"):
        for peer in ROUTERS:
            verdicts += _times_less(standings, size, peer, 1.0)
    for part in ("burst", "paced"):
        for kind, ours in _KINDS:
            found = spread(ours(one) / answers.EVENTS for one in _each(standings, OURS, part) if one)
            verdicts.append(_at_most(f"CPU per streamed event, {part} ({kind})", found, 30.0, "us"))
    for share, limit in (("p50", 700.0), ("p99", 2_000.0)):
        for part in ("light-2k", "light-32k"):
            found = added(standings, OURS, part, lambda one, share=share: one.latency_us[share])  # type: ignore[misc]  # binds
            verdicts.append(
                _at_most(f"added {share} at 100 requests a second, {part[6:]}", found, limit, "us")
            )
    return [*verdicts, *_memory(soaked), _counted(standings, soaked), _fields(standings)]


def times(standings: dict[str, Standing], peer: str, part: str, ours: Callable[[Measured], float]) -> Spread:
    """Return how many times less CPU offramp used than a peer, each ratio taken inside one round."""
    pairs = zip(_each(standings, peer, part), _each(standings, OURS, part), strict=False)
    return spread(
        theirs.total_us / ours(own) for theirs, own in pairs if theirs and own and theirs.calls and ours(own)
    )


def added(
    standings: dict[str, Standing], name: str, part: str, figure: Callable[[Measured], float]
) -> Spread:
    """Return what a gateway added to the direct way, each difference taken inside one round."""
    pairs = zip(_each(standings, name, part), _each(standings, "direct", part), strict=False)
    return spread(figure(one) - figure(direct) for one, direct in pairs if one and direct)


def _each(standings: dict[str, Standing], name: str, part: str) -> list[Measured | None]:
    return standings[name].each(part) if name in standings else []


def _times_less(standings: dict[str, Standing], size: str, peer: str, wanted: float) -> list[Verdict]:
    promise = f"CPU per request, {size.upper()[:-1]} KB: "
    promise += f"at least {wanted:.0f} times below {peer}" if wanted > 1 else f"below {peer}"
    found = [(kind, times(standings, peer, size, ours)) for kind, ours in _KINDS]
    return [
        Verdict(
            f"{promise} ({kind})",
            _say(one, 1 if wanted > 1 else 2, "x"),
            # "Below" is more than once; "4 times below" is four times or more.
            _known(one, one.median >= wanted if wanted > 1 else one.median > 1),
        )
        for kind, one in found
    ]


def _at_most(promise: str, found: Spread, limit: float, unit: str) -> Verdict:
    text = _say(found, 1 if limit < 100 else 0, f" {unit}")
    return Verdict(f"{promise}: at most {limit:,.0f} {unit}", text, _known(found, found.median <= limit))


def _memory(soaked: Soaked | str | None) -> list[Verdict]:
    if soaked is None or isinstance(soaked, str):
        return [Verdict(f"memory flat, under {MEMORY_MB} MB", soaked or "-", None)]
    verdicts = []
    for name in ("gateway", "recorder"):
        start, end = (getattr(one, name).total / 1e6 for one in (soaked.start, soaked.end))
        passed = end < MEMORY_MB and end - start <= FLAT_MB
        promise = (
            f"memory of the {name}, {soaked.calls:,} calls: under {MEMORY_MB} MB, growth at most {FLAT_MB}"
        )
        verdicts.append(Verdict(promise, f"{start:.0f} -> {end:.0f} MB", passed))
    return verdicts


def _counted(standings: dict[str, Standing], soaked: Soaked | str | None) -> Verdict:
    counts = standings[OURS].counts if OURS in standings else []
    if isinstance(soaked, Soaked):
        counts = [*counts, soaked.count]
    known = [one for one in counts if one is not None]
    asked, stored, dropped = (
        sum(getattr(one, name) for one in known) for name in ("asked", "stored", "dropped")
    )
    found = f"{stored:,} stored, {dropped:,} dropped of {asked:,}" if known else "-"
    passed = all(one.complete for one in known) if known else None
    return Verdict("every call is in the store, or counted as dropped where it fell behind", found, passed)


def _fields(standings: dict[str, Standing]) -> Verdict:
    found = standings[OURS].fidelity if OURS in standings else {}
    gone = [name for name, verdict in found.items() if verdict not in {KEPT, "none"}]
    text = ", ".join(f"{name}: {found[name]}" for name in gone[:4]) or "all kept"
    return Verdict("no field lost or changed", text if found else "-", not gone if found else None)


def _say(found: Spread, digits: int, unit: str) -> str:
    return "-" if math.isnan(found.median) else found.text(digits) + unit


def _known(found: Spread, passed: bool) -> bool | None:  # noqa: FBT001 - a value that is passed on
    return None if math.isnan(found.median) else passed
