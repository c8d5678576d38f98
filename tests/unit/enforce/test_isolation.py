"""The probe on this machine's own processor: cores of one's own are told from none at all."""

from __future__ import annotations

import importlib.util
import json
import os
from typing import TYPE_CHECKING

import pytest

from offramp.core.errors import BadInput, EngineError
from offramp.enforce import load
from offramp.enforce.isolation import Plan, probe
from offramp.enforce.local import Cores, Plain
from offramp.enforce.measured import Interference, Measurement, add, capabilities_of, read
from offramp.enforce.mps import Mps
from offramp.enforce.options import Options
from offramp.enforce.port import Capabilities, Confinement, Level

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.core.placement import PlacedEngine, Placement
    from offramp.enforce.port import LocalBackend

CORES = tuple(sorted(os.sched_getaffinity(0)))[:2]
GENEROUS = 1.25
"""How much more it has to cost not to be kept apart, on a machine that has other things to do."""
TRIES = 4


def compute_slowdown(backend: LocalBackend) -> Interference:
    plan = Plan("cpu", neighbours=4, seconds=0.15, repeats=5, victim="compute", kinds=("compute",))
    return probe(backend, plan, Options()).rows[0]


@pytest.mark.skipif(len(CORES) < 2, reason="needs two processor cores to keep apart")
def test_cores_of_ones_own_are_told_from_none() -> None:
    # Everything on one core is what "nothing keeps them apart" means where there may be many cores.
    for _ in range(TRIES):
        apart, together = compute_slowdown(Cores(CORES)), compute_slowdown(OneCore())
        if together.slowdown > GENEROUS * apart.slowdown and together.level is Level.NONE:
            break
    assert together.slowdown > GENEROUS * apart.slowdown
    assert together.level is Level.NONE
    # Four neighbours and a victim on one core: nobody gets what it had alone.
    assert together.share < 0.6


class OneCore(Plain):
    """Victim and neighbours on one and the same core."""

    def confine(self, placement: Placement, engine: PlacedEngine, options: Options) -> Confinement:
        del placement, engine, options
        return Confinement(prefix=("taskset", "--cpu-list", str(CORES[0])))


ROWS = (
    Interference("compute", slowdown=1.4, tail=2.0, share=0.5, spread=1.1),
    Interference("bandwidth", slowdown=3.0, tail=4.0, share=0.5, spread=1.1),
    Interference("allocator", slowdown=1.05, tail=1.0, share=1.0, spread=1.1, held=1 << 30),
)


def test_a_backend_is_lowered_to_what_was_measured_on_that_device(tmp_path: Path) -> None:
    file = tmp_path / "enforce/isolation.json"
    assert capabilities_of("mig", "h100", file).compute is Level.HARD
    add(file, Measurement("mig", "h100", ROWS, 1.0))
    lowered = capabilities_of("mig", "h100", file)
    assert (lowered.memory, lowered.compute, lowered.bandwidth) == (Level.HARD, Level.SOFT, Level.NONE)
    assert lowered.faults is Level.HARD
    assert capabilities_of("mig", "a100-80gb", file).compute is Level.HARD
    assert json.loads(file.read_text())["measurements"][0]["levels"]["bandwidth"] == "none"


def test_a_measurement_never_raises_a_claim(tmp_path: Path) -> None:
    quiet = tuple(Interference(row.neighbour, 1.0, 1.0, 1.0, 1.0) for row in ROWS)
    file = tmp_path / "isolation.json"
    add(file, Measurement("ray", "h100", quiet, 1.0))
    assert capabilities_of("ray", "h100", file) == capabilities_of("ray", "h100")


def test_a_machine_that_was_busy_lowers_nothing(tmp_path: Path) -> None:
    file = tmp_path / "isolation.json"
    for busy in (
        Interference("compute", slowdown=9.0, tail=9.0, share=0.5, spread=2.0),
        Interference("compute", slowdown=9.0, tail=9.0, share=0.5, spread=1.0, foreign=0.5),
    ):
        add(file, Measurement("mig", "h100", (busy,), 1.0))
        assert capabilities_of("mig", "h100", file).compute is Level.HARD


def test_the_latest_measurement_of_a_backend_and_device_stands(tmp_path: Path) -> None:
    file = tmp_path / "isolation.json"
    add(file, Measurement("mig", "h100", ROWS, 1.0))
    add(file, Measurement("mps", "h100", ROWS, 1.0))
    again = Measurement("mig", "h100", ROWS[:1], 2.0)
    add(file, again)
    assert read(file) == (Measurement("mps", "h100", ROWS, 1.0), again)
    file.write_text("[]")
    with pytest.raises(BadInput, match="holds no measurements"):
        read(file)


@pytest.mark.parametrize(
    ("slowdown", "level"), [(1.0, Level.HARD), (1.15, Level.HARD), (1.3, Level.SOFT), (1.7, Level.NONE)]
)
def test_levels_of_a_slowdown(slowdown: float, level: Level) -> None:
    assert Interference("compute", slowdown, 1.0, 1.0, 1.0).level is level


def test_levels_are_lowered_one_by_one() -> None:
    claimed = Capabilities(Level.HARD, Level.SOFT, Level.NONE, Level.HARD, Level.NONE)
    lowered = claimed.at_most({"compute": Level.NONE, "memory": Level.HARD, "bandwidth": Level.HARD})
    assert lowered == Capabilities(Level.HARD, Level.NONE, Level.NONE, Level.HARD, Level.NONE)


@pytest.mark.parametrize("kind", load.KINDS)
def test_every_load_works_and_says_what_it_did(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    step = load.cpu_step(kind, limit=1 << 20)
    assert step() == ((1 << 20) if kind == "allocator" else 0)
    turns = iter([False, False, False, True])
    done = load.work(step, told=lambda: next(turns))
    assert done["steps"] == 3
    assert 0 < done["p50_s"] <= done["p99_s"] <= done["seconds"]
    reading, writing = os.pipe()
    # Both at once, as for a load that did not get a processor in between.
    os.write(writing, b"go\nstop\n")
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as lines:
        assert load.main([kind, "--limit", str(1 << 20)], lines) == 0
    ready, said = capsys.readouterr().out.splitlines()
    assert ready == "ready"
    assert set(json.loads(said)) == {"steps", "seconds", "p50_s", "p99_s", "held", "cpu_s"}


class Broken(Plain):
    """A backend whose prefix ends at once."""

    def confine(self, placement: Placement, engine: PlacedEngine, options: Options) -> Confinement:
        del placement, engine, options
        return Confinement(prefix=("false",))


def test_a_load_that_does_not_start_is_said() -> None:
    with pytest.raises(EngineError, match="did not get ready"):
        probe(Broken(), Plan("cpu"), Options())


@pytest.mark.gpu
def test_neighbours_on_a_gpu_are_measured(tmp_path: Path) -> None:
    torch = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
    if torch is None or not torch.cuda.is_available():
        pytest.skip("no GPU that torch can use")
    found = probe(Plain(), Plan("gpu", cuda=True, seconds=0.5, repeats=3), Options())
    assert {row.neighbour for row in found.rows} == {"compute", "bandwidth", "allocator"}
    # Time slices keep nobody apart: a neighbour that computes all the time costs the victim.
    assert next(row for row in found.rows if row.neighbour == "compute").slowdown > GENEROUS
    add(tmp_path / "isolation.json", found)
    assert capabilities_of("plain", "gpu", tmp_path / "isolation.json").compute is Level.NONE


def test_mps_has_a_daemon_around_its_probe() -> None:
    placement = Plan("h100", cuda=True, share=0.3).placement()
    assert [command.argv[0] for command in Mps().before(placement, Options())] == [
        "mkdir",
        "nvidia-cuda-mps-control",
    ]
    part = dict(Mps().confine(placement, placement.engines[0], Options()).environment)
    assert part["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "30"
