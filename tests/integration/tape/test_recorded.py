"""Recorded frames, replayed once through venue, feeder and database: exactly the expected rows.

What is expected is computed here from the frames' own text, never by the feeder's parser. The
replay moves times to now and leaves ids, prices and sizes as they are.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rig import Venue, feeder, venue, wait_for
from trial import DSN_ENV, Trial

from feedplane_cluster.database import TimescaleServer

CONSTRUCTED = Path(__file__).parent / "fixtures"
LINE = re.compile(r"^\d+\.\d+: (\{.*\})$")
KINDS = {"aggTrade": "trade", "bookTicker": "quote", "depth@100ms": "book", "kline_1m": "bar-1m"}
MINUTE_MS = 60_000

pytestmark = pytest.mark.timeout(180)


class Recorded(NamedTuple):
    """One recorded frame: `data` with every number as it was written."""

    symbol: str
    channel: str
    data: dict[str, Any]


@pytest.fixture
def recordings() -> Path:
    return Path(os.environ.get("FEEDPLANE_RECORDINGS", str(CONSTRUCTED)))


@pytest.mark.parametrize("timescale", [True, False], ids=["timescaledb", "plain-postgresql"])
def test_recorded_frames_become_exactly_their_rows(
    recordings: Path, server: TimescaleServer, timescale: bool
) -> None:
    frames = {market: read_frames(recordings, market) for market in ("spot", "usdm")}
    args = ("--recordings", str(recordings), "--no-recorded-pace", "--no-recordings-loop")
    with venue(rate=0, args=(*args, "--id-base", "0")) as running:
        dsn = server.create_database(timescale=timescale)
        trials = [make_trial(running, dsn, market, frames[market]) for market in frames]
        replay(running, trials, sum(map(len, frames.values())))
        for trial in trials:
            check_rows(trial, frames[trial.market])
        assert running.ask("/violations") == []
    (found,) = trials[0].fetch("select count(*) from pg_extension where extname = 'timescaledb'")
    assert found["count"] == int(timescale)
    (set_aside,) = trials[0].fetch("select count(*) from feedplane.quarantine")
    assert set_aside["count"] == 0


def read_frames(folder: Path, market: str) -> list[Recorded]:
    """Read a market's newest recording of a folder."""
    path = max(folder.glob(f"{market}*.ws.txt"))
    frames = []
    for line in path.read_text().splitlines()[1:]:
        matched = LINE.match(line)
        # Numbers stay text, so that nothing is rounded on the way.
        frame = json.loads(matched[1], parse_float=str) if matched else {}
        if "stream" in frame:
            symbol, _, stream = frame["stream"].partition("@")
            frames.append(Recorded(symbol.upper(), KINDS[stream], frame["data"]))
    assert frames
    return frames


def make_trial(at: Venue, dsn: str, market: str, frames: list[Recorded]) -> Trial:
    """Want every channel that a recording has, its holes left as they are."""
    wanted: dict[str, set[str]] = {}
    for frame in frames:
        wanted.setdefault(frame.symbol, set()).add(frame.channel)
    trial = Trial(at, dsn, market=market)
    trial.config["wanted"] = [
        {"symbol": symbol, "channels": sorted(channels), "manualRepair": sorted(channels)}
        for symbol, channels in wanted.items()
    ]
    return trial


def replay(running: Venue, trials: list[Trial], frame_count: int) -> None:
    """Subscribe everything, then let the recordings run once to their end."""
    with ExitStack() as stack:
        feeders = [
            stack.enter_context(feeder(trial.config, {DSN_ENV: trial.dsn})) for trial in trials
        ]
        wanted = sum(len(line["channels"]) for trial in trials for line in trial.config["wanted"])
        log = feeders[0].program.log
        wait_for(lambda: len(subscribed(running)) == wanted, 60, "all subscriptions", log)
        running.ask("/rate", {"spot": 400, "usdm": 400})
        wait_for(lambda: delivered(running) >= frame_count, 60, "the end of the recordings", log)
        for trial, fed in zip(trials, feeders, strict=True):
            trial.end(fed)


def subscribed(running: Venue) -> list[str]:
    """Return the streams that connections hold at the venue."""
    return [stream for each in running.ask("/connections") for stream in each["streams"]]


def delivered(running: Venue) -> int:
    """Return how many frames the venue has written to sockets."""
    return sum(window["count"] for row in running.ask("/truth") for window in row["delivered"])


def check_rows(trial: Trial, frames: list[Recorded]) -> None:
    """Hold every table against the frames, as text."""
    venue_name = f"BINANCE-{trial.market.upper()}"
    where = f"where instrument_id like '%.{venue_name}'"
    select = "select split_part(instrument_id, '.', 1) as symbol,"
    trades = trial.fetch(
        f"{select} trade_id, price::text, size::text, aggressor_side, first_id, last_id"
        f" from feedplane.trades {where}"
    )
    assert counted(trades) == counted(expect_trades(frames))
    quotes = trial.fetch(
        f"{select} sequence, bid_price::text, bid_size::text, ask_price::text, ask_size::text"
        f" from feedplane.quotes {where}"
    )
    assert counted(quotes) == counted(expect_quotes(frames))
    books = trial.fetch(
        f"{select} first_id, last_id, previous_last_id, bids::text, asks::text"
        f" from feedplane.book_deltas {where} and not snapshot"
    )
    for row in books:
        row |= {"bids": render(json.loads(row["bids"])), "asks": render(json.loads(row["asks"]))}
    assert counted(books) == counted(expect_books(frames))
    bars = trial.fetch(
        f"{select} rank() over (partition by instrument_id order by ts_open)::int as number,"
        " open::text, high::text, low::text, close::text, volume::text, quote_volume::text,"
        " taker_buy_volume::text, taker_buy_quote_volume::text, trade_count, final"
        f" from feedplane.bars {where} and interval = '1m'"
    )
    assert counted(bars) == counted(expect_bars(frames))
    gaps = trial.fetch(f"{select} channel from feedplane.gaps {where}")
    assert Counter((row["symbol"], row["channel"]) for row in gaps) == expect_gaps(frames)


def counted(rows: Iterable[dict[str, Any]]) -> Counter[tuple[tuple[str, Any], ...]]:
    """Return rows as a bag, so that a doubled one is seen."""
    return Counter(tuple(sorted(row.items())) for row in rows)


def render(levels: list[list[str]]) -> str:
    """Return levels as text with one spelling."""
    return json.dumps(levels, separators=(",", ":"))


def of_kind(frames: list[Recorded], channel: str) -> list[Recorded]:
    """Return the frames of one channel."""
    return [frame for frame in frames if frame.channel == channel]


def expect_trades(frames: list[Recorded]) -> list[dict[str, Any]]:
    """Return one row per number."""
    rows = {
        (symbol, data["a"]): {
            "symbol": symbol,
            "trade_id": data["a"],
            "price": data["p"],
            "size": data["q"],
            "aggressor_side": "S" if data["m"] else "B",
            "first_id": data["f"],
            "last_id": data["l"],
        }
        for symbol, _, data in of_kind(frames, "trade")
    }
    return list(rows.values())


def expect_quotes(frames: list[Recorded]) -> list[dict[str, Any]]:
    """Return one row per update."""
    rows = {
        (symbol, data["u"]): {
            "symbol": symbol,
            "sequence": data["u"],
            "bid_price": data["b"],
            "bid_size": data["B"],
            "ask_price": data["a"],
            "ask_size": data["A"],
        }
        for symbol, _, data in of_kind(frames, "quote")
    }
    return list(rows.values())


def expect_books(frames: list[Recorded]) -> list[dict[str, Any]]:
    """Return one row per delta, its levels as the venue printed them."""
    return [
        {
            "symbol": symbol,
            "first_id": data["U"],
            "last_id": data["u"],
            "previous_last_id": data.get("pu"),
            "bids": render(data["b"]),
            "asks": render(data["a"]),
        }
        for symbol, _, data in of_kind(frames, "book")
    ]


def expect_bars(frames: list[Recorded]) -> list[dict[str, Any]]:
    """Return the newest state of each bar, numbered per instrument."""
    newest: dict[str, dict[int, dict[str, Any]]] = {}
    for symbol, _, data in of_kind(frames, "bar-1m"):
        newest.setdefault(symbol, {})[data["k"]["t"]] = data["k"]
    return [
        {
            "symbol": symbol,
            "number": number,
            "open": bar["o"],
            "high": bar["h"],
            "low": bar["l"],
            "close": bar["c"],
            "volume": bar["v"],
            "quote_volume": bar["q"],
            "taker_buy_volume": bar["V"],
            "taker_buy_quote_volume": bar["Q"],
            "trade_count": bar["n"],
            "final": bar["x"],
        }
        for symbol, bars in newest.items()
        for number, (_, bar) in enumerate(sorted(bars.items()), 1)
    ]


def expect_gaps(frames: list[Recorded]) -> Counter[tuple[str, str]]:
    """Return how many holes the recordings' own numbers have, by symbol and channel."""
    holes: Counter[tuple[str, str]] = Counter()
    last: dict[tuple[str, str], int] = {}
    for symbol, channel, data in frames:
        key = (symbol, channel)
        if channel == "trade":
            begins, ends = data["a"], data["a"]
        elif channel == "book":
            begins, ends = data.get("pu", data["U"] - 1) + 1, data["u"]
        elif channel == "bar-1m":
            # A bar that did not end is expected again; one that did, no more.
            begins = data["k"]["t"] // MINUTE_MS
            ends = begins if data["k"]["x"] else begins - 1
        else:
            continue
        holes[key] += key in last and begins > last[key] + 1
        last[key] = max(ends, last.get(key, ends))
    return +holes
