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
from feedplane_simulator.venues import FURTHER_PORTS, VENUES

ID_EPOCH_MS = 1_767_225_600_000
"""2026-01-01: ids of a venue restarted later than another start above that one's."""

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")


@app.callback()
def describe() -> None:
    """Speak a venue's wire protocol over real sockets, with ground truth and faults."""


def build_id_base(at_ms: int) -> int:
    """Return a base for ids that rises faster than any venue emits."""
    return (at_ms - ID_EPOCH_MS) // 1000 * 100_000


def parse_venues(told: list[str]) -> dict[str, int]:
    """Read `NAME=PORT` pairs; without a port any free one is taken.

    Raises:
        BadParameter: a venue of that name is not hosted, or the port is no number.
    """
    venues = {}
    for each in told:
        name, _, port = each.partition("=")
        known = (*VENUES, *sorted(FURTHER_PORTS))
        if name not in known or not (port or "0").isdecimal():
            raise typer.BadParameter(
                f"expected NAME=PORT with one of {', '.join(known)}, was {each}"
            )
        venues[name] = int(port or 0)
    return venues


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
    recordings: Annotated[
        Path | None, typer.Option(help="Folder of NAME.ws.txt to replay in place of made-up data.")
    ] = None,
    recorded_pace: Annotated[bool, typer.Option(help="Replay at the recorded pace.")] = True,
    recordings_loop: Annotated[bool, typer.Option(help="Replay again and again.")] = True,
    id_base: Annotated[int, typer.Option(help="Added to first ids; -1 takes the clock.")] = -1,
    history_days: Annotated[int, typer.Option(help="Days of history; 0 has no archive.")] = 0,
    archive_delay_seconds: Annotated[
        float, typer.Option(help="From a day's end to its file; below 0 at once.")
    ] = 30_600.0,
    lifetime_seconds: Annotated[float, typer.Option(help="Life of a connection.")] = 86_400.0,
    venue: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PORT",
            help=f"Another venue and its port, may be repeated: {', '.join(VENUES)}.",
        ),
    ] = None,
    sessions_per_account: Annotated[
        int, typer.Option(help="Connections an account may have at once; 0 is any number.")
    ] = 0,
    valid_keys: Annotated[
        str, typer.Option(help="Keys that may log in, by comma; empty asks for none.")
    ] = "",
    log_level: Annotated[str, typer.Option(help="Lowest level to log.")] = "info",
) -> None:
    """Serve Binance spot and USDS-M, and other venues by --venue, until told to stop.

    Examples:
    - `feedplane-simulator run --seed 7 --rate 2000`

    - `feedplane-simulator run --recordings recordings/ --venue alpaca=9003`

    What the admin port answers stands in tests/simulator/README.md.
    """
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
        venues=parse_venues(venue or []),
        recordings=recordings,
        sessions_per_account=sessions_per_account or None,
        valid_keys=tuple(valid_keys.split(",")) if valid_keys else None,
        recorded_pace=recorded_pace,
        recordings_loop=recordings_loop,
        history_days=history_days,
        archive_delay_seconds=archive_delay_seconds,
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
