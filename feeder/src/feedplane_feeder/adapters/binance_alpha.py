"""Binance Alpha: past bars of its tokens by REST. Nothing live, and no archive.

What the venue leaves unsaid is not leant on: each request names both ends of a window that one
answer can hold whole, so that it matters neither in which order rows come nor which of them a
longer answer would lack. Trades are left out, since nothing says which of them a page begins with.

Source: client package binance-sdk-alpha 4.7.0 (paths, parameters, samples); read 2026-11-21. No
limit on requests is published; the one here is our own.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from feedplane_api.worker import Endpoints
from feedplane_feeder.adapters import binance_rows as rows
from feedplane_feeder.core.aside import RAW_LENGTH
from feedplane_feeder.core.history import BarHistory, History, Page, Parsed, Pool
from feedplane_feeder.core.intervals import next_open_ns
from feedplane_feeder.core.ports import Proof, VenueLimits
from feedplane_feeder.errors import (
    ImpossibleValueError,
    MalformedFrameError,
    VenueUnavailableError,
)
from feedplane_feeder.instruments import format_instrument_id
from feedplane_feeder.records import ChannelKind

NAME: Final = "binance-alpha"
ADDRESS: Final = "https://www.binance.com"
KLINES: Final = "/bapi/defi/v1/public/alpha-trade/klines"
LIMIT: Final = 1_500
WINDOW_BARS: Final = 1_000
"""Intervals a request spans; months are not all as long as the one they are counted by."""
# Its 15 seconds are no channel of ours.
INTERVALS: Final = frozenset(
    {
        *("1s", "1m", "3m", "5m", "15m", "30m"),
        *("1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"),
    }
)
_SUCCESS: Final = "000000"
_MILLISECOND_NS: Final = 1_000_000
_END: Final = re.compile(r"&endTime=(\d+)")


class Answer(msgspec.Struct):
    """The envelope of every answer."""

    code: str
    message: str | None = None
    data: list[Any] | None = None


class BinanceAlphaHistory(BarHistory):
    """See `History`."""

    venue = NAME
    proof = Proof.CONSTRUCTED

    def __init__(self) -> None:
        self.pools: Mapping[str, Pool] = {}

    def carries(self, channel: str) -> bool:
        """See `History`."""
        kind, _, interval = channel.partition("-")
        return kind == ChannelKind.BAR and interval in INTERVALS

    def pages(self, symbol: str, channel: str, start_ns: int, end_ns: int) -> tuple[Page, ...]:
        """See `History`."""
        page = Page(path="", weight=1, symbol=symbol, channel=channel, end_ns=end_ns)
        return (_window(page, -(-start_ns // _MILLISECOND_NS)),)

    def listing_page(self, symbol: str) -> Page:
        """See `History`: the newest days, which go back to before there was such a market."""
        path = f"{KLINES}?symbol={symbol}&interval=1d&limit={LIMIT}"
        return Page(path=path, weight=1, symbol=symbol, channel="bar-1d", end_ns=2**62)

    def parse_page(self, page: Page, body: bytes) -> Parsed:
        """See `History`.

        Raises:
            MalformedFrameError: not such an answer.
            VenueUnavailableError: the answer says no.
        """
        try:
            answer = msgspec.json.decode(body, type=Answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedFrameError(str(error), body) from error
        if answer.code != _SUCCESS:
            raise VenueUnavailableError(page.path, f"code {answer.code}: {answer.message}")
        parsed, longest_us = Parsed(), rows.longest_us(page.channel.partition("-")[2])
        for item in answer.data or ():
            try:
                parsed.rows.append(rows.build_bar(item, longest_us))
            except ImpossibleValueError as error:
                parsed.refused.append((error.reason, str(item)[:RAW_LENGTH]))
            except (ValueError, TypeError):
                parsed.refused.append(("MalformedRow", str(item)[:RAW_LENGTH]))
        parsed.rows.sort(key=lambda row: row[0])
        return parsed

    def next_page(self, page: Page, parsed: Parsed) -> Page | None:
        """See `History`: a window without rows says nothing on the one after it."""
        del parsed
        found = _END.search(page.path)
        start = int(found[1]) + 1 if found else page.end_ns
        return _window(page, start) if start * _MILLISECOND_NS < page.end_ns else None

    def page_rows(self, channel: str) -> int:
        """See `History`."""
        del channel
        return WINDOW_BARS


class BinanceAlpha:
    """See `PastVenue`."""

    venue = NAME
    endpoints = Endpoints(rest=ADDRESS)
    limits = VenueLimits(
        control_messages_per_second=1,
        streams_per_connection=0,
        connects_per_five_minutes=300,
        request_weight_per_minute=300,
        connection_life_seconds=86_400,
        ping_timeout_seconds=30,
        source="none is published; 300 requests a minute is our own",
    )
    exchange = None

    def __init__(self) -> None:
        self.history: History = BinanceAlphaHistory()

    def instrument_id(self, symbol: str) -> str:
        """See `PastVenue`."""
        return format_instrument_id(symbol, NAME)


VENUE: Final = BinanceAlpha()


def _window(page: Page, start: int) -> Page:
    interval = page.channel.partition("-")[2]
    length = next_open_ns(0, interval) // _MILLISECOND_NS
    end = min(page.end_ns // _MILLISECOND_NS, start + WINDOW_BARS * length) - 1
    path = (
        f"{KLINES}?symbol={page.symbol}&interval={interval}"
        f"&startTime={start}&endTime={end}&limit={LIMIT}"
    )
    return replace(page, path=path)
