"""A real vLLM on this processor under `offramp enforce`: skipped unless `--vllm PATH` names one."""

from __future__ import annotations

import importlib
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from tests.unit.enforce.hosts import Host, free_ports, until

from offramp.core.placement import Adapter, EngineMemory, PlacedDevice, PlacedEngine, Placement, Role, Slice
from offramp.enforce import Options
from offramp.enforce.host import apply, stop
from offramp.enforce.keeper import Pace
from offramp.enforce.state import State, Wanted
from offramp.enforce.supervisor import Supervisor, look

if TYPE_CHECKING:
    from collections.abc import Iterator

NANO = Path(__file__).parents[2] / "src/offramp/assets/nano"
PACE = Pace(check_s=0.5, start_s=300.0, attempts=1)


@pytest.fixture
def vllm(pytestconfig: pytest.Config) -> str:
    program: str = pytestconfig.getoption("--vllm")
    if not program:
        pytest.skip("no vLLM named with --vllm")
    return program


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.clean()


def adapter(folder: Path) -> str:
    """Write an untrained adapter of the bundled base."""
    # Where the test is skipped, nothing heavy is imported.
    peft, transformers = importlib.import_module("peft"), importlib.import_module("transformers")
    config = peft.LoraConfig(r=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    peft.get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(NANO), config).save_pretrained(
        folder
    )
    return str(folder)


def wanted(vllm: str, engine: PlacedEngine, port: int) -> Wanted:
    # vLLM brings its own libraries: this project's path must not stand before them.
    program = ("env", "PYTHONPATH=", vllm, "serve")
    options = Options(program=program, extra=("--enforce-eager",), ports=((engine.name, port),))
    return Wanted(Placement((PlacedDevice("cpu-laptop"),), (engine,)), "cores", options)


async def answered(state: State, port: int, model: str) -> int:
    body = {"model": model, "prompt": [105, 106, 107], "max_tokens": 3, "ignore_eos": True}
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}/v1/completions"
        async with session.post(url, json=body) as response:
            assert response.status == 200, (await response.text(), state.log("nano.0").read_text()[-2000:])
            count: int = (await response.json())["usage"]["completion_tokens"]
            return count


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's and transformers' own
async def test_adapters_change_while_it_runs_and_a_killed_parent_leaves_nothing(
    vllm: str, host: Host
) -> None:
    one, two = (Adapter(name, 8, adapter(host.fakes / name)) for name in ("one", "two"))
    memory = EngineMemory(weights=8 << 20, adapters=1 << 20, fixed=1 << 28, kv=64 << 20)
    nano = PlacedEngine(
        "nano.0", str(NANO), Role.SMALL, (Slice(0, 0.5),), memory, 4, 512, adapters=(one,), loaded=1
    )
    port, state = next(free_ports()), host.state
    first = await apply(state, wanted(vllm, nano, port), PACE)
    assert first["nano.0"].state == "healthy", first["nano.0"].reason
    assert await answered(state, port, "one") == 3
    second = await apply(state, wanted(vllm, replace(nano, adapters=(two,)), port), PACE)
    assert second["nano.0"].pid == first["nano.0"].pid
    assert await answered(state, port, "two") == 3
    assert (await look(state))["nano.0"].processes >= 2
    supervisor = Supervisor(state, replace(PACE, attempts=0))
    await supervisor.apply(wanted(vllm, replace(nano, adapters=(two,)), port))
    before = {one.pid for one in host.alive()["nano.0"]}
    os.kill(first["nano.0"].pid, signal.SIGKILL)
    await until(lambda: state.records()["nano.0"].restarts == 1, within_s=60.0)
    await until(lambda: state.records()["nano.0"].state == "healthy", within_s=300.0)
    assert before.isdisjoint(one.pid for one in host.alive()["nano.0"])
    await supervisor.leave()
    await stop(state, PACE)
    assert host.alive() == {}
