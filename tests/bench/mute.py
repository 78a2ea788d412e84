"""Seconds until a mute stream is named: one of 200, acknowledged, whose connection is busy.

`python -m tests.bench.mute` mutes one stream after the other and asks the feeder's status until
it names that one, and no other.
"""

import random
import time

import typer
from tests.bench.results import write_result
from tests.bench.rig import (
    DATABASE_SETTINGS,
    Feeder,
    Venue,
    feeder,
    feeder_config,
    symbol_names,
    venue,
    wait_for,
    warmed,
)

from feedplane_cluster.database import TimescaleServer

COMMAND = "make bench ONLY=mute"
DSN = "FEEDPLANE_BENCH_DSN"
SYMBOLS = 100
STREAMS = {"trade": "aggTrade", "quote": "bookTicker"}
STALE_AFTER_SECONDS = 5


def name_one(at: Venue, running: Feeder, symbol: str, channel: str) -> float:
    """Mute one stream, and return the seconds until it alone is named."""
    stream = f"{symbol.lower()}@{STREAMS[channel]}"
    at.fault("mute", streams=stream, until_resubscribed=True)
    began = time.monotonic()
    problems = wait_for(lambda: running.status()["problems"], 60, stream, every=0.02)
    took = time.monotonic() - began
    named = [(each["symbol"], each["channel"]) for each in problems]
    if named != [(symbol, channel)]:
        raise RuntimeError(f"Expected {symbol} {channel}, was {named}")
    wait_for(lambda: not running.status()["problems"], 30, f"the cure of {stream}")
    return took


def main(rounds: int = 20, rate: int = 4_000, seed: int = 1) -> None:
    """Measure in rounds and write the slowest."""
    rng = random.Random(seed)  # noqa: S311 - which stream, the same each time
    with TimescaleServer(DATABASE_SETTINGS) as server:
        dsn = server.create_database()
        with venue(rate=0, symbols=SYMBOLS, args=("--channels", "aggTrade,bookTicker")) as at:
            at.ask("/rate", {"spot": rate})
            names = symbol_names(at, SYMBOLS)
            session = {"staleAfterSeconds": STALE_AFTER_SECONDS}
            config = feeder_config(at, DSN, names, tuple(STREAMS), session=session)
            with feeder(config, {DSN: dsn}) as running:
                warmed(dsn.rpartition("/")[2], running)
                # A stream is missed by its own pace, which takes a while to learn.
                time.sleep(20)
                wait_for(lambda: not running.status()["problems"], 30, "a feed without problems")
                runs = [
                    round(name_one(at, running, rng.choice(names), rng.choice(sorted(STREAMS))), 2)
                    for _ in range(rounds)
                ]
    write_result(
        "mute-stream-named-seconds",
        value=max(runs),
        unit="s",
        goal=STALE_AFTER_SECONDS + 2,
        higher_is_better=False,
        runs=runs,
        command=COMMAND,
        details={"streams": SYMBOLS * len(STREAMS), "rate": rate},
    )


if __name__ == "__main__":
    typer.run(main)
