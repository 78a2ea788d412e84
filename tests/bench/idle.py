"""Memory of a feeder that has little to do: one connection, one market of a quiet venue.

`python -m tests.bench.idle` lets a feeder stream a few messages a second into the database and
takes its resident memory after a while.
"""

import statistics
import time

import typer
from tests.bench.results import write_result
from tests.bench.rig import DATABASE_SETTINGS, feeder, feeder_config, symbol_names, venue, warmed

from feedplane_cluster.database import TimescaleServer

COMMAND = "make bench ONLY=idle"
DSN = "FEEDPLANE_BENCH_DSN"
CHANNELS = ("trade", "quote", "book", "bar-1m")


def measure(server: TimescaleServer, rate: float, seconds: float) -> float:
    """Return the most MiB that one feeder took in the second half of its time."""
    dsn = server.create_database()
    with venue(rate=rate, symbols=5) as at:
        config = feeder_config(at, DSN, symbol_names(at, 5), CHANNELS)
        with feeder(config, {DSN: dsn}) as running:
            warmed(dsn.rpartition("/")[2], running)
            time.sleep(seconds / 2)
            seen = []
            for _ in range(int(seconds / 2)):
                time.sleep(1)
                seen.append(running.program.rss_mib())
    server.drop_database(dsn.rpartition("/")[2])
    return max(seen)


def main(rate: float = 10, seconds: float = 30, rounds: int = 3) -> None:
    """Measure in rounds and write the median."""
    with TimescaleServer(DATABASE_SETTINGS) as server:
        runs = [round(measure(server, rate, seconds), 1) for _ in range(rounds)]
    write_result(
        "feeder-idle-rss-mib",
        value=statistics.median(runs),
        unit="MiB",
        goal=80,
        higher_is_better=False,
        runs=runs,
        command=COMMAND,
        details={"rate": rate, "instruments": 5, "channels": CHANNELS},
    )


if __name__ == "__main__":
    typer.run(main)
