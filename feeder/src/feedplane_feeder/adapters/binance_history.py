"""Binance's past: files of the public archive, and pages of the REST interface.

Trades are aggregate trades, as on the live tape; their times are cut to milliseconds, which is
what the tape has. Metrics are the futures' five series, under the archive's labels.

Source: binance-public-data (paths), binance-spot-api-docs rest-api.md, USDⓈ-M REST pages (limits
and weights); read 2026-11-21.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from feedplane_feeder.adapters import binance_rows as rows
from feedplane_feeder.core.aside import RAW_LENGTH
from feedplane_feeder.core.checks import read_decimal
from feedplane_feeder.core.chunks import DAY_NS
from feedplane_feeder.core.history import (
    ArchiveFile,
    BarLayout,
    Page,
    Parsed,
    Pool,
    without_header,
)
from feedplane_feeder.core.intervals import SECOND_NS, next_open_ns
from feedplane_feeder.errors import ImpossibleValueError, MalformedFrameError
from feedplane_feeder.records import ChannelKind

METRIC_POOL: Final = "metrics"
METRIC_LIMIT: Final = 500
METRIC_INTERVAL: Final = "5m"
# The ends of an answer's window are both included.
_MILLISECOND_NS: Final = 1_000_000
_MONTHLY_ONLY: Final = frozenset({"3d", "1w", "1M"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryDialect:
    """What is true of one market's past."""

    venue: str
    folder: str
    """Below `/data` of the archive."""
    rest: str
    bar_limit: int
    bar_weight: int
    """Of a page of `bar_limit` bars."""
    trade_weight: int
    series: Mapping[str, tuple[tuple[str, str], ...]]
    """REST path of a metric series -> its keys and the metrics they are."""


class BinanceHistory:
    """See `History`."""

    def __init__(self, dialect: HistoryDialect) -> None:
        self._dialect = dialect
        self.venue = dialect.venue
        self.pools: Mapping[str, Pool] = {METRIC_POOL: Pool(1_000, 300 * SECOND_NS)}

    def carries(self, channel: str) -> bool:
        """See `History`."""
        kind = channel.partition("-")[0]
        return kind in (ChannelKind.BAR, ChannelKind.TRADE) or (
            kind == ChannelKind.METRIC and bool(self._dialect.series)
        )

    def archive_files(
        self, symbol: str, channel: str, start_ns: int, end_ns: int, *, monthly: bool
    ) -> tuple[ArchiveFile, ...]:
        """See `History`."""
        kind, _, interval = channel.partition("-")
        if (monthly and kind == ChannelKind.METRIC) or (not monthly and interval in _MONTHLY_ONLY):
            return ()
        every = "1M" if monthly else "1d"
        name = {ChannelKind.TRADE: "aggTrades", ChannelKind.METRIC: "metrics"}.get(
            ChannelKind(kind), interval.replace("M", "mo")
        )
        place = f"klines/{symbol}/{name}" if interval else f"{name}/{symbol}"
        folder = f"/data/{self._dialect.folder}/{'monthly' if monthly else 'daily'}/{place}"
        files = []
        at_ns = _month_start(start_ns) if monthly else start_ns // DAY_NS * DAY_NS
        while at_ns < end_ns:
            after_ns = next_open_ns(at_ns, every)
            period = datetime.fromtimestamp(at_ns // SECOND_NS, UTC).strftime(
                "%Y-%m" if monthly else "%Y-%m-%d"
            )
            path = f"{folder}/{symbol}-{name}-{period}.zip"
            files.append(ArchiveFile(path=path, start_ns=at_ns, end_ns=after_ns))
            at_ns = after_ns
        return tuple(files)

    def parse_archive(self, symbol: str, channel: str, block: bytes) -> Parsed:
        """See `History`."""
        block = without_header(block)
        match channel.partition("-"):
            case (ChannelKind.TRADE, _, _):
                return rows.parse_trade_lines(block)
            case (ChannelKind.METRIC, _, _):
                return rows.parse_metric_lines(block)
            case (_, _, interval):
                return rows.parse_bar_lines(block, rows.longest_us(interval))

    def bar_layout(self, channel: str) -> BarLayout | None:
        """See `History`."""
        kind, _, interval = channel.partition("-")
        return rows.lay_out_bars(interval) if kind == ChannelKind.BAR else None

    def pages(self, symbol: str, channel: str, start_ns: int, end_ns: int) -> tuple[Page, ...]:
        """See `History`."""
        kind = channel.partition("-")[0]
        start = _milliseconds_up(start_ns)
        if kind == ChannelKind.TRADE:
            path = f"{self._trades(symbol)}&startTime={start}&limit=1000"
            return (self._page(path, self._dialect.trade_weight, symbol, channel, end_ns),)
        if kind == ChannelKind.METRIC:
            first = tuple(
                replace(self._page("", 0, symbol, channel, end_ns), pool=METRIC_POOL, series=series)
                for series in self._dialect.series
            )
            return tuple(_metric_page(page, start) for page in first)
        page = self._page("", self._dialect.bar_weight, symbol, channel, end_ns)
        return (self._bar_page(page, start),)

    def id_page(self, symbol: str, first_id: int, last_id: int) -> Page:
        """See `History`."""
        limit = min(1000, last_id - first_id + 1)
        path = f"{self._trades(symbol)}&fromId={first_id}&limit={limit}"
        weight = self._dialect.trade_weight
        page = self._page(path, weight, symbol, ChannelKind.TRADE.value, 2**62)
        return replace(page, until_id=last_id)

    def first_page(self, symbol: str, at_ns: int) -> Page:
        """See `History`."""
        path = f"{self._trades(symbol)}&startTime={_milliseconds_up(at_ns)}&limit=1"
        weight = self._dialect.trade_weight
        return self._page(path, weight, symbol, ChannelKind.TRADE.value, 2**62)

    def listing_page(self, symbol: str) -> Page:
        """See `History`."""
        path = f"{self._dialect.rest}/klines?symbol={symbol}&interval=1m&startTime=0&limit=1"
        return self._page(path, self._dialect.bar_weight, symbol, "bar-1m", 2**62)

    def parse_page(self, page: Page, body: bytes) -> Parsed:
        """See `History`."""
        try:
            document = msgspec.json.decode(body, type=list[Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedFrameError(str(error), body) from error
        parsed = Parsed()
        for item in document:
            try:
                self._read(page, item, parsed)
            except ImpossibleValueError as error:
                parsed.refused.append((error.reason, str(item)[:RAW_LENGTH]))
            except (ValueError, KeyError, TypeError, IndexError):
                parsed.refused.append(("MalformedRow", str(item)[:RAW_LENGTH]))
        return parsed

    def next_page(self, page: Page, parsed: Parsed) -> Page | None:
        """See `History`."""
        if not parsed.rows or "&limit=1&" in f"{page.path}&":
            return None
        last = parsed.rows[-1]
        if page.channel == ChannelKind.TRADE:
            number = int(last[1])
            over = page.until_id is not None and number >= page.until_id
            if over or last[0] * 1000 >= page.end_ns:
                return None
            return replace(page, path=f"{self._trades(page.symbol)}&fromId={number + 1}&limit=1000")
        interval = page.channel.partition("-")[2] or METRIC_INTERVAL
        start_ns = next_open_ns(last[0] * 1000, interval)
        if start_ns >= page.end_ns:
            return None
        start = start_ns // _MILLISECOND_NS
        if page.channel == ChannelKind.METRIC:
            return _metric_page(page, start)
        return self._bar_page(page, start)

    def page_rows(self, channel: str) -> int:
        """See `History`."""
        kind = channel.partition("-")[0]
        if kind == ChannelKind.METRIC:
            return METRIC_LIMIT
        return 1000 if kind == ChannelKind.TRADE else self._dialect.bar_limit

    def _read(self, page: Page, item: Any, parsed: Parsed) -> None:
        if page.channel == ChannelKind.TRADE:
            maker = "true" if item["m"] else "false"
            fields = [str(item[key]) for key in "apqflT"]
            parsed.rows.append(rows.build_trade((*fields, maker)))
        elif page.channel == ChannelKind.METRIC:
            time = rows.microseconds(int(item["timestamp"]))
            for key, name in self._dialect.series[page.series]:
                value = str(item[key])
                read_decimal(value)
                parsed.rows.append((time, name, value))
        else:
            interval = page.channel.partition("-")[2]
            parsed.rows.append(rows.build_bar(item, rows.longest_us(interval)))

    def _bar_page(self, page: Page, start: int) -> Page:
        interval = page.channel.partition("-")[2]
        end = page.end_ns // _MILLISECOND_NS - 1
        limit = self._dialect.bar_limit
        path = (
            f"{self._dialect.rest}/klines?symbol={page.symbol}&interval={interval}"
            f"&startTime={start}&endTime={end}&limit={limit}"
        )
        return replace(page, path=path)

    def _page(self, path: str, weight: int, symbol: str, channel: str, end_ns: int) -> Page:
        return Page(path=path, weight=weight, symbol=symbol, channel=channel, end_ns=end_ns)

    def _trades(self, symbol: str) -> str:
        return f"{self._dialect.rest}/aggTrades?symbol={symbol}"


SPOT_HISTORY: Final = BinanceHistory(
    HistoryDialect(
        venue="binance-spot",
        folder="spot",
        rest="/api/v3",
        bar_limit=1_000,
        bar_weight=2,
        trade_weight=4,
        series={},
    )
)
USDM_HISTORY: Final = BinanceHistory(
    HistoryDialect(
        venue="binance-usdm",
        folder="futures/um",
        rest="/fapi/v1",
        bar_limit=1_000,  # at 1,500 a bar costs a third more
        bar_weight=5,
        trade_weight=20,
        series={
            "openInterestHist": (
                ("sumOpenInterest", "open_interest"),
                ("sumOpenInterestValue", "open_interest_value"),
            ),
            "topLongShortAccountRatio": (("longShortRatio", "top_trader_account_ratio"),),
            "topLongShortPositionRatio": (("longShortRatio", "top_trader_position_ratio"),),
            "globalLongShortAccountRatio": (("longShortRatio", "account_ratio"),),
            "takerlongshortRatio": (("buySellRatio", "taker_volume_ratio"),),
        },
    )
)


def _metric_page(page: Page, start: int) -> Page:
    end = page.end_ns // _MILLISECOND_NS - 1
    path = (
        f"/futures/data/{page.series}?symbol={page.symbol}&period=5m"
        f"&startTime={start}&endTime={end}&limit={METRIC_LIMIT}"
    )
    return replace(page, path=path)


def _milliseconds_up(at_ns: int) -> int:
    return -(-at_ns // _MILLISECOND_NS)


def _month_start(at_ns: int) -> int:
    moment = datetime.fromtimestamp(at_ns // SECOND_NS, UTC)
    return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) * SECOND_NS
