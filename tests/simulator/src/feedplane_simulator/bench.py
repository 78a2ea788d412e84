"""How many frames a second the load mode gets through a socket into a reader of another process."""

import asyncio
import sys
from typing import Any

import msgspec
from picows import WSFrame, WSListener, WSTransport, ws_connect

from feedplane_simulator.config import SimulatorConfig
from feedplane_simulator.instruments import build_instruments
from feedplane_simulator.load import LoadSpec
from feedplane_simulator.simulator import Simulator

CONNECT_SECONDS = 10.0
DRAIN_SECONDS = 10.0


class DrainListener(WSListener):
    """Counts frames and forgets them."""

    def __init__(self) -> None:
        self.frames = 0
        self.size = 0

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        """Count one frame."""
        self.frames += 1
        self.size += frame.payload_size


async def drain(url: str) -> dict[str, int]:
    """Read a stream until the other side ends it."""
    listener = DrainListener()
    transport, _ = await ws_connect(lambda: listener, url)
    await transport.wait_disconnected()
    return {"frames": listener.frames, "bytes": listener.size}


async def _wait_for_connection(simulator: Simulator) -> None:
    async with asyncio.timeout(CONNECT_SECONDS):
        while not simulator.connections():  # noqa: ASYNC110 - another process connects
            await asyncio.sleep(0.02)


async def measure(spec: LoadSpec, symbols: int) -> dict[str, Any]:
    """Run one load into one draining reader and return what both sides counted."""
    config = SimulatorConfig(rate=0, symbols=symbols, history_minutes=1)
    async with Simulator(config) as simulator:
        channels = {"aggTrade": ["aggTrade"]}.get(
            spec.pattern, ["aggTrade", "bookTicker", "depth@100ms", "kline_1m"]
        )
        names = [i.symbol.lower() for i in build_instruments(spec.market, symbols)]
        streams = "/".join(f"{name}@{channel}" for name in names for channel in channels)
        url = f"{simulator.spot_url}/stream?streams={streams}"
        reader = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "feedplane_simulator",
            "drain",
            url,
            stdout=asyncio.subprocess.PIPE,
        )
        await _wait_for_connection(simulator)
        run = await simulator.start_load(spec)
        await simulator.loads_ended()
        async with asyncio.timeout(DRAIN_SECONDS):
            while run.describe()["bufferedBytes"]:  # noqa: ASYNC110 - the kernel drains it
                await asyncio.sleep(0.01)
        result = run.describe()
        await simulator.stop()
        output, _ = await reader.communicate()
        return {**result, "read": msgspec.json.decode(output.splitlines()[-1])}
