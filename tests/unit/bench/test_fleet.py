from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
from bench.fleet import reserve

from offramp.core.standing import CallClass
from offramp.simulate.policy import first_come

FOLDER = Path(reserve.__file__).parent


def test_a_flood_is_a_flood_of_small_calls() -> None:
    """Three times the capacity for a minute, and the LLM's calls beside it."""
    *small, llm = reserve.flood((10.0, 0.5), seed=1)
    at = np.concatenate([stream.arrivals.at for stream in small])
    assert 1500 < int(((at >= 100.0) & (at < 160.0)).sum()) < 2700
    assert llm.kind is CallClass.LLM
    assert {stream.kind for stream in small} == {CallClass.INTERACTIVE}


def test_refused_and_late_calls_count_against_a_policy() -> None:
    """A policy is judged by all that were asked, its percentiles by those answered."""
    loads = reserve.overload((11.0, 0.6), seed=1)
    patient = reserve.row([reserve.run(loads, first_come())])
    impatient = reserve.row([reserve.run(loads, reserve.Impatient())])
    assert patient.refused == 0.0
    assert 0.0 < impatient.refused < 0.5
    assert len(impatient.small) == round(len(patient.small) * (1.0 - impatient.refused))
    assert patient.lost == impatient.lost == 0


def test_every_table_of_the_fleet_can_be_made() -> None:
    """The programs of the folder import what the simulator has."""
    for name in sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_")):
        assert importlib.import_module(f"bench.fleet.{name}").__doc__
    assert importlib.import_module("bench.fleet.__main__").main
