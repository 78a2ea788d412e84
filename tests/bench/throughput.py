"""Trades, WebSocket to committed keyed row, with every check on: figures of the whole path.

`python -m tests.bench.throughput` measures the ceiling (venue sends as fast as it is read), then
latency and memory at a fixed rate. Rows are counted in the table, never taken from the feeder.
"""

import statistics
import time
from typing import Any

import typer
from tests.bench.results import write_result
from tests.bench.rig import (
    DATABASE_SETTINGS,
    feeder,
    feeder_config,
    postgres_cpu_seconds,
    symbol_names,
    venue,
    wait_for,
    warmed,
)

from feedplane_cluster.database import TimescaleServer

COMMAND = "make bench"
COUNT = "select count(*), count(distinct (instrument_id, trade_id)) from feedplane.trades"


def deep_queue() -> dict[str, Any]:
    """Return a buffer without a spill, so that what is read is what is written: the reader waits.

    With a spill the venue would be read as fast as the disk takes it, which is another figure.
    """
    return {"queueRecords": 50_000}


def count_rows(server: TimescaleServer, database: str, table: str = "feedplane.trades") -> int:
    """Return the rows landed so far."""
    return int(server.execute(f"select count(*) from {table}", database=database))  # noqa: S608 - a name of ours


def run_once(
    server: TimescaleServer, *, timescale: bool, seconds: float, symbols: int, rate: float | None
) -> dict[str, Any]:
    """Blast one feeder for a while and return rates, CPU and memory."""
    dsn = server.create_database(timescale=timescale)
    database = dsn.rpartition("/")[2]
    with venue(rate=0, symbols=symbols) as market:
        names = symbol_names(market, symbols)
        config = feeder_config(market, "DSN", names, ["trade"], buffer=deep_queue())
        with feeder(config, {"DSN": dsn}) as running:
            warmed(database, running)
            spec = {"market": "spot", "pattern": "aggTrade", "seconds": seconds + 5}
            if rate:
                spec["rate"] = rate
            market.ask("/load", spec)
            wait_for(lambda: count_rows(server, database) > 0, 30, "rows", running.program.log)
            time.sleep(2)
            cpu, base_cpu = running.program.cpu_seconds(), postgres_cpu_seconds(server)
            rows, began = count_rows(server, database), time.monotonic()
            memory, lags = [], []
            while time.monotonic() - began < seconds:
                time.sleep(1)
                memory.append(running.program.rss_mib())
                lags.append(server_lag_ms(server, database, f"{names[0]}.BINANCE-SPOT"))
            landed = count_rows(server, database) - rows
            took = time.monotonic() - began
            spent = running.program.cpu_seconds() - cpu
            base_spent = postgres_cpu_seconds(server) - base_cpu
            market.ask("/load", method="DELETE")
            total, distinct = settle(server, database)
            status = running.status()
    server.drop_database(database)
    half = len(memory) // 2
    return {
        "rows_per_second": landed / took,
        "feeder_cpu_seconds_per_million": spent / landed * 1e6,
        "postgres_cpu_seconds_per_million": base_spent / landed * 1e6,
        "rss_mib_max": max(memory),
        "rss_mib_first_half": statistics.mean(memory[:half]),
        "rss_mib_second_half": statistics.mean(memory[half:]),
        "lag_ms_p50": statistics.median(lags),
        "lag_ms_p99": sorted(lags)[int(len(lags) * 0.99)],
        "rows": total,
        "doubled": total - distinct,
        "gaps": sum(row["open"] for row in status["gaps"]),
        "timescale": timescale,
        "seconds": took,
    }


def server_lag_ms(server: TimescaleServer, database: str, instrument_id: str) -> float:
    """Return the age of an instrument's newest committed row, by the database's own clock.

    Found through the key, so that looking costs the server next to nothing.
    """
    answer = server.execute(
        "select extract(epoch from clock_timestamp() - ts_recv) * 1000 from feedplane.trades"  # noqa: S608 - a name of ours
        f" where instrument_id = '{instrument_id}' order by ts_event desc limit 1",
        database=database,
    )
    return float(answer or "nan")


def settle(server: TimescaleServer, database: str) -> tuple[int, int]:
    """Wait until no more rows arrive, then return all and distinct ones."""
    before = -1
    while (now := count_rows(server, database)) != before:
        before = now
        time.sleep(1)
    total, distinct = server.execute(COUNT, database=database).split("|")
    return int(total), int(distinct)


def main(seconds: float = 60, rounds: int = 1, symbols: int = 20) -> None:
    """Measure and write the result files."""
    with TimescaleServer(DATABASE_SETTINGS) as server:
        hyper = [
            run_once(server, timescale=True, seconds=seconds, symbols=symbols, rate=None)
            for _ in range(rounds)
        ]
        plain = [
            run_once(server, timescale=False, seconds=min(seconds, 20), symbols=symbols, rate=None)
            for _ in range(rounds)
        ]
        steady = run_once(server, timescale=True, seconds=30, symbols=symbols, rate=25_000)
    rates = [run["rows_per_second"] for run in hyper]
    cpu = [run["feeder_cpu_seconds_per_million"] for run in hyper]
    details = {"hypertable": hyper, "plain": plain, "at_25000_per_second": steady}
    write_result(
        figure="feeder-throughput-msgs-per-second",
        value=round(statistics.median(rates)),
        unit="rows/s",
        goal=100_000,
        higher_is_better=True,
        runs=rates,
        command=COMMAND,
        details=details,
    )
    write_result(
        figure="feeder-cpu-seconds-per-million",
        value=round(statistics.median(cpu), 2),
        unit="CPU s per million rows",
        goal=5,
        higher_is_better=False,
        runs=cpu,
        command=COMMAND,
        details={"postgres": [run["postgres_cpu_seconds_per_million"] for run in hyper]},
    )
    memory = [run["rss_mib_max"] for run in hyper]
    write_result(
        figure="feeder-rss-mib",
        value=round(max(memory)),
        unit="MiB",
        goal=512,
        higher_is_better=False,
        runs=memory,
        command=COMMAND,
        details={
            "first_half": [run["rss_mib_first_half"] for run in hyper],
            "second_half": [run["rss_mib_second_half"] for run in hyper],
        },
    )
    write_result(
        figure="feeder-lag-p99-milliseconds",
        value=round(steady["lag_ms_p99"]),
        unit="ms",
        goal=500,
        higher_is_better=False,
        runs=[steady["lag_ms_p99"]],
        command=COMMAND,
        details={"rate": 25_000, "measure": "age of the newest committed row, sampled each second"},
    )


if __name__ == "__main__":
    typer.run(main)
