"""Engines in real processes: started in turn, kept up, changed as little as possible, ended for certain."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
import pytest
from tests.unit.enforce.hosts import PACE, Host, engine, until

from offramp.core.errors import BadInput, EngineError, NotFound, UserError
from offramp.core.placement import Placement
from offramp.enforce.control import Control, drained
from offramp.enforce.state import Record, with_ports
from offramp.enforce.supervisor import look, nothing

if TYPE_CHECKING:
    from pathlib import Path


async def test_engines_of_one_device_start_one_after_the_other(host: Host) -> None:
    async with host.applied(host.wanted(engine("a"), engine("b"), engine("c", device=1))) as (_, records):
        assert {name: record.state for name, record in records.items()} == dict.fromkeys("abc", "healthy")
        on_first = [line for line in host.journal("begin", "ready") if line[-1] in "ab"]
        assert on_first in (
            ["begin a", "ready a", "begin b", "ready b"],
            ["begin b", "ready b", "begin a", "ready a"],
        )


async def test_another_device_does_not_wait_for_a_slow_start(host: Host) -> None:
    gate = host.say("slow", "wait")
    supervisor = host.supervisor()
    applying = asyncio.create_task(
        supervisor.apply(host.wanted(engine("slow"), engine("next"), engine("other", device=1)))
    )
    await until(lambda: "ready other" in host.journal())
    assert "begin next" not in host.journal()
    gate.unlink()
    records = await applying
    assert {record.state for record in records.values()} == {"healthy"}
    await supervisor.leave()


async def test_what_stays_keeps_running_and_adapters_change_while_it_does(host: Host) -> None:
    first = host.wanted(engine("a", "x", "y"), engine("b"))
    async with host.applied(first) as (supervisor, before):
        second = host.wanted(engine("a", "y", "z"), engine("c", device=1))
        after = await supervisor.apply(second)
        assert after["a"].pid == before["a"].pid
        assert sorted(after) == ["a", "c"]
        assert set(host.alive()) == {"a", "c"}
        async with Control(f"http://127.0.0.1:{host.ports['a']}") as control:
            assert await control.models() == ("a", "y", "z")
    assert host.journal("unload", "load") == ["unload:x a", "load:z a"]
    assert host.journal("begin").count("begin a") == 1


async def test_a_changed_size_takes_a_restart_and_the_old_one_goes_first(host: Host) -> None:
    async with host.applied(host.wanted(engine("a"))) as (supervisor, before):
        bigger = replace(engine("a"), slots=64)
        after = await supervisor.apply(host.wanted(bigger))
        assert after["a"].pid != before["a"].pid
        assert after["a"].port == before["a"].port
    assert host.journal("begin", "end") == ["begin a", "end a", "begin a"]


async def test_an_adapter_that_is_refused_leaves_the_engine_running(host: Host) -> None:
    async with host.applied(host.wanted(engine("a", "x"))) as (supervisor, _):
        missing = replace(engine("a", "x", "missing"), loaded=1)
        after = await supervisor.apply(host.wanted(missing))
        assert after["a"].state == "healthy"
        assert "answered 400" in after["a"].reason
        assert (await look(host.state))["a"].missing == ("missing",)


async def test_a_crash_is_followed_by_a_start_and_nothing_is_left_of_it(host: Host) -> None:
    async with host.applied(host.wanted(engine("a", "x"))) as (supervisor, before):
        old = {one.pid for one in host.alive()["a"]}
        assert len(old) == 2
        os.kill(before["a"].pid, signal.SIGKILL)
        await until(lambda: host.journal("ready").count("ready a") == 2)
        await until(lambda: host.state.records()["a"].state == "healthy")
        assert old.isdisjoint(one.pid for one in host.alive()["a"])
        assert host.state.records()["a"].restarts == 1
        await supervisor.stop()
    assert host.alive() == {}


async def test_a_hang_is_ended_and_followed_by_a_start(host: Host) -> None:
    async with host.applied(host.wanted(engine("a"))):
        silent = host.say("a", "hang")
        await until(lambda: host.state.records()["a"].restarts == 1)
        assert host.state.records()["a"].reason == "It gave no sign of health 2 times in a row."
        silent.unlink()
        await until(lambda: host.state.records()["a"].state == "healthy")
    assert host.journal("begin") == ["begin a", "begin a"]


async def test_one_that_never_starts_is_given_up_after_pauses_that_grow(host: Host) -> None:
    host.say("a", "broken")
    async with host.applied(host.wanted(engine("a"), engine("b"))) as (_, records):
        assert records["a"].state == "failed"
        assert "ended while starting" in records["a"].reason
        assert records["b"].state == "healthy"
    assert host.journal("begin").count("begin a") == PACE.attempts
    assert [PACE.pause(failures) for failures in (1, 2, 3, 9)] == [0.05, 0.1, 0.2, 0.2]


async def test_one_that_is_too_slow_is_given_up(host: Host) -> None:
    host.say("a", "wait")
    pace = replace(PACE, start_s=0.1, attempts=1)
    async with host.applied(host.wanted(engine("a")), pace) as (_, records):
        assert records["a"].reason == "It was not ready within 0.1 s."
        assert host.alive() == {}


async def test_a_program_that_is_not_there_is_said(host: Host) -> None:
    wanted = host.wanted(engine("a"))
    nowhere = replace(wanted, options=replace(wanted.options, program=("no-such-program",)))
    async with host.applied(nowhere) as (_, records):
        assert "cannot be started" in records["a"].reason


async def test_a_port_that_somebody_has_is_said(host: Host) -> None:
    wanted = host.wanted(engine("a"))
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", host.ports["a"])
    async with server, host.applied(wanted) as (_, records):
        assert records["a"].reason == f"Another process listens on port {host.ports['a']}."


async def test_the_next_supervisor_goes_on_with_what_runs(host: Host) -> None:
    async with host.applied(host.wanted(engine("a"), engine("b"))) as (_, before):
        pass
    async with host.applied(host.wanted(engine("a"), engine("c"))) as (_, after):
        assert after["a"].pid == before["a"].pid
        assert set(host.alive()) == {"a", "c"}
        # What it did not start itself is watched all the same.
        os.kill(after["a"].pid, signal.SIGKILL)
        await until(lambda: host.journal("ready").count("ready a") == 2)


async def test_what_nobody_wrote_down_is_ended(host: Host) -> None:
    async with host.applied(host.wanted(engine("a"))) as (_, before):
        pass
    # As if the supervisor had been killed between starting an engine and writing it down.
    host.state.save({}, version="", prepared={"before": [], "after": []})
    async with host.applied(host.wanted(engine("a"))) as (_, after):
        assert after["a"].state == "healthy"
        assert after["a"].pid != before["a"].pid
    assert host.journal("end") == ["end a"]


async def test_workers_without_their_parent_are_ended(host: Host) -> None:
    async with host.applied(host.wanted(engine("a"))) as (_, before):
        pass
    orphan = next(one.pid for one in host.alive()["a"] if one.pid != before["a"].pid)
    os.kill(before["a"].pid, signal.SIGKILL)
    await until(lambda: [one.pid for one in host.alive().get("a", [])] == [orphan])
    async with host.applied(host.wanted(engine("a"))) as (_, after):
        assert orphan not in [one.pid for one in host.alive()["a"]]
        assert after["a"].state == "healthy"


async def test_requests_in_flight_are_finished_before_an_engine_ends(host: Host) -> None:
    wanted = host.wanted(engine("a"), extra=("--fake-step-s", "0.02"))
    async with host.applied(wanted) as (supervisor, _), aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{host.ports['a']}/v1/completions"
        async with session.post(url, json={"prompt": [1], "max_tokens": 20}) as response:
            stopping = asyncio.create_task(supervisor.stop())
            text = await response.text()
        await stopping
    assert text.count("data:") == 22
    assert text.rstrip().endswith("[DONE]")
    assert host.alive() == {}


async def test_an_engine_that_does_not_say_what_is_in_flight_is_not_waited_for() -> None:
    async with Control("http://127.0.0.1:9") as control:
        assert await control.in_flight() is None
        assert not await drained(control, within_s=5.0, check_s=0.01)
        assert not await control.healthy()
        with pytest.raises(EngineError, match="could not be asked"):
            await control.models()
        with pytest.raises(EngineError, match="could not be asked"):
            await control.sleep()
    with pytest.raises(BadInput, match="'tgi' is not known"):
        Control("http://127.0.0.1:9", engine="tgi")


async def test_engines_are_put_to_sleep_and_woken(host: Host) -> None:
    wanted = host.wanted(engine("a"))
    url = f"http://127.0.0.1:{host.ports['a']}"
    async with host.applied(wanted), Control(url) as control, aiohttp.ClientSession() as session:
        await control.sleep()
        assert await (await session.get(f"{url}/is_sleeping")).json() == {"is_sleeping": True}
        await control.wake()
        assert await (await session.get(f"{url}/is_sleeping")).json() == {"is_sleeping": False}


async def test_a_watcher_follows_what_is_wanted(host: Host) -> None:
    supervisor = host.supervisor(replace(PACE, attempts=0))
    host.state.want(host.wanted(engine("a")))
    watching = asyncio.create_task(supervisor.watch())
    await until(lambda: "ready a" in host.journal())
    wanted = with_ports(host.wanted(engine("a"), engine("b", device=1)), host.state.records())
    host.state.want(wanted)
    await until(lambda: host.state.reached() == wanted.version)
    assert set(host.alive()) == {"a", "b"}
    host.state.want(nothing(host.state))
    await until(lambda: host.alive() == {})
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    await supervisor.leave()


async def test_a_watcher_survives_what_cannot_be_reached(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = host.supervisor(replace(PACE, attempts=0))
    await supervisor.apply(host.wanted(engine("a")))
    watching = asyncio.create_task(supervisor.watch())
    # Two engines on one device that is not cut: MIG cannot express it.
    host.state.want(host.wanted(engine("a"), engine("b"), backend="mig"))
    await until(lambda: "shares a device that is not cut" in caplog.text)
    assert set(host.alive()) == {"a"}
    host.state.want(host.wanted(engine("a"), engine("c")))
    await until(lambda: "ready c" in host.journal())
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await supervisor.leave()


async def test_what_is_there_is_seen_with_what_is_amiss(host: Host) -> None:
    with pytest.raises(NotFound, match="Nothing was applied"):
        await look(host.state)
    async with host.applied(host.wanted(engine("a", "x"))) as (_, records):
        seen = (await look(host.state))["a"]
        assert (seen.running, seen.healthy, seen.processes, seen.missing, seen.unmet) == (
            True,
            True,
            2,
            (),
            (),
        )
        async with Control(f"http://127.0.0.1:{host.ports['a']}") as control:
            await control.unload_adapter("x")
        assert (await look(host.state))["a"].missing == ("x",)
    os.kill(records["a"].pid, signal.SIGKILL)
    await until(lambda: len(host.alive().get("a", [])) == 1)
    gone = (await look(host.state))["a"]
    assert (gone.running, gone.healthy, gone.processes) == (False, False, 1)
    assert (seen.word, gone.word) == ("healthy", "gone")
    # Without a first process there is nobody to ask: what is left is ended at once, whatever the grace.
    async with asyncio.timeout(PACE.grace_s):
        await host.supervisor(replace(PACE, grace_s=60.0)).stop()
    assert host.alive() == {}


def executable(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


async def test_daemons_are_started_once_and_ended_when_nobody_shares(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    executable(
        tmp_path, "nvidia-cuda-mps-control", f'echo "$CUDA_MPS_PIPE_DIRECTORY $@" >> {calls}; cat >> {calls}'
    )
    # The program that a backend calls is found on the path, as on a host with a GPU.
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    shared = host.wanted(engine("a"), engine("b"), backend="mps")
    shared = replace(shared, options=replace(shared.options, mps_folder=str(tmp_path / "mps")))
    async with host.applied(shared) as (supervisor, before):
        await supervisor.apply(replace(shared, placement=replace(shared.placement, price_per_hour=1.0)))
        assert calls.read_text() == f"{tmp_path}/mps/gpu0/pipe -d\n"
        environment = host.alive()["a"][0].environment
        assert environment["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "50"
        alone = replace(shared, placement=replace(shared.placement, engines=shared.placement.engines[:1]))
        after = await supervisor.apply(alone)
        # Without a neighbour it needs no daemon, which is part of how it was started.
        assert after["a"].pid != before["a"].pid
        assert calls.read_text().endswith("/mps/gpu0/pipe \nquit\n")


async def test_a_device_that_cannot_be_made_ready_is_said(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(tmp_path, "nvidia-smi", "echo 'Insufficient permissions' >&2; exit 4")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    wanted = host.wanted(engine("a"), backend="mig")
    devices = (replace(wanted.placement.devices[0], profiles=("1g.10gb",)), wanted.placement.devices[1])
    cut = replace(engine("a"), slices=(replace(engine("a").slices[0], profile=0),))
    supervisor = host.supervisor()
    with pytest.raises(EngineError, match="ended with 4: Insufficient permissions"):
        await supervisor.apply(replace(wanted, placement=Placement(devices, (cut,))))
    await supervisor.leave()


async def test_mig_engines_see_the_instance_that_is_there_now(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = "GPU 0: H100 (UUID: GPU-1)\n  MIG 1g.10gb     Device  0: (UUID: MIG-aaa)\n"
    executable(tmp_path, "nvidia-smi", f"printf '{listing}'")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    wanted = host.wanted(engine("a"), backend="mig")
    devices = (replace(wanted.placement.devices[0], profiles=("1g.10gb",)), wanted.placement.devices[1])
    cut = replace(engine("a"), slices=(replace(engine("a").slices[0], profile=0),))
    async with host.applied(replace(wanted, placement=Placement(devices, (cut,)))) as (_, records):
        assert records["a"].state == "healthy"
        assert host.alive()["a"][0].environment["CUDA_VISIBLE_DEVICES"] == "MIG-aaa"
        assert (await look(host.state))["a"].unmet == ()


def test_one_supervisor_at_a_time(host: Host) -> None:
    with host.state.held():
        assert host.state.is_held()
        with pytest.raises(UserError, match="Another supervisor"), host.state.held():
            pass
    assert not host.state.is_held()


def test_what_is_wanted_and_what_runs_survive_on_disk(host: Host) -> None:
    wanted = host.wanted(engine("a", "x"))
    host.state.want(wanted)
    assert host.state.wanted() == wanted
    record = Record(1, 2, "k", {"x": "/x"}, "healthy")
    prepared: dict[str, list[str]] = {"before": [], "after": []}
    host.state.save({"a": record}, version="v", prepared=prepared)
    assert (host.state.records(), host.state.reached(), host.state.prepared()) == (
        {"a": record},
        "v",
        prepared,
    )
    (host.state.folder / "wanted.json").write_text("{")
    with pytest.raises(BadInput, match="is no JSON file"):
        host.state.wanted()
