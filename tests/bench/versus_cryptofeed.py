"""Paired rounds against cryptofeed 2.4.1: same simulator, same frames, same kind of database.

Rows landed per second are counted in the tables, from the first frame to the last row. The
peer writes its own unkeyed table; ours is the keyed hypertable with every check on.
"""

import statistics
import sys
import time

import typer
from tests.bench.results import write_result
from tests.bench.rig import (
    DATABASE_SETTINGS,
    Program,
    Venue,
    feeder,
    feeder_config,
    postgres_cpu_seconds,
    program,
    symbol_names,
    venue,
    wait_for,
    warmed,
)
from tests.bench.throughput import count_rows, deep_queue

from feedplane_cluster.database import PASSWORD, USER, TimescaleServer

PEER_TABLE = """create table trades (id serial primary key, timestamp timestamp,
 receipt_timestamp timestamp, exchange varchar(32), symbol varchar(32), side varchar(8),
 amount numeric(64, 32), price numeric(64, 32), trade_id varchar(64), order_type varchar(32))"""
LAST_COMMIT = "select extract(epoch from max(pg_xact_commit_timestamp(xmin))) from {table}"
SETTINGS = DATABASE_SETTINGS | {"track_commit_timestamp": "on"}
PATIENCE_SECONDS = 20
"""With no new row for so long, the rest is not coming."""


def sample(
    server: TimescaleServer, table: str, database: str, child: Program, market: Venue, frames: int
) -> dict[str, float]:
    """Send so many frames and wait until their rows are in the table, or no more come.

    The end is the last row's commit by the database's own clock, so looking may be rare: rows are
    counted seldom, because counting them would charge the slower side for being watched longer.
    """
    cpu, base = child.cpu_seconds(), postgres_cpu_seconds(server)
    began = float(server.execute("select extract(epoch from clock_timestamp())"))
    market.ask("/load", {"market": "spot", "pattern": "aggTrade", "frames": frames})
    landed, last = 0, time.monotonic()
    while landed < frames and time.monotonic() - last < PATIENCE_SECONDS:
        time.sleep(2)
        if (now := count_rows(server, database, table)) != landed:
            landed, last = now, time.monotonic()
    spent = child.cpu_seconds() - cpu + postgres_cpu_seconds(server) - base
    ended = float(server.execute(LAST_COMMIT.format(table=table), database=database))
    return {
        "rows": landed,
        "rows_per_second": landed / (ended - began),
        "cpu_seconds_per_million": spent / landed * 1e6,
    }


def ours(server: TimescaleServer, frames: int, symbols: int) -> dict[str, float]:
    """One round of the feeder."""
    dsn = server.create_database(timescale=True)
    database = dsn.rpartition("/")[2]
    with venue(rate=0, symbols=symbols) as market:
        names = symbol_names(market, symbols)
        config = feeder_config(market, "DSN", names, ["trade"], buffer=deep_queue())
        with feeder(config, {"DSN": dsn}) as running:
            warmed(database, running)
            result = sample(server, "feedplane.trades", database, running.program, market, frames)
    server.drop_database(database)
    return result


def peer(server: TimescaleServer, frames: int, symbols: int) -> dict[str, float]:
    """One round of cryptofeed."""
    dsn = server.create_database(timescale=False)
    database = dsn.rpartition("/")[2]
    server.execute(PEER_TABLE, database=database)
    with venue(rate=0, symbols=symbols) as market:
        argv = (
            *(sys.executable, "-W", "ignore", "-m", "tests.bench.cryptofeed_peer"),
            *("--port", str(market.spot_port), "--db-port", str(server.port)),
            *("--db", database, "--user", USER, "--password", PASSWORD),
        )
        with program(*argv, name="cryptofeed") as running:
            wait_for(lambda: market.ask("/connections"), 60, "the peer", running.log)
            time.sleep(2)
            result = sample(server, "trades", database, running, market, frames)
    server.drop_database(database)
    return result


def main(frames: int = 300_000, rounds: int = 3, symbols: int = 20) -> None:
    """Run the rounds and write the result files."""
    pairs = []
    with TimescaleServer(SETTINGS) as server:
        for _ in range(rounds):
            pairs.append((ours(server, frames, symbols), peer(server, frames, symbols)))
            print(pairs[-1])
    ratios = [a["rows_per_second"] / b["rows_per_second"] for a, b in pairs]
    cpu = [b["cpu_seconds_per_million"] / a["cpu_seconds_per_million"] for a, b in pairs]
    details = {"ours": [a for a, _ in pairs], "cryptofeed": [b for _, b in pairs]}
    write_result(
        figure="versus-cryptofeed-ratio",
        value=round(statistics.median(ratios), 1),
        unit="x",
        goal=5,
        higher_is_better=True,
        runs=ratios,
        command="make bench",
        details=details,
    )
    write_result(
        figure="versus-cryptofeed-cpu-ratio",
        value=round(statistics.median(cpu), 1),
        unit="x",
        goal=5,
        higher_is_better=True,
        runs=cpu,
        command="make bench",
        details=details,
    )


if __name__ == "__main__":
    typer.run(main)
