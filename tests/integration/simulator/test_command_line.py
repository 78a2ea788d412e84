"""The process: `python -m feedplane_simulator` serves, logs JSON and stops when told to."""

import asyncio
import json
import signal
import sys

import aiohttp


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "feedplane_simulator", *arguments, stdout=asyncio.subprocess.PIPE
    )


async def test_run_serves_until_terminated(http: aiohttp.ClientSession) -> None:
    ports = ["--spot-port", "0", "--usdm-port", "0", "--admin-port", "0"]
    process = await start("run", "--host", "127.0.0.1", "--rate", "50", "--symbols", "2", *ports)
    assert process.stdout is not None
    started = json.loads(await process.stdout.readline())
    async with http.get(f"http://127.0.0.1:{started['ports']['admin']}/healthz") as response:
        assert (await response.json())["status"] == "ok"
    process.send_signal(signal.SIGTERM)
    rest = await process.stdout.read()
    assert await process.wait() == 0
    assert json.loads(rest.splitlines()[-1])["msg"] == "simulator.stopped"


async def test_bench_reader_counts_what_was_written() -> None:
    process = await start("bench", "--seconds", "0.3", "--symbols", "2", "--pattern", "mix")
    assert process.stdout is not None
    result = json.loads(await process.stdout.read())
    assert await process.wait() == 0
    assert result["read"]["frames"] == result["framesWritten"] > 1000
