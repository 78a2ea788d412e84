"""Command line of the simulator: `run` serves until told to stop."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop

from feedplane_simulator.bench import drain as drain_stream
from feedplane_simulator.bench import measure
from feedplane_simulator.clock import now_ms
from feedplane_simulator.config import CHANNELS, SimulatorConfig
from feedplane_simulator.load import LoadSpec
from feedplane_simulator.logs import configure_logs
from feedplane_simulator.simulator import Simulator

ID_EPOCH_MS = 1_767_225_600_000
"""2026-01-01: ids of a venue restarted later than another start above that one's."""

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def describe() -> None:
    """Speak a venue's wire protocol over real sockets, with ground truth and faults."""


def build_id_base(at_ms: int) -> int:
    """Return a base for ids that rises faster than any venue emits."""
    return (at_ms - ID_EPOCH_MS) // 1000 * 100_000


async def serve(config: SimulatorConfig) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Simulator(config):
        await stop.wait()


@app.command()
def run(  # noqa: PLR0913, PLR0917 - each argument is one option of the command line
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",  # noqa: S104
    spot_port: Annotated[int, typer.Option(help="Spot WebSocket and REST.")] = 9001,
    usdm_port: Annotated[int, typer.Option(help="USDS-M WebSocket and REST.")] = 9002,
    admin_port: Annotated[int, typer.Option(help="Truth, violations, faults.")] = 9000,
    seed: Annotated[int, typer.Option(help="Same seed, same markets.")] = 7,
    rate: Annotated[float, typer.Option(help="Events per second of each market.")] = 2000.0,
    symbols: Annotated[int, typer.Option(help="Instruments each market lists.")] = 20,
    channels: Annotated[str, typer.Option(help="Channels to emit.")] = ",".join(CHANNELS),
    recordings: Annotated[Path | None, typer.Option(help="Replay recordings from here.")] = None,
    recorded_pace: Annotated[bool, typer.Option(help="Replay at the recorded pace.")] = True,
    recordings_loop: Annotated[bool, typer.Option(help="Replay again and again.")] = True,
    id_base: Annotated[int, typer.Option(help="Added to first ids; -1 takes the clock.")] = -1,
    lifetime_seconds: Annotated[float, typer.Option(help="Life of a connection.")] = 86_400.0,
    log_level: Annotated[str, typer.Option(help="Lowest level to log.")] = "info",
) -> None:
    """Serve Binance spot and USDS-M."""
    configure_logs(log_level)
    config = SimulatorConfig(
        host=host,
        spot_port=spot_port,
        usdm_port=usdm_port,
        admin_port=admin_port,
        seed=seed,
        id_base=build_id_base(now_ms()) if id_base < 0 else id_base,
        rate=rate,
        symbols=symbols,
        channels=tuple(name for name in channels.split(",") if name),
        recordings=recordings,
        recorded_pace=recorded_pace,
        recordings_loop=recordings_loop,
    ).with_rules(lifetime_seconds=lifetime_seconds)
    uvloop.run(serve(config))


@app.command()
def bench(
    pattern: Annotated[str, typer.Option(help="aggTrade or mix.")] = "aggTrade",
    seconds: Annotated[float, typer.Option(help="How long to blast.")] = 5.0,
    symbols: Annotated[int, typer.Option(help="Instruments in the load.")] = 20,
    rate: Annotated[float, typer.Option(help="Frames per second; 0 is no limit.")] = 0.0,
) -> None:
    """Blast frames into a draining reader and print the rate as JSON."""
    spec = msgspec.convert(
        {"pattern": pattern, "seconds": seconds, "rate": rate or None}, type=LoadSpec
    )
    typer.echo(json.dumps(uvloop.run(measure(spec, symbols))))


@app.command(hidden=True)
def drain(url: str) -> None:
    """Read a stream to its end and print what was counted."""
    typer.echo(json.dumps(uvloop.run(drain_stream(url))))


def main() -> None:
    """Enter from the console script."""
    app()


if __name__ == "__main__":
    main()
