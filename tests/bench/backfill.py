"""Backfill figures, each by one worker process: venue's history to keyed rows.

`python -m tests.bench.backfill` lets a simulator make its files first, then measures rows per
second over months of one-minute bars, the seconds that five years of daily bars of a thousand
instruments take, and a month of one-minute bars of a hundred instruments, of which a year follows.
"""

import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import typer
import uvloop
import yaml
from tests.bench.results import write_result
from tests.bench.rig import (
    DATABASE_SETTINGS,
    Venue,
    postgres_cpu_seconds,
    program,
    symbol_names,
    venue,
    wait_for,
)

from feedplane_cluster.control_plane import free_ports
from feedplane_cluster.database import TimescaleServer

DSN = "FEEDPLANE_BENCH_DSN"
COMMAND = "make bench ONLY=backfill"
SECONDS = {"1m": 60, "1d": 86_400}
GOAL_DAILY_SECONDS = 60
GOAL_ROWS_PER_SECOND = 150_000


@dataclass(frozen=True, kw_only=True)
class Case:
    """What one worker is asked to bring."""

    interval: str
    instruments: int
    span: tuple[datetime, datetime]
    share_percent: int = 50
    """Of the venue's request weight, which Backfills may use."""

    @property
    def rows(self) -> int:
        """Bars in the span."""
        seconds = int((self.span[1] - self.span[0]).total_seconds())
        return self.instruments * seconds // SECONDS[self.interval]


def past_months(count: int) -> list[tuple[datetime, datetime]]:
    """Return whole months whose files are surely published, the newest first."""
    month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    month = (month - timedelta(days=1)).replace(day=1)
    months = []
    for _ in range(count):
        before = (month - timedelta(days=1)).replace(day=1)
        months.append((before, month))
        month = before
    return months


def warm(at: Venue, symbols: Sequence[str], case: Case) -> int:
    """Ask for every file once, so that making it is not measured; their bytes."""
    size, month = 0, case.span[0]
    while month < case.span[1]:
        for symbol in symbols:
            path = f"data/spot/monthly/klines/{symbol}/1m/{symbol}-1m-{month:%Y-%m}.zip"
            url = f"http://127.0.0.1:{at.spot_port}/{path}"
            with urllib.request.urlopen(url, timeout=120) as answer:
                size += len(answer.read())
        month = (month + timedelta(days=31)).replace(day=1)
    return size


def measure(
    server: TimescaleServer, at: Venue, symbols: Sequence[str], case: Case
) -> dict[str, Any]:
    """Run one worker over the span and return its figures."""
    dsn = server.create_database()
    address = f"http://127.0.0.1:{at.spot_port}"
    config = {
        "venue": "binance-spot",
        "endpoints": {"rest": address, "archive": address},
        "wanted": [{"symbol": symbol, "channels": [f"bar-{case.interval}"]} for symbol in symbols],
        "start": case.span[0].isoformat(),
        "end": case.span[1].isoformat(),
        "sink": {"dsnEnv": DSN},
        "limits": {"backfillSharePercent": case.share_percent},
        "httpPort": 0,
        "logFormat": "Json",
    }
    path = Path(tempfile.mkdtemp(prefix="feedplane-backfill-")) / "backfill.yaml"
    path.write_text(yaml.safe_dump(config))
    argv = ("-m", "feedplane_feeder", "backfill", "--config", str(path))
    base, venue_base = postgres_cpu_seconds(server), at.program.cpu_seconds()
    began, peak, cpu = time.perf_counter(), 0.0, 0.0
    with program(sys.executable, *argv, name="backfill", env={DSN: dsn}) as worker:
        while worker.process.poll() is None:
            try:
                peak, cpu = max(peak, worker.rss_mib()), worker.cpu_seconds()
            except OSError:
                break
            time.sleep(0.05)
        worker.process.wait()
        ended = next(line for line in worker.events() if line["msg"] == "backfill.ended")
    took = time.perf_counter() - began
    rows = uvloop.run(count_rows(dsn))
    if rows != case.rows:
        raise RuntimeError(f"Expected {case.rows} rows, was {rows}: {ended}")
    server.drop_database(dsn.rpartition("/")[2])
    return {
        "rows": rows,
        # From the moment the worker knows its chunks; the process's own start is told beside it.
        "rows_per_second": rows / ended["elapsed_seconds"],
        "seconds": ended["elapsed_seconds"],
        "seconds_with_start": took,
        "worker_cpu_seconds_per_million": cpu / rows * 1e6,
        "postgres_cpu_seconds_per_million": (postgres_cpu_seconds(server) - base) / rows * 1e6,
        "venue_cpu_seconds_per_million": (at.program.cpu_seconds() - venue_base) / rows * 1e6,
        "worker_peak_rss_mib": peak,
    }


async def count_rows(dsn: str) -> int:
    """Return how many bars there are, each once."""
    ask = await asyncpg.connect(dsn)
    query = "select count(*), count(distinct (instrument_id, ts_open)) from feedplane.bars"
    row = await ask.fetchrow(query)
    await ask.close()
    if row is None or row[0] != row[1]:
        raise RuntimeError(f"Expected every bar once, was {row}")
    return int(row[0])


def play(server: TimescaleServer, case: Case, rounds: int) -> tuple[list[dict[str, Any]], int]:
    """Measure one case in rounds; the bytes of its files too."""
    days = (datetime.now(UTC) - case.span[0]).days + 2
    arguments = ("--history-days", str(days), "--channels", "kline")
    with venue(rate=0, symbols=case.instruments, args=arguments) as at:
        symbols = symbol_names(at, case.instruments)
        size = warm(at, symbols, case)
        return [measure(server, at, symbols, case) for _ in range(rounds)], size


@contextmanager
def daily_venue() -> Iterator[Venue]:
    """Run a venue that has nothing but daily bars."""
    (port,) = free_ports(1)

    def answers() -> bool:
        url = f"http://127.0.0.1:{port}/api/v3/klines?startTime=0"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.read())

    argv = (sys.executable, "-m", "tests.bench.daily_venue", str(port))
    with program(*argv, name="daily-venue") as running:
        wait_for(answers, 30, "the venue", running.log)
        yield Venue(running, port, port, "")


def bars_per_second(server: TimescaleServer, rounds: int) -> None:
    """Three months of one-minute bars of eight instruments."""
    spans = past_months(3)
    case = Case(interval="1m", instruments=8, span=(spans[-1][0], spans[0][1]))
    runs, size = play(server, case, rounds)
    write_result(
        "backfill-rows-per-second",
        value=round(statistics.median(run["rows_per_second"] for run in runs)),
        unit="rows/s",
        goal=GOAL_ROWS_PER_SECOND,
        higher_is_better=True,
        runs=[round(run["rows_per_second"]) for run in runs],
        command=COMMAND,
        details={
            "table": "bars, keyed hypertable, 15 columns",
            "instruments": case.instruments,
            "months": len(spans),
            "archive_bytes": size,
            "rounds": runs,
        },
    )


def daily_bars(server: TimescaleServer, rounds: int) -> None:
    """Five years of daily bars of a thousand instruments, within the venue's weight."""
    end = past_months(1)[0][1]
    case = Case(
        interval="1d",
        instruments=1_000,
        span=(end.replace(year=end.year - 5), end),
        share_percent=80,
    )
    symbols = [f"S{number:04}USDT" for number in range(case.instruments)]
    with daily_venue() as at:
        runs = [measure(server, at, symbols, case) for _ in range(rounds)]
    write_result(
        "backfill-daily-seconds",
        value=round(statistics.median(run["seconds_with_start"] for run in runs), 1),
        unit="s",
        goal=GOAL_DAILY_SECONDS,
        higher_is_better=False,
        runs=[round(run["seconds_with_start"], 1) for run in runs],
        command=COMMAND,
        details={
            "instruments": case.instruments,
            "years": 5,
            "weight_share_percent": case.share_percent,
            "rounds": runs,
        },
    )


def year_of_minutes(server: TimescaleServer) -> None:
    """One month of one-minute bars of a hundred instruments, and what a year of them takes."""
    case = Case(interval="1m", instruments=100, span=past_months(1)[0])
    (run,), size = play(server, case, 1)
    days = (case.span[1] - case.span[0]).days
    year = run["seconds"] * 365 / days
    write_result(
        "backfill-minute-year-seconds",
        value=round(year),
        unit="s",
        # A year at the rate that the first figure asks for.
        goal=round(100 * 365 * 1_440 / GOAL_ROWS_PER_SECOND),
        higher_is_better=False,
        runs=[round(year)],
        command=COMMAND,
        details={
            "extrapolated": f"from {days} days, which took {run['seconds']:.1f} s",
            "instruments": case.instruments,
            "archive_bytes": size,
            "run": run,
        },
    )


def main(rounds: int = 3, only: str = "") -> None:
    """Measure all three, or `rate`, `daily` or `year` only, and write the figures."""
    cases = {
        "rate": lambda server: bars_per_second(server, rounds),
        "daily": lambda server: daily_bars(server, rounds),
        "year": year_of_minutes,
    }
    with TimescaleServer(DATABASE_SETTINGS) as server:
        for name, measure_case in cases.items():
            if only in ("", name):
                measure_case(server)


if __name__ == "__main__":
    typer.run(main)
