"""What the figures should reach, and whether they did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """One figure to reach.

    Attributes:
        name: What it measures.
        least: Smallest value that meets it, None where there is none.
        most: Largest value that meets it, None where there is none.
    """

    name: str
    least: float | None = None
    most: float | None = None

    def met(self, value: float) -> bool:
        """Whether a value reaches the target."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    @property
    def asked(self) -> str:
        """The target in words."""
        return f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"


SITES = Target("ARI against call sites, all calls as one stream", least=0.95)
ACTIONS = Target("ARI inside one prompt where the action tells, the worst", least=0.8)
STABILITY = Target("stability, the worst of all runs", least=0.95)
SECONDS = Target("CPU seconds for 100,000 calls", most=180)
MEMORY = Target("peak MB for 100,000 calls", most=2_000)
ASSIGNMENT = Target("assignment of known call sites, p99 in CPU microseconds", most=300)


def table(found: dict[Target, float]) -> str:
    """Lay out the targets that were measured, each with its figure and whether it is met."""
    lines = [f"{'target':58} {'asked':>15} {'found':>10}"]
    for target, value in found.items():
        word = "met" if target.met(value) else "MISSED"
        lines.append(f"{target.name:58} {target.asked:>15} {value:10.4g}  {word}")
    return "\n".join(lines)
