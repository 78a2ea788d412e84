"""The venue's archive of past days: which files exist, their CSV, and the ZIP around it.

Source: binance-public-data (paths, columns, headers, units), read 2026-11-21.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from feedplane_simulator.bars import Bar
from feedplane_simulator.config import Market
from feedplane_simulator.instruments import Instrument
from feedplane_simulator.past import DAY_MS, Metrics, month_of
from feedplane_simulator.payloads import AggregateTrade, build_kline_row

MICROSECONDS_FROM_MS = 1_735_689_600_000
"""2025-01-01: spot files of this day and later have microseconds."""
HEADERS_FROM_MS = 1_654_041_600_000
"""2022-06-01: futures files of this day and later begin with a header."""
KLINE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore\n"
)
TRADE_HEADER = (
    "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
)
METRIC_HEADER = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,"
    "count_toptrader_long_short_ratio,sum_toptrader_long_short_ratio,count_long_short_ratio,"
    "sum_taker_long_short_vol_ratio\n"
)
_NAME = re.compile(
    r"(?P<symbol>[A-Z0-9]+)-(?P<kind>aggTrades|metrics|[0-9]+(?:s|m|h|d|w|mo))"
    r"-(?P<period>\d{4}-\d{2}(?:-\d{2})?)\.zip"
)
_FOLDERS = {Market.SPOT: "spot", Market.USDM: "futures/um"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveName:
    """What a path of the archive names."""

    symbol: str
    kind: str
    """`aggTrades`, `metrics` or the interval of bars, in the archive's spelling."""
    start_ms: int
    end_ms: int
    monthly: bool

    @property
    def interval(self) -> str:
        """The interval in the stream's spelling."""
        return self.kind.replace("mo", "M")


def parse_name(market: Market, path: str) -> ArchiveName | None:
    """Read a path below `/data/`; None where the archive has no such place."""
    folder, _, file = path.rpartition("/")
    match = _NAME.fullmatch(file)
    if match is None:
        return None
    symbol, kind, period = match["symbol"], match["kind"], match["period"]
    monthly = len(period) == 7
    every = "monthly" if monthly else "daily"
    place = {
        "aggTrades": f"aggTrades/{symbol}",
        "metrics": f"metrics/{symbol}",
    }.get(kind, f"klines/{symbol}/{kind}")
    if folder != f"{_FOLDERS[market]}/{every}/{place}":
        return None
    if kind == "metrics" and (monthly or market is Market.SPOT):
        return None
    if not monthly and kind in ("3d", "1w", "1mo"):
        return None
    try:
        first = datetime.strptime(period, "%Y-%m" if monthly else "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    start_ms = round(first.timestamp() * 1000)
    end_ms = month_of(start_ms)[1] if monthly else start_ms + DAY_MS
    return ArchiveName(symbol=symbol, kind=kind, start_ms=start_ms, end_ms=end_ms, monthly=monthly)


def published_ms(name: ArchiveName, delay_seconds: float) -> float:
    """Return when a file appears: the next day, a month's on the first Monday after it."""
    if delay_seconds < 0:
        return name.start_ms
    if not name.monthly:
        return name.end_ms + delay_seconds * 1000
    after = datetime.fromtimestamp(name.end_ms / 1000, UTC)
    monday = after + timedelta(days=-after.weekday() % 7)
    return monday.timestamp() * 1000 + delay_seconds * 1000


def render_klines(market: Market, instrument: Instrument, bars: Iterable[Bar]) -> str:
    """Write bars as the archive does."""
    lines = []
    for bar in bars:
        row = build_kline_row(instrument, bar)
        if _in_microseconds(market, bar.open_ms):
            row[0], row[6] = row[0] * 1000, row[6] * 1000 + 999
        lines.append(",".join(map(str, row)))
    return "".join(f"{line}\n" for line in lines)


def render_trades(market: Market, instrument: Instrument, trades: Iterable[AggregateTrade]) -> str:
    """Write aggregate trades as the archive does; microseconds have digits of their own."""
    spot = market is Market.SPOT
    lines = []
    for trade in trades:
        time = trade.time_ms
        if _in_microseconds(market, time):
            time = time * 1000 + trade.aggregate_id % 1000
        maker = str(trade.maker_buys) if spot else str(trade.maker_buys).lower()
        price, size = instrument.price_text(trade.price), instrument.size_text(trade.lots)
        best = ",True" if spot else ""
        lines.append(
            f"{trade.aggregate_id},{price},{size},{trade.first_id},{trade.last_id},{time},"
            f"{maker}{best}\n"
        )
    return "".join(lines)


def render_metrics(symbol: str, rows: Iterable[Metrics]) -> str:
    """Write the five series as the archive does."""
    lines = [METRIC_HEADER]
    for row in rows:
        time = datetime.fromtimestamp(row.time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        lines.append(
            f"{time},{symbol},{row.open_interest},{row.open_interest_value},"
            f"{row.top_account_ratio},{row.top_position_ratio},{row.account_ratio},"
            f"{row.taker_ratio}\n"
        )
    return "".join(lines)


def header_of(market: Market, name: ArchiveName) -> str:
    """Return the header a file begins with, if any."""
    if market is Market.SPOT or name.start_ms < HEADERS_FROM_MS or name.kind == "metrics":
        return ""
    return TRADE_HEADER if name.kind == "aggTrades" else KLINE_HEADER


def pack(file: str, text: str) -> bytes:
    """Return a ZIP with one CSV; the same text gives the same bytes."""
    packed = io.BytesIO()
    entry = zipfile.ZipInfo(file.removesuffix(".zip") + ".csv", date_time=(2020, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(entry, text, compresslevel=3)
    return packed.getvalue()


def checksum_line(file: str, packed: bytes) -> str:
    """Return the text of a `.CHECKSUM` file."""
    return f"{hashlib.sha256(packed).hexdigest()}  {file}\n"


def damage(kind: str, packed: bytes) -> bytes:
    """Return a file as a fault leaves it."""
    match kind:
        case "corrupt" | "rotten":
            middle = len(packed) // 2
            return (
                packed[:middle]
                + bytes(b ^ 0xFF for b in packed[middle:][:64])
                + packed[middle + 64 :]
            )
        case "partial":
            return packed[: len(packed) // 2]
        case _:
            return packed


def punch(text: str, rows: int = 10) -> str:
    """Return a CSV without some of its middle rows."""
    lines = text.splitlines(keepends=True)
    middle = len(lines) // 2
    return "".join(lines[:middle] + lines[middle + rows :])


def _in_microseconds(market: Market, at_ms: int) -> bool:
    return market is Market.SPOT and at_ms >= MICROSECONDS_FROM_MS
