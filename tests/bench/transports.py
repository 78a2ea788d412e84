"""The two WebSocket engines under the simulator's load: what decision record 6 rests on.

uv run python -m tests.bench.transports   Writes no figure.
"""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import typer
import uvloop

from feedplane_feeder.clock import SystemClock
from feedplane_feeder.transport import Engine, build_transport

PORTS = (29_411, 29_412, 29_410)
SYMBOLS = 20


class Counter:
    """Counts frames and forgets them."""

    def __init__(self) -> None:
        self.frames = 0

    def frames_received(self, frames: list[bytes], ts_recv: int) -> None:
        """See `StreamListener`."""
        self.frames += len(frames)


@contextmanager
def simulator() -> Iterator[None]:
    """Run a silent venue."""
    spot, usdm, admin = map(str, PORTS)
    command = [sys.executable, "-m", "feedplane_simulator", "run", "--rate", "0"]
    command += ["--spot-port", spot, "--usdm-port", usdm, "--admin-port", admin]
    command += ["--symbols", str(SYMBOLS)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            time.sleep(2)
            yield
        finally:
            process.terminate()


def ask(path: str, port: int, body: dict[str, Any] | None = None) -> Any:
    """Ask the venue or its admin port."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=json.dumps(body).encode() if body else None,
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - an address of ours
        return json.load(answer)


async def receive(engine: Engine, seconds: float) -> tuple[float, float]:
    """Return frames per second and CPU seconds per million frames."""
    spot, _, admin = PORTS
    listed = await asyncio.to_thread(ask, "/api/v3/exchangeInfo", spot)
    names = [f"{each['symbol'].lower()}@aggTrade" for each in listed["symbols"]]
    url = f"ws://127.0.0.1:{spot}/stream?streams={'/'.join(names)}"
    counter = Counter()
    connection = await build_transport(engine, SystemClock()).connect(url, {}, counter)
    async with asyncio.TaskGroup() as group:
        group.create_task(connection.run())
        load = {"market": "spot", "pattern": "aggTrade", "seconds": seconds, "symbols": SYMBOLS}
        await asyncio.to_thread(ask, "/load", admin, load)
        cpu, before = time.process_time(), counter.frames
        await asyncio.sleep(seconds)
        frames, cpu = counter.frames - before, time.process_time() - cpu
        await connection.close()
    return frames / seconds, cpu / frames * 1e6


def main(rounds: int = 3, seconds: float = 4) -> None:
    """Print a table, median of alternated rounds."""
    rates: dict[Engine, list[tuple[float, float]]] = {engine: [] for engine in Engine}
    with simulator():
        for _ in range(rounds):
            for engine, runs in rates.items():
                runs.append(uvloop.run(receive(engine, seconds)))
                time.sleep(1)
    print("engine: frames per second, CPU seconds per million (medians)")
    for engine, runs in rates.items():
        rate, cpu = median(run[0] for run in runs), median(run[1] for run in runs)
        print(f"{engine.value:12} {rate:12,.0f} {cpu:8.2f}")


if __name__ == "__main__":
    typer.run(main)
