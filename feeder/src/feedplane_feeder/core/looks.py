"""Looks: what a venue without single events says of an instrument, and what of it is news.

Polled and pushed services tell the present state again and again. A look that says what the last
one said is a sign of life and no record, also when its time moved on. The same look gives the
same record to every account that meets it, so copies collide. Whether looks are in order is the
tape's matter. Pure; must not know venues, polls or connections.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zlib import crc32

import msgspec
from msgspec import Raw

from feedplane_feeder.core.aside import RAW_LENGTH
from feedplane_feeder.core.checks import check_quote, read_decimal
from feedplane_feeder.core.ports import Channel, Received
from feedplane_feeder.errors import ImpossibleValueError
from feedplane_feeder.records import (
    ChannelKind,
    Quarantined,
    Quote,
    Snapshot,
    snapshot_fingerprint,
)

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
YEARS: Final = range(2001, 2100)
SECOND_NS: Final = 1_000_000_000
DIGEST_BITS: Final = 31
"""Below the seconds in a quote's sequence; both together fit a signed 64 bit until 2106."""
AHEAD_NS: Final = 3_600 * SECOND_NS
"""A clock may be wrong; a time this far ahead is."""
LEVELS: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a service says of one instrument at one time; None is what it does not tell."""

    time_ns: int
    last: str | None = None
    bid_price: str | None = None
    bid_size: str | None = None
    ask_price: str | None = None
    ask_size: str | None = None
    volume: str | None = None
    """Traded today so far, in the venue's own unit."""
    turnover: str | None = None
    open: str | None = None
    high: str | None = None
    low: str | None = None
    average: str | None = None
    previous_close: str | None = None
    upper_limit: str | None = None
    lower_limit: str | None = None
    bids: tuple[tuple[str, str], ...] = ()
    """Levels behind the best one."""
    asks: tuple[tuple[str, str], ...] = ()

    def values(self) -> tuple[object, ...]:
        """Return everything but the time."""
        return (
            *(self.last, self.bid_price, self.bid_size, self.ask_price, self.ask_size),
            *(self.volume, self.turnover, self.open, self.high, self.low, self.average),
            *(self.previous_close, self.upper_limit, self.lower_limit, self.bids, self.asks),
        )


def read_local_time(text: str, zone: tzinfo, form: str | None = None) -> int:
    """Return nanoseconds of an ISO time, or of one in `form`; local where it names no zone.

    Raises:
        ImpossibleValueError: ImpossibleTime.
    """
    try:
        at = datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007
        since = (at if at.tzinfo else at.replace(tzinfo=zone)) - EPOCH
    except (ValueError, OverflowError):
        raise ImpossibleValueError("ImpossibleTime") from None
    if at.year not in YEARS:
        raise ImpossibleValueError("ImpossibleTime")
    return (since // timedelta(microseconds=1)) * 1_000


class Watched:
    """One instrument of a connection: which channels are wanted of it, and what it said last."""

    __slots__ = (
        "_acknowledged",
        "_quote",
        "_refused",
        "_values",
        "_zone",
        "channels",
        "frames",
        "instrument_id",
        "misses",
    )

    def __init__(self, instrument_id: str, zone: tzinfo) -> None:
        self.instrument_id = instrument_id
        self.channels: tuple[Channel, ...] = ()
        self.frames = 0
        """Good looks so far."""
        self.misses = 0
        """Answers in a row that should have held it and did not."""
        self._zone = zone
        self._acknowledged: set[Channel] = set()
        self._values: tuple[object, ...] = ()
        self._quote: tuple[str, str, str, str] | None = None
        self._refused = ""

    def want(self, channels: Iterable[Channel]) -> None:
        """Set the channels that are wanted; a new one starts with its first look."""
        wanted = tuple(channels)
        if set(wanted).difference(self.channels):
            self._values, self._quote = (), None
        self.channels = wanted
        self._acknowledged.intersection_update(wanted)

    def renew(self, channel: Channel) -> None:
        """Let a channel be confirmed by its next look again."""
        self._acknowledged.discard(channel)

    def take(self, look: Look, ts_recv: int, received: Received) -> None:
        """Take a look in: what is new in it becomes records.

        Raises:
            ImpossibleValueError: a value that cannot be true; nothing is taken.
        """
        check_look(look)
        if look.time_ns > ts_recv + AHEAD_NS:
            raise ImpossibleValueError("FutureTime")
        for channel in self.channels:
            if channel not in self._acknowledged:
                self._acknowledged.add(channel)
                received.acknowledged.append(channel)
        self.frames += 1
        self.misses = 0
        self._refused = ""
        before = len(received.records)
        for channel in self.channels:
            self._record(channel.name, look, ts_recv, received)
        if len(received.records) == before:
            received.unchanged += 1

    def set_aside(
        self, venue: str, reason: str, text: str, ts_recv: int, received: Received
    ) -> None:
        """Keep what cannot be used; the same thing again is not kept twice."""
        if text == self._refused:
            return
        self._refused = text
        received.quarantined.append(
            Quarantined(
                ts_recv=ts_recv,
                venue=venue,
                channel=self.channels[0].name if self.channels else "",
                instrument_id=self.instrument_id,
                reason=reason,
                raw=text[:RAW_LENGTH],
            )
        )
        received.unreadable.update((channel, self.instrument_id) for channel in self.channels)

    def _record(self, name: str, look: Look, ts_recv: int, received: Received) -> None:
        if name == ChannelKind.QUOTE:
            quote = (look.bid_price, look.bid_size, look.ask_price, look.ask_size)
            if quote != self._quote and None not in quote:
                self._quote = quote  # type: ignore[assignment]  # no None in it
                received.records.append(build_quote(look, self.instrument_id, ts_recv))
        elif name == ChannelKind.SNAPSHOT:
            values = look.values()
            if values != self._values:
                self._values = values
                received.records.append(
                    build_snapshot(look, self.instrument_id, ts_recv, self._zone)
                )


def channels_of(instruments: Iterable[Watched]) -> dict[Channel, str]:
    """Return the channels of instruments, with their instrument_id."""
    return {channel: each.instrument_id for each in instruments for channel in each.channels}


def check_look(look: Look) -> None:
    """Check the numbers of a look: none negative, bid below ask, the last price in the day's range.

    Raises:
        ImpossibleValueError: NotDecimal, Negative, CrossedQuote, ImpossibleRange.
    """
    if look.bid_price is not None and look.ask_price is not None:
        check_quote(look.bid_price, look.bid_size or "0", look.ask_price, look.ask_size or "0")
    prices = (look.last, look.open, look.average, look.previous_close)
    for price in (*prices, look.upper_limit, look.lower_limit):
        if price is not None:
            read_decimal(price)
    for total in (look.volume, look.turnover):
        if total is not None and not total.replace(".", "", 1).isdecimal():
            raise ImpossibleValueError("Negative" if total[:1] == "-" else "NotDecimal")
    if look.last is None or look.high is None or look.low is None:
        return
    last, high, low = read_decimal(look.last), read_decimal(look.high), read_decimal(look.low)
    # Before the first trade of a day some of them are printed as zero.
    if high > 0.0 < last and not low <= last <= high:
        raise ImpossibleValueError("ImpossibleRange")


def build_quote(look: Look, instrument_id: str, ts_recv: int) -> Quote:
    """Return the quote of a look that has one; its sequence rises with the venue's time."""
    bid_price, bid_size = look.bid_price or "0", look.bid_size or "0"
    ask_price, ask_size = look.ask_price or "0", look.ask_size or "0"
    text = f"{bid_price}|{bid_size}|{ask_price}|{ask_size}".encode()
    digest = crc32(text) >> (32 - DIGEST_BITS)
    return Quote(
        instrument_id=instrument_id,
        ts_event=look.time_ns,
        ts_recv=ts_recv,
        sequence=look.time_ns // SECOND_NS << DIGEST_BITS | digest,
        bid_price=bid_price,
        bid_size=bid_size,
        ask_price=ask_price,
        ask_size=ask_size,
    )


def build_snapshot(look: Look, instrument_id: str, ts_recv: int, zone: tzinfo) -> Snapshot:
    """Return the snapshot of a look; its day is that of the venue's place."""
    day = (EPOCH + timedelta(seconds=look.time_ns // SECOND_NS)).astimezone(zone).date()
    return Snapshot(
        instrument_id=instrument_id,
        ts_event=look.time_ns,
        ts_recv=ts_recv,
        trading_day=day.isoformat(),
        fingerprint=snapshot_fingerprint(*look.values()),
        volume=int((look.volume or "0").partition(".")[0] or "0"),
        turnover=look.turnover,
        last_price=look.last,
        bid_price=look.bid_price,
        bid_size=look.bid_size,
        ask_price=look.ask_price,
        ask_size=look.ask_size,
        open=look.open,
        high=look.high,
        low=look.low,
        average_price=look.average,
        previous_close=look.previous_close,
        upper_limit=look.upper_limit,
        lower_limit=look.lower_limit,
        bids=Raw(LEVELS(look.bids)),
        asks=Raw(LEVELS(look.asks)),
    )
