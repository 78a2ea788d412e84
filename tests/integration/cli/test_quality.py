"""The quality report on a real database: what is counted, what is named, what it ends with."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support_cli_cluster import Person, place_feed
from support_operator import Server
from typer.testing import CliRunner, Result

from feedplane_api.worker import PostgresSinkConfig
from feedplane_cli.__main__ import app
from feedplane_cli.errors import ExitStatus
from feedplane_cluster.database import TimescaleServer
from feedplane_feeder.core.ports import Batch
from feedplane_feeder.records import Bar, Gap, Quarantined, Record, Trade
from feedplane_feeder.sinks.postgres import PostgresSink

BTC, ETH = "BTCUSDT.BINANCE-SPOT", "ETHUSDT.BINANCE-SPOT"
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
DAY = datetime(2026, 11, 18, tzinfo=UTC)
DAY_NS = int(DAY.timestamp()) * SECOND_NS


@dataclass
class Tape:
    """A database with a tape in it."""

    dsn: str
    folder: Path

    def write(self, *records: Record, **also: Any) -> None:
        """Write as a feeder does."""

        async def work() -> None:
            sink = PostgresSink(
                PostgresSinkConfig(dsn_env="FEEDPLANE_DSN"),
                venue="binance-spot",
                feed_source="trading/spot",
                account="main",
            )
            await sink.open()
            await sink.write(Batch(records=records, **also))
            await sink.close()

        asyncio.run(work())

    def report(self, *arguments: str) -> tuple[Result, dict[str, Any]]:
        """Ask for a report; what it printed, and its JSON form."""
        folder = self.folder / "quality"
        line = ["report", "quality", "-o", str(folder), *arguments]
        result = CliRunner().invoke(app, line, catch_exceptions=False)
        path = folder / "quality.json"
        return result, json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture
def tape(
    timescale: TimescaleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Tape]:
    dsn = timescale.create_database()
    monkeypatch.setenv("FEEDPLANE_DSN", dsn)
    yield Tape(dsn, tmp_path)
    timescale.drop_database(dsn.rpartition("/")[2])


def trade(number: int, instrument: str = BTC, *, late_seconds: float = 0.02) -> Trade:
    at = DAY_NS + number * SECOND_NS
    return Trade(
        instrument_id=instrument,
        ts_event=at,
        ts_recv=at + int(late_seconds * 1e9),
        trade_id=number,
        price="1.5",
        size="2",
        aggressor_side="B",
    )


def bar(minute: int, instrument: str = BTC) -> Bar:
    at = DAY_NS + minute * MINUTE_NS
    return Bar(
        instrument_id=instrument,
        interval="1m",
        ts_open=at,
        ts_event=at + MINUTE_NS - 1_000_000,
        ts_recv=at + MINUTE_NS + 40_000_000,
        open="1",
        high="2",
        low="1",
        close="2",
        volume="3",
        quote_volume="4",
        trade_count=5,
        taker_buy_volume="1",
        taker_buy_quote_volume="1",
        final=True,
    )


def at(minutes: float) -> str:
    return (DAY + timedelta(minutes=minutes)).isoformat()


def series_of(document: dict[str, Any], instrument: str, channel: str) -> dict[str, Any]:
    found = [
        one
        for one in document["series"]
        if (one["instrumentId"], one["channel"]) == (instrument, channel)
    ]
    assert len(found) == 1
    return dict(found[0])


def test_complete_tape_ends_with_zero_and_says_so(tape: Tape) -> None:
    tape.write(*(trade(number) for number in range(1, 501)), *map(bar, range(60)))
    result, document = tape.report("--from", at(0), "--to", at(60))
    assert result.exit_code == ExitStatus.HEALTHY, result.output
    assert document["severity"] == "None"
    assert series_of(document, BTC, "bar-1m")["expected"] == 60
    assert series_of(document, BTC, "trade")["missing"] == 0
    assert "complete: all 60 rows" in result.output
    assert "no bar of 1 series is overdue" in result.output
    page = (tape.folder / "quality/quality.html").read_text()
    assert "<svg" in page
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert (
        "| bar-1m | 1 | 0 | 60 | 60 | 0 | 0 | OK |"
        in (tape.folder / "quality/quality.md").read_text()
    )


@pytest.mark.parametrize(
    ("held", "severity", "code"),
    [(95, "None", 0), (94, "Warning", 0), (80, "Warning", 0), (79, "Error", 1)],
)
def test_missing_bars_are_judged_by_their_share(
    tape: Tape, held: int, severity: str, code: int
) -> None:
    tape.write(*map(bar, range(100 - held, 100)))
    result, document = tape.report("--from", at(0), "--to", at(100))
    assert series_of(document, BTC, "bar-1m")["missing"] == 100 - held
    assert document["severity"] == severity
    assert result.exit_code == code


def test_overdue_bar_is_an_error_after_ten_minutes(tape: Tape) -> None:
    tape.write(*map(bar, range(1_000)))
    result, document = tape.report("--from", at(0), "--to", at(1_011))
    # Bar 1,000 was due at minute 1,001: exactly ten minutes before the end of the range.
    assert series_of(document, BTC, "bar-1m")["overdueSeverity"] == "Warning"
    assert result.exit_code == ExitStatus.HEALTHY
    result, document = tape.report("--from", at(0), "--to", at(1_012))
    assert series_of(document, BTC, "bar-1m")["overdueSeverity"] == "Error"
    assert "overdue by 11.0 minutes" in result.output
    assert result.exit_code == ExitStatus.NOT_READY


def test_hole_in_the_numbers_is_counted_and_held_against_the_ledger(tape: Tape) -> None:
    kept = [number for number in range(1, 1_001) if not 300 <= number < 310]
    tape.write(*map(trade, kept))
    _, document = tape.report("--from", at(0), "--to", at(60))
    assert series_of(document, BTC, "trade")["missing"] == 10
    assert document["unnamedHoles"] == 1
    tape.write(
        gaps=[
            Gap(
                instrument_id=BTC,
                channel="trade",
                cause="sequence",
                detected_at=DAY_NS + 312 * SECOND_NS,
                from_id=300,
                to_id=309,
            )
        ]
    )
    result, document = tape.report("--from", at(0), "--to", at(60))
    assert document["unnamedHoles"] == 0
    assert document["gapsByCause"] == [
        {"channel": "trade", "cause": "sequence", "open": 1, "filled": 0, "unfillable": 0}
    ]
    assert "1 gaps are open" in result.output


def test_ids_below_zero_make_no_run(tape: Tape) -> None:
    tape.write(*(trade(number) for number in (-9, -500, -4)))
    _, document = tape.report("--from", at(-60), "--to", at(60))
    found = series_of(document, BTC, "trade")
    assert (found["rows"], found["expected"], found["missing"]) == (3, None, 0)


def test_quarantine_and_delays_stand_in_the_report(tape: Tape) -> None:
    spoiled = Quarantined(
        ts_recv=DAY_NS,
        venue="binance-spot",
        channel="trade",
        instrument_id=BTC,
        reason="Odd",
        raw="x",
    )
    slow = [trade(number, late_seconds=90) for number in range(100, 110)]
    tape.write(*map(trade, range(1, 100)), *slow, quarantined=[spoiled])
    _, document = tape.report("--from", at(0), "--to", at(60))
    (delay,) = document["delays"]
    assert delay["rows"] == 109
    assert delay["quantiles"] == [0.05, 0.05, 300.0]
    assert [one["reason"] for one in document["setAside"]] == ["Odd"]


def test_subscription_tells_what_should_be_there(
    tape: Tape, server: Server, namespace: str, admin: Person
) -> None:
    place_feed(server, namespace)
    server.merge(
        "Subscription",
        namespace,
        "majors",
        {"spec": {"instruments": ["BTCUSDT", "ETHUSDT"], "channels": ["trade", "bar-1m"]}},
    )
    tape.write(*map(trade, range(1, 100)), *map(bar, range(60)))
    folder = tape.folder / "majors"
    result = admin.run(
        *("report", "quality", "majors", "-o", str(folder), "--from", at(0), "--to", at(60))
    )
    assert result.exit_code == ExitStatus.NOT_READY
    assert f"{ETH} trade: wanted, and not a single row is there" in result.output
    document = json.loads((folder / "quality.json").read_text())
    assert document["title"] == "Quality of majors (spot, binance-spot)"
    assert series_of(document, ETH, "bar-1m")["missing"] == 60
    assert series_of(document, BTC, "bar-1m")["missing"] == 0


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"FEEDPLANE_DSN": ""}, "There is no connection string"),
        ({"FEEDPLANE_DSN": "postgresql://joe:hush-4711@127.0.0.1:1/none"}, "cannot be used"),
    ],
)
def test_database_that_is_not_there_is_named_without_its_password(
    environment: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["report", "quality"], catch_exceptions=False)
    assert result.exit_code in {ExitStatus.USAGE, ExitStatus.UNREACHABLE}
    assert words in result.output
    assert "hush" not in result.output


def test_database_without_a_tape_is_refused_with_advice(tape: Tape) -> None:
    result, _ = tape.report()
    assert result.exit_code == ExitStatus.REFUSED
    assert "--schema" in result.output
