"""EastMoney's past: klines by REST, one answer a range.

A kline is labelled by its end where it is of minutes, by its date where it is of days; ours are
labelled by their start, days at midnight UTC of that date. Volumes are in lots.

Source: no description is published; parameters and order of fields as public clients read them
(akshare 1.19, efinance 0.5), read 2026-11-21.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from feedplane_feeder.adapters.eastmoney_frames import SHANGHAI, secid
from feedplane_feeder.core.aside import RAW_LENGTH
from feedplane_feeder.core.checks import check_bar
from feedplane_feeder.core.history import BarRow, Page, Parsed, Pool, RestHistory
from feedplane_feeder.errors import ImpossibleValueError, MalformedFrameError
from feedplane_feeder.records import ChannelKind

KINDS: Final[Mapping[str, tuple[int, int]]] = {
    "1m": (1, 1),
    "5m": (5, 5),
    "15m": (15, 15),
    "30m": (30, 30),
    "1h": (60, 60),
    "1d": (101, 24 * 60),
}
"""Interval -> the venue's `klt`, minutes."""
PAGE_ROWS: Final = 5_000
SECOND_NS: Final = 1_000_000_000
NO_DATA: Final = 100
"""The `rc` of an instrument that has none."""
MARKET_MINUTES: Final = 240
"""Of a trading day, in two halves."""
INDEX: Final = "1.000001"
"""The Shanghai index: a kline on each trading day of the three exchanges, and on no other."""
ALL: Final = ("0", "20500101")
FIRST: Final = "first"


class _Klines(Struct):
    klines: list[str]
    dktotal: int = 0


class _Answer(Struct):
    rc: int
    data: _Klines | None = None


class EastMoneyHistory(RestHistory):
    """See `History`."""

    venue = "eastmoney"
    pools: Mapping[str, Pool] = {}

    def carries(self, channel: str) -> bool:
        """See `History`."""
        kind, _, interval = channel.partition("-")
        return kind == ChannelKind.BAR and interval in KINDS

    def pages(self, symbol: str, channel: str, start_ns: int, end_ns: int) -> tuple[Page, ...]:
        """See `History`."""
        if not self.carries(channel) or start_ns >= end_ns:
            return ()
        days = (_day(start_ns), _day(end_ns - 1))
        return (_page(symbol, channel, days, start_ns, end_ns),)

    def id_page(self, symbol: str, first_id: int, last_id: int) -> Page:
        """See `History`; there are no trades to ask for, so this page is empty."""
        return _page(symbol, "bar-1d", ("19900101", "19900101"), 0, 0)

    def first_page(self, symbol: str, at_ns: int) -> Page:
        """See `History`; as `id_page`."""
        return self.id_page(symbol, 0, 0)

    def listing_page(self, symbol: str) -> Page:
        """See `History`."""
        return _page(symbol, "bar-1d", ALL, 0, 2**62, series=FIRST)

    def days_page(self, start_ns: int, end_ns: int) -> Page:
        """See `TradingDays`."""
        return _page(INDEX, "bar-1d", (_day(start_ns), _day(end_ns - 1)), start_ns, end_ns)

    def rows_of_days(self, channel: str, days: Sequence[int]) -> int:
        """See `TradingDays`."""
        _, minutes = KINDS[channel.partition("-")[2]]
        return len(days) * max(1, MARKET_MINUTES // minutes)

    def parse_page(self, page: Page, body: bytes) -> Parsed:
        """See `History`."""
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedFrameError(str(error), body) from error
        if answer.rc == NO_DATA and answer.data is None:
            return Parsed()
        # A venue that has had enough of us answers that all is well and nothing is there.
        if answer.rc != 0 or answer.data is None:
            raise MalformedFrameError("no klines and no word why", body)
        if not answer.data.klines and answer.data.dktotal == 0:
            raise MalformedFrameError("an instrument without any kline", body)
        parsed = Parsed()
        start_us = 0 if page.series == FIRST else int(page.series) // 1_000
        for text in answer.data.klines:
            try:
                row = _read(text, page.channel.partition("-")[2])
            except ImpossibleValueError as error:
                parsed.refused.append((error.reason, text[:RAW_LENGTH]))
                continue
            if start_us <= row[0] < page.end_ns // 1_000:
                parsed.rows.append(row)
        if page.series == FIRST:
            del parsed.rows[1:]
        return parsed

    def next_page(self, page: Page, parsed: Parsed) -> Page | None:
        """See `History`; one answer holds all."""
        return None

    def page_rows(self, channel: str) -> int:
        """See `History`."""
        return PAGE_ROWS


HISTORY: Final = EastMoneyHistory()


def _page(
    symbol: str,
    channel: str,
    days: tuple[str, str],
    start_ns: int,
    end_ns: int,
    *,
    series: str = "",
) -> Page:
    klt, _ = KINDS[channel.partition("-")[2]]
    # Whole days are asked for; the series remembers where what is wanted begins.
    path = (
        f"/api/qt/stock/kline/get?secid={secid(symbol)}&klt={klt}&fqt=0&beg={days[0]}"
        f"&end={days[1]}&fields1=f1,f2,f3,f4,f5,f6"
        f"&fields2=f51,f52,f53,f54,f55,f56,f57"
    )
    return Page(
        path=path,
        weight=1,
        symbol=symbol,
        channel=channel,
        end_ns=end_ns,
        series=series or str(start_ns),
    )


def _day(at_ns: int) -> str:
    at = datetime.fromtimestamp(at_ns // SECOND_NS, UTC)
    return at.astimezone(SHANGHAI).strftime("%Y%m%d")


def _read(text: str, interval: str) -> BarRow:
    fields = text.split(",")
    if len(fields) < 7:
        raise ImpossibleValueError("MalformedRow")
    label, first, last, high, low, volume, turnover = fields[:7]
    check_bar((first, high, low, last), (volume, turnover))
    minutes = KINDS[interval][1]
    start = _start(label, minutes, daily=interval == "1d")
    start_us = int(start.timestamp()) * 1_000_000
    end_us = start_us + minutes * 60_000_000 - 1
    return (start_us, first, high, low, last, volume, turnover, "0", "0", "0", end_us)


def _start(label: str, minutes: int, *, daily: bool) -> datetime:
    try:
        if daily:
            return datetime.strptime(label, "%Y-%m-%d").replace(tzinfo=UTC)
        end = datetime.strptime(label, "%Y-%m-%d %H:%M").replace(tzinfo=SHANGHAI)
        return end - timedelta(minutes=minutes)
    except (ValueError, OverflowError):
        raise ImpossibleValueError("ImpossibleTime") from None
