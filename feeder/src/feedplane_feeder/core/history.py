"""What a backfill asks of a venue: which files, which pages, and the rows inside.

The venue's own part is pure: it names what to fetch and reads what came; somebody else fetches.
Rows are plain tuples whose first field is the time in microseconds, because a backfill reads a
hundred thousand of them a second; numbers stay the venue's own text.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, Protocol

from feedplane_feeder.records import Bar, ChannelKind, Metric, Record, Trade

BarRow = tuple[int, str, str, str, str, str, str, str, str, str, int]
"""ts_open, open, high, low, close, volume, quote_volume, trade_count, taker_buy_volume,
taker_buy_quote_volume, ts_close; times in microseconds."""
TradeRow = tuple[int, int, str, str, str, str, str]
"""ts_event, trade_id, first_id, last_id, aggressor_side, price, size."""
NO_ID: Final = "\\N"
"""Stands for a first_id or last_id that the venue does not have, as null does in COPY."""
MetricRow = tuple[int, str, str]
"""ts_event, name, value."""
HistoryRow = BarRow | TradeRow | MetricRow

MICROSECONDS_FROM: Final = 10**15
"""Times of this size and above are in microseconds, smaller ones in milliseconds."""
EARLIEST_US: Final = 10**15
LATEST_US: Final = 4_102_444_800_000_000
"""What a row's time must lie between."""
_HEADER: Final = re.compile(rb'["a-z_]+(,["a-z_]+)*(\r?\n|\Z)')


@dataclass(slots=True)
class Parsed:
    """What a run of bytes held."""

    rows: list[HistoryRow] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Reason and raw text of rows that cannot be true."""
    next_token: str = ""
    """What the venue wants to be told for the next page, where it pages by tokens."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Rows as the store takes them, in one of the forms it knows."""

    data: bytes
    form: Literal["text", "binary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BarLayout:
    """Which column of an archive's bars holds what, counted from 0."""

    columns: int
    """How many a line has."""
    opened: int
    closed: int
    """Times in milliseconds or microseconds, as `opened`."""
    trade_count: int
    numbers: tuple[int, int, int, int, int, int, int, int]
    """Open, high, low, close, volume, quote volume, taker's base volume, taker's quote volume."""
    longest_us: int
    """What the length of a bar must stay below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFile:
    """One file of the archive."""

    path: str
    """Below the archive's address; its checksum stands beside it."""
    start_ns: int
    end_ns: int
    """First moment after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One REST request of a series, and what is still wanted after it."""

    path: str
    weight: int
    symbol: str
    channel: str
    end_ns: int
    """First moment that is not wanted."""
    until_id: int | None = None
    """Last number that is wanted, where numbers are."""
    pool: str = ""
    """The venue's budget it counts against besides the weight, see `History.pools`."""
    series: str = ""
    """Which of a channel's series this is."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A limit on requests of one kind."""

    requests: int
    window_ns: int


class History(Protocol):
    """A venue's past."""

    venue: str
    pools: Mapping[str, Pool]

    def carries(self, channel: str) -> bool:
        """Tell whether there is any history of a channel."""

    def archive_files(
        self, symbol: str, channel: str, start_ns: int, end_ns: int, *, monthly: bool
    ) -> tuple[ArchiveFile, ...]:
        """Return the files that cover a range, of months or of days; empty where there are none."""

    def parse_archive(self, symbol: str, channel: str, block: bytes) -> Parsed:
        """Read whole lines of a file; a header is passed over."""

    def bar_layout(self, channel: str) -> BarLayout | None:
        """Return where lines of a channel's files have what; None where they are no plain bars."""

    def pages(self, symbol: str, channel: str, start_ns: int, end_ns: int) -> tuple[Page, ...]:
        """Return the first page of each series of a channel; empty where REST has none."""

    def id_page(self, symbol: str, first_id: int, last_id: int) -> Page:
        """Return the first page of a run of trades by number."""

    def first_page(self, symbol: str, at_ns: int) -> Page:
        """Return the page that holds the first trade at or after a moment, alone."""

    def listing_page(self, symbol: str) -> Page:
        """Return the page that holds an instrument's first bar ever, alone."""

    def parse_page(self, page: Page, body: bytes) -> Parsed:
        """Read the answer to a page.

        Raises:
            MalformedFrameError: not such an answer.
            VenueUnavailableError: the answer says no, where a status of 200 may do so.
        """

    def next_page(self, page: Page, parsed: Parsed) -> Page | None:
        """Return what to ask after an answer; None when all of it came."""

    def page_rows(self, channel: str) -> int:
        """Return how many rows one page brings at most."""


class RestHistory:
    """What a past has in common that is asked for by REST alone; a base of a `History`."""

    def archive_files(
        self, symbol: str, channel: str, start_ns: int, end_ns: int, *, monthly: bool
    ) -> tuple[ArchiveFile, ...]:
        """See `History`: there are no files."""
        del symbol, channel, start_ns, end_ns, monthly
        return ()

    def parse_archive(self, symbol: str, channel: str, block: bytes) -> Parsed:
        """See `History`: there are no files."""
        del symbol, channel, block
        return Parsed()

    def bar_layout(self, channel: str) -> BarLayout | None:
        """See `History`: there are no files."""
        del channel
        return None


class BarHistory(RestHistory):
    """The same, of bars alone; a base of a `History`."""

    def id_page(self, symbol: str, first_id: int, last_id: int) -> Page:
        """See `History`: nothing here has a number."""
        raise ValueError(f"no numbers here: {symbol} {first_id} {last_id}")

    def first_page(self, symbol: str, at_ns: int) -> Page:
        """See `History`: nothing here has a number."""
        raise ValueError(f"no numbers here: {symbol} {at_ns}")


def without_header(block: bytes) -> bytes:
    """Return lines without the names of columns that newer files begin with."""
    names = _HEADER.match(block)
    return block[names.end() :] if names else block


def build_records(
    channel: str, instrument_id: str, rows: Sequence[HistoryRow], ts_recv: int
) -> list[Record]:
    """Return rows of a channel as records of the tape; bars of a history are final."""
    kind, _, interval = channel.partition("-")
    builders: Mapping[str, Callable[..., Record]] = {
        ChannelKind.TRADE.value: _trade,
        ChannelKind.BAR.value: partial(_bar, interval),
        ChannelKind.METRIC.value: _metric,
    }
    build = builders[kind]
    return [build(instrument_id, ts_recv, *row) for row in rows]


def _trade(
    instrument_id: str, ts_recv: int, time: int, number: int, first: str, last: str, *rest: str
) -> Trade:
    side, price, size = rest
    return Trade(
        instrument_id=instrument_id,
        ts_event=time * 1_000,
        ts_recv=ts_recv,
        trade_id=number,
        price=price,
        size=size,
        aggressor_side=side,
        first_id=None if first == NO_ID else int(first),
        last_id=None if last == NO_ID else int(last),
    )


def _bar(interval: str, instrument_id: str, ts_recv: int, *row: Any) -> Bar:
    opened, first, high, low, last, volume, quote, count, base, taker, closed = row
    return Bar(
        instrument_id=instrument_id,
        interval=interval,
        ts_open=opened * 1_000,
        ts_event=closed * 1_000,
        ts_recv=ts_recv,
        open=first,
        high=high,
        low=low,
        close=last,
        volume=volume,
        quote_volume=quote,
        trade_count=int(count),
        taker_buy_volume=base,
        taker_buy_quote_volume=taker,
        final=True,
    )


def _metric(instrument_id: str, ts_recv: int, time: int, name: str, value: str) -> Metric:
    return Metric(
        instrument_id=instrument_id,
        name=name,
        ts_event=time * 1_000,
        ts_recv=ts_recv,
        value=value,
    )
