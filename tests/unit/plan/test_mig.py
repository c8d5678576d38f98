from __future__ import annotations

import itertools

import pytest

from offramp.plan.mig import COMPUTE, MEMORY, PROFILES, placed


def test_an_80_gb_device_has_as_many_cuts_as_nvidia_allows() -> None:
    """78 multisets, the empty one and the whole device among them."""
    names = [profile.name for profile in PROFILES["h100"]]
    found = {
        combination
        for count in range(1, COMPUTE + 1)
        for combination in itertools.combinations_with_replacement(sorted(names), count)
        if placed("h100", combination) is not None
    }
    assert len(found) == 76


def test_what_is_placed_is_within_the_slices() -> None:
    profiles = {profile.name: profile for profile in PROFILES["h100"]}
    found = placed("h100", ("1g.10gb", "3g.40gb", "2g.20gb"))
    assert found is not None
    assert sum(profiles[name].memory for name in found) <= MEMORY


@pytest.mark.parametrize(
    "names", [("4g.40gb", "4g.40gb"), ("1g.10gb",) * 8, ("3g.40gb", "3g.40gb", "2g.20gb")]
)
def test_what_overlaps_is_not_placed(names: tuple[str, ...]) -> None:
    assert placed("h100", names) is None
