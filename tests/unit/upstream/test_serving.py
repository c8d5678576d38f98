from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import aiohttp
import pytest

from offramp.core.errors import AddressInUse, BadSetting
from offramp.testing.scripted_teacher import ScriptedTeacher, says, streamed, whole
from offramp.upstream.serving import Server, run

if TYPE_CHECKING:
    from offramp.upstream.asgi import Receive, Scope, Send


async def _get(url: str) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.read()


async def test_port_0_reports_the_real_port() -> None:
    async with Server(ScriptedTeacher()) as server:
        assert server.address.port > 0
        assert (await _get(server.address.url + "/v1/models"))[0] == 200


async def test_nothing_listens_after_the_block() -> None:
    async with Server(ScriptedTeacher()) as server:
        url = server.address.url
    with pytest.raises(aiohttp.ClientConnectorError):
        await _get(url)


async def test_a_taken_port_is_named_before_anything_starts() -> None:
    async with Server(ScriptedTeacher()) as server:
        port = server.address.port
        with pytest.raises(AddressInUse, match=f"Port {port} on 127.0.0.1 is taken"):
            await Server(ScriptedTeacher(), port=port).__aenter__()


@pytest.mark.parametrize(
    ("host", "port"), [("no-such-host.invalid", 0), ("203.0.113.7", 0), ("127.0.0.1", 70_000)]
)
async def test_an_address_that_cannot_be_had_is_a_bad_setting(host: str, port: int) -> None:
    with pytest.raises(BadSetting, match="Cannot listen"):
        await Server(ScriptedTeacher(), host=host, port=port).__aenter__()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
async def test_ipv6_addresses_work() -> None:
    async with Server(ScriptedTeacher(), host="::1") as server:
        assert server.address.url.startswith("http://[::1]:")
        assert (await _get(server.address.url + "/v1/models"))[0] == 200


async def test_calls_in_flight_are_finished_when_it_stops() -> None:
    teacher = ScriptedTeacher(otherwise=streamed(says("a slow answer"), pause_s=0.02))
    async with Server(teacher, grace_s=5) as server:
        asking = asyncio.create_task(_get(server.address.url))
        while not teacher.heard:  # noqa: ASYNC110 - the teacher sets no event
            await asyncio.sleep(0.005)
    assert (await asking)[1].endswith(b"[DONE]\n\n")


async def test_calls_that_outlast_the_grace_are_cut() -> None:
    teacher = ScriptedTeacher(otherwise=whole(says("late"), delay_s=60))
    async with Server(teacher, grace_s=0) as server:
        asking = asyncio.create_task(_get(server.address.url))
        while not teacher.heard:  # noqa: ASYNC110 - the teacher sets no event
            await asyncio.sleep(0.005)
    assert (await asking)[0] == 500


async def test_an_app_that_raises_is_logged_and_answers_a_json_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("a bug")

    async with Server(broken, grace_s=1) as server:
        status, body = await _get(server.address.url + "/x")
    assert status == 500
    assert b'"error"' in body
    assert "a bug" in caplog.text


async def test_an_app_that_raises_in_the_middle_cuts_the_response(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("a bug")

    async with Server(broken, grace_s=1) as server:
        with pytest.raises(aiohttp.ClientPayloadError):
            await _get(server.address.url + "/x")
    assert "a bug" in caplog.text


async def test_ordinary_traffic_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="uvicorn"):
        async with Server(ScriptedTeacher(), grace_s=1) as server:
            await _get(server.address.url)
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_run_returns_what_the_coroutine_returns() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert run(answer()) == 42


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_blocking_form_in_order(number: signal.Signals) -> None:
    script = (
        "from offramp.testing.scripted_teacher import ScriptedTeacher\n"
        "from offramp.upstream.serving import run, serve\n"
        "run(serve(ScriptedTeacher(), on_ready=lambda address: print(address.url, flush=True)))\n"
        "print('stopped')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "stopped\n", "")
