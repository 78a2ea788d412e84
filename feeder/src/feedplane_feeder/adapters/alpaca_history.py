"""Alpaca's past: trades and bars of the REST interface, page by page.

Every answer names the next page by a token; prices come as numbers and are taken as printed.

Source: docs.alpaca.markets "Historical Stock Data", read 2026-11-21.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import msgspec

from feedplane_feeder.adapters.alpaca_frames import (
    BarMessage,
    TradeMessage,
    build_bar,
    build_trade,
)
from feedplane_feeder.core.aside import RAW_LENGTH
from feedplane_feeder.core.history import NO_ID, HistoryRow, Page, Parsed, Pool, RestHistory
from feedplane_feeder.core.intervals import SECOND_NS, next_open_ns
from feedplane_feeder.errors import ImpossibleValueError, MalformedFrameError
from feedplane_feeder.records import ChannelKind

PAGE_ROWS: Final = 10_000
TIMEFRAMES: Final[Mapping[str, str]] = {
    "1m": "1Min",
    "5m": "5Min",
    "15m": "15Min",
    "30m": "30Min",
    "1h": "1Hour",
    "1d": "1Day",
    "1w": "1Week",
    "1M": "1Month",
}


class AlpacaHistory(RestHistory):
    """See `History`."""

    venue = "alpaca"
    pools: Mapping[str, Pool] = {}

    def carries(self, channel: str) -> bool:
        """See `History`."""
        kind, _, interval = channel.partition("-")
        return kind == ChannelKind.TRADE or (kind == ChannelKind.BAR and interval in TIMEFRAMES)

    def pages(self, symbol: str, channel: str, start_ns: int, end_ns: int) -> tuple[Page, ...]:
        """See `History`."""
        if not self.carries(channel) or start_ns >= end_ns:
            return ()
        return (_page(symbol, channel, start_ns, end_ns, PAGE_ROWS),)

    def id_page(self, symbol: str, first_id: int, last_id: int) -> Page:
        """See `History`; the venue cannot be asked by number, so this page is empty."""
        return _page(symbol, ChannelKind.TRADE.value, 0, SECOND_NS, 1)

    def first_page(self, symbol: str, at_ns: int) -> Page:
        """See `History`."""
        return _page(symbol, ChannelKind.TRADE.value, at_ns, 2**62, 1)

    def listing_page(self, symbol: str) -> Page:
        """See `History`."""
        return _page(symbol, "bar-1m", 0, 2**62, 1)

    def parse_page(self, page: Page, body: bytes) -> Parsed:
        """See `History`."""
        try:
            document = _decoder.decode(body)
            rows = document.get(page.series)
            if isinstance(rows, dict):
                rows = rows.get(page.symbol)
            items = [] if rows is None else list(rows)
        except (msgspec.DecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
            raise MalformedFrameError(str(error), body) from error
        parsed = Parsed(next_token=str(document.get("next_page_token") or ""))
        for item in items:
            try:
                row = _read(page, item)
            except ImpossibleValueError as error:
                parsed.refused.append((error.reason, str(item)[:RAW_LENGTH]))
            except (ValueError, TypeError, AttributeError):
                parsed.refused.append(("MalformedRow", str(item)[:RAW_LENGTH]))
            else:
                # The venue's end is included, ours is not.
                if row[0] * 1_000 < page.end_ns:
                    parsed.rows.append(row)
        return parsed

    def next_page(self, page: Page, parsed: Parsed) -> Page | None:
        """See `History`."""
        if not parsed.next_token or "&limit=1&" in f"{page.path}&":
            return None
        head = page.path.partition("&page_token=")[0]
        return replace(page, path=f"{head}&page_token={quote(parsed.next_token, safe='')}")

    def page_rows(self, channel: str) -> int:
        """See `History`."""
        return PAGE_ROWS


HISTORY: Final = AlpacaHistory()
_decoder: Final = msgspec.json.Decoder(dict[str, Any], float_hook=str)


def _page(symbol: str, channel: str, start_ns: int, end_ns: int, limit: int) -> Page:
    interval = channel.partition("-")[2]
    series = "bars" if interval else "trades"
    frame = f"&timeframe={TIMEFRAMES[interval]}&adjustment=raw" if interval else ""
    until = "" if end_ns >= 2**62 else f"&end={_moment(end_ns)}"
    path = (
        f"/v2/stocks/{series}?symbols={quote(symbol, safe='')}&start={_moment(start_ns)}{until}"
        f"{frame}&sort=asc&limit={limit}"
    )
    return Page(path=path, weight=1, symbol=symbol, channel=channel, end_ns=end_ns, series=series)


def _moment(at_ns: int) -> str:
    seconds, nanos = divmod(at_ns, SECOND_NS)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{nanos:09d}Z"


def _read(page: Page, item: Any) -> HistoryRow:
    if page.series == "trades":
        message = msgspec.convert({**item, "T": "t", "S": page.symbol}, TradeMessage)
        trade = build_trade(message, page.symbol, 0)
        at = trade.ts_event // 1_000
        return (at, trade.trade_id, NO_ID, NO_ID, trade.aggressor_side, trade.price, trade.size)
    interval = page.channel.partition("-")[2]
    bar = build_bar(
        msgspec.convert({**item, "T": "b", "S": page.symbol}, BarMessage), page.symbol, 0
    )
    return (
        bar.ts_open // 1_000,
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        bar.quote_volume,
        str(bar.trade_count),
        bar.taker_buy_volume,
        bar.taker_buy_quote_volume,
        next_open_ns(bar.ts_open, interval) // 1_000,
    )
