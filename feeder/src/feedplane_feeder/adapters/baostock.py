"""BaoStock: past bars of mainland China's shares, daily and of minutes. No live data.

A protocol of its own over TCP: one request, one answer, after a login; one session per address, or
the venue bans it. Bars of a day open at its midnight in UTC and end with the market's close; bars
of minutes bear their own times. They are not adjusted for dividends, and a suspended day is a bar
without volume.

Source: client package baostock 0.9.4 (framing, types, fields), SDK manual (fields, codes), reports
of bans (limits, not official); read 2026-11-21.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from feedplane_api.worker import Endpoints
from feedplane_feeder.core.checks import check_bar
from feedplane_feeder.core.chunks import DAY_NS
from feedplane_feeder.core.exchange import Exchange
from feedplane_feeder.core.history import BarHistory, BarRow, History, Page, Parsed, Pool
from feedplane_feeder.core.intervals import SECOND_NS
from feedplane_feeder.core.ports import Proof, VenueLimits
from feedplane_feeder.errors import (
    CredentialsRefusedError,
    ImpossibleValueError,
    MalformedFrameError,
    VenueBannedError,
    VenueThrottledError,
    VenueUnavailableError,
)
from feedplane_feeder.instruments import format_instrument_id
from feedplane_feeder.records import ChannelKind

NAME: Final = "baostock"
ADDRESS: Final = "tcp://public-api.baostock.com:10030"
VERSION: Final = "00.9.40"
SOH: Final = "\x01"
END: Final = b"<![CDATA[]]>\n"
HEADER_LENGTH: Final = 21
PACKED: Final = frozenset({"96", "99", "9B", "9D"})
"""Types of answers whose body is compressed."""
PAGE_ROWS: Final = 2_000
FREQUENCIES: Final = {"5m": "5", "15m": "15", "30m": "30", "1h": "60", "1d": "d"}
"""Interval -> the venue's word for it."""
MINUTES: Final = {"5m": 5, "15m": 15, "30m": 30, "1h": 60}
MINUTES_A_DAY: Final = 240
DAY_FIELDS: Final = "date,open,high,low,close,volume,amount"
MINUTE_FIELDS: Final = "time,open,high,low,close,volume,amount"
NOT_ADJUSTED: Final = "3"
CHINA: Final = timedelta(hours=8)
CLOSE_US: Final = 7 * 3_600 * 1_000_000
"""15:00 in China, from midnight in UTC."""
DAY_US: Final = DAY_NS // 1_000
BAN_SECONDS: Final = 6 * 3_600.0
PAUSE_SECONDS: Final = 60.0
RAW_LENGTH: Final = 200
REQUESTS_A_DAY: Final = "day"
LISTING: Final = "listing"
DAYS: Final = "days"
USER: Final = "anonymous"

_OK: Final = "0"
_BANNED: Final = "10001011"
_TOO_MANY_LOGINS: Final = "10001005"
_LOGIN_CODES: Final = frozenset(
    f"1000{code}" for code in ("1002", "1003", "1006", "1007", "1008", "1009", "1012")
)


class BaoStockExchange:
    """See `Exchange`."""

    def hello(self) -> bytes:
        """See `Exchange`."""
        return frame("00", ("login", USER, "123456", "0"))

    def goodbye(self) -> bytes:
        """See `Exchange`."""
        return frame("02", ("logout", USER, "19700101000000"))

    def request(self, path: str) -> bytes:
        """See `Exchange`."""
        kind, method, *fields = path.split(" ")
        return frame(kind, (method, USER, *fields))

    def find_end(self, received: bytes) -> int | None:
        """See `Exchange`."""
        if len(received) < HEADER_LENGTH:
            return None
        kind, length = _read_header(received)
        # A packed body may hold the mark by chance.
        found = received.find(END, HEADER_LENGTH + (length if kind in PACKED else 0))
        return found + len(END) if found >= 0 else None

    def read(self, answer: bytes) -> bytes:
        """See `Exchange`."""
        kind, length = _read_header(answer)
        body = answer[HEADER_LENGTH : -len(END)]
        try:
            text = (zlib.decompress(body[:length]) if kind in PACKED else body).decode()
        except (zlib.error, UnicodeDecodeError) as error:
            raise MalformedFrameError(str(error), answer) from error
        fields = text.split(SOH)
        if fields[0] != _OK:
            raise _refusal(fields[0], fields[1] if len(fields) > 1 else "")
        # Of a login and a logout nothing but the code matters.
        return fields[6].encode() if len(fields) > 6 else b""


class BaoStockHistory(BarHistory):
    """See `History`."""

    venue = NAME
    proof = Proof.CONSTRUCTED

    def __init__(self) -> None:
        self.pools: Mapping[str, Pool] = {REQUESTS_A_DAY: Pool(50_000, DAY_NS)}

    def carries(self, channel: str) -> bool:
        """See `History`."""
        kind, _, interval = channel.partition("-")
        return kind == ChannelKind.BAR and interval in FREQUENCIES

    def pages(self, symbol: str, channel: str, start_ns: int, end_ns: int) -> tuple[Page, ...]:
        """See `History`."""
        interval = channel.partition("-")[2]
        fields = MINUTE_FIELDS if interval in MINUTES else DAY_FIELDS
        shift = CHINA if interval in MINUTES else timedelta()
        start, end = _date(start_ns, shift), _date(end_ns - 1, shift)
        path = (
            f"95 query_history_k_data_plus 1 {PAGE_ROWS} {symbol} {fields} {start} {end}"
            f" {FREQUENCIES[interval]} {NOT_ADJUSTED}"
        )
        return (_page(path, symbol, channel, end_ns),)

    def listing_page(self, symbol: str) -> Page:
        """See `History`."""
        path = f"45 query_stock_basic 1 {PAGE_ROWS} {symbol} "
        return replace(_page(path, symbol, "bar-1d", 2**62), series=LISTING)

    def days_page(self, start_ns: int, end_ns: int) -> Page:
        """See `TradingDays`."""
        start, end = _date(start_ns, timedelta()), _date(end_ns - 1, timedelta())
        path = f"33 query_trade_dates 1 {PAGE_ROWS} {start} {end}"
        return replace(_page(path, "", "bar-1d", end_ns), series=DAYS)

    def symbols_page(self, day_ns: int) -> Page:
        """Return the page that holds the instruments of a trading day."""
        path = f"35 query_all_stock 1 {PAGE_ROWS} {_date(day_ns, timedelta())}"
        return replace(_page(path, "", "", 2**62), series="symbols")

    def parse_page(self, page: Page, body: bytes) -> Parsed:
        """See `History`."""
        parsed = Parsed()
        for record in read_records(body):
            try:
                row = _read(page, record)
            except ImpossibleValueError as error:
                parsed.refused.append((error.reason, str(record)[:RAW_LENGTH]))
            except (ValueError, IndexError, OverflowError):
                parsed.refused.append(("MalformedRow", str(record)[:RAW_LENGTH]))
            else:
                if row is not None:
                    parsed.rows.append(row)
        return parsed

    def next_page(self, page: Page, parsed: Parsed) -> Page | None:
        """See `History`."""
        if page.series or len(parsed.rows) + len(parsed.refused) < PAGE_ROWS:
            return None
        kind, method, number, *rest = page.path.split(" ")
        return replace(page, path=" ".join((kind, method, str(int(number) + 1), *rest)))

    def page_rows(self, channel: str) -> int:
        """See `History`."""
        del channel
        return PAGE_ROWS

    def rows_of_days(self, channel: str, days: Sequence[int]) -> int:
        """See `TradingDays`."""
        minutes = MINUTES.get(channel.partition("-")[2])
        return len(days) * (MINUTES_A_DAY // minutes if minutes else 1)


class BaoStock:
    """See `PastVenue`."""

    venue = NAME
    endpoints = Endpoints(rest=ADDRESS)
    limits = VenueLimits(
        control_messages_per_second=1,
        streams_per_connection=0,
        connects_per_five_minutes=30,
        request_weight_per_minute=600,
        connection_life_seconds=86_400,
        ping_timeout_seconds=30,
        sessions_per_account=1,
        source="reports of bans: 50,000 requests a day, no parallel sessions (not official)",
    )

    def __init__(self) -> None:
        self.history: History = BaoStockHistory()
        self.exchange: Exchange = BaoStockExchange()

    def instrument_id(self, symbol: str) -> str:
        """See `PastVenue`."""
        return format_instrument_id(symbol, NAME)


VENUE: Final = BaoStock()


def frame(kind: str, fields: Sequence[str]) -> bytes:
    """Return a request as it goes over the line."""
    body = SOH.join(fields)
    text = f"{VERSION}{SOH}{kind}{SOH}{len(body):010d}{body}"
    return f"{text}{SOH}{zlib.crc32(text.encode())}\n".encode()


def read_records(body: bytes) -> list[list[str]]:
    """Return the rows of an answer's document.

    Raises:
        MalformedFrameError: no such document.
    """
    try:
        document = msgspec.json.decode(body, type=dict[str, Any])
        return msgspec.convert(document["record"], list[list[str]])
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError, UnicodeDecodeError) as error:
        raise MalformedFrameError(str(error), body) from error


def _read_header(answer: bytes) -> tuple[str, int]:
    parts = answer[:HEADER_LENGTH].decode("latin-1").split(SOH)
    if len(parts) != 3 or not parts[2].isascii() or not parts[2].isdecimal():
        raise MalformedFrameError("no header of an answer", answer)
    return parts[1], int(parts[2])


def _refusal(code: str, message: str) -> VenueUnavailableError | MalformedFrameError:
    reason = f"{code} {message}"
    if code == _BANNED:
        return VenueBannedError(ADDRESS, reason, BAN_SECONDS)
    if code == _TOO_MANY_LOGINS:
        return VenueThrottledError(ADDRESS, reason, PAUSE_SECONDS)
    if code in _LOGIN_CODES:
        return CredentialsRefusedError(ADDRESS, reason)
    if not code.isdecimal():
        return MalformedFrameError("no code of an answer", code.encode())
    return VenueUnavailableError(ADDRESS, reason)


# One row of any series; None for what is not wanted of it.
def _read(page: Page, record: list[str]) -> BarRow | tuple[int, str, str] | None:
    if page.series == DAYS:
        return (_day_us(record[0]), DAYS, record[1]) if record[1] == "1" else None
    if page.series == LISTING:
        return (_day_us(record[2]), LISTING, record[0])
    if page.series:
        return (0, record[0], record[1])
    time, first, high, low, last, volume, amount = record
    volume, amount = volume or "0", amount or "0"
    if not first:
        raise ImpossibleValueError("MissingValue")
    check_bar((first, high, low, last), (volume, amount, "0", "0"))
    minutes = MINUTES.get(page.channel.partition("-")[2])
    if minutes is None:
        opened = _day_us(time)
        closed = opened + CLOSE_US
    else:
        # Bars of minutes are named by their end.
        end = datetime.strptime(time[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC) - CHINA
        closed = int(end.timestamp()) * 1_000_000
        opened = closed - minutes * 60_000_000
    return (opened, first, high, low, last, volume, amount, "0", "0", "0", closed)


def _day_us(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}T00:00:00+00:00").timestamp()) * 1_000_000


def _date(at_ns: int, shift: timedelta) -> str:
    return f"{datetime.fromtimestamp(at_ns // SECOND_NS, UTC) + shift:%Y-%m-%d}"


def _page(path: str, symbol: str, channel: str, end_ns: int) -> Page:
    return Page(
        path=path, weight=1, symbol=symbol, channel=channel, end_ns=end_ns, pool=REQUESTS_A_DAY
    )
