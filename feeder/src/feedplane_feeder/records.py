"""The normalized model: what a venue's frame becomes before anything else looks at it.

Prices and sizes are decimal text exactly as the venue printed it, never a float. Times are
integer nanoseconds since the Unix epoch, UTC. Must not know venues, sinks or the network.
"""

from enum import StrEnum
from hashlib import blake2b

from msgspec import Raw, Struct

DecimalText = str
"""A decimal number as printed by the venue, for instance `0.35130000`."""


class ChannelKind(StrEnum):
    """What a channel carries; also the name of its table and of its metric label."""

    TRADE = "trade"
    QUOTE = "quote"
    BAR = "bar"
    BOOK = "book"
    METRIC = "metric"
    SNAPSHOT = "snapshot"


class AggressorSide(StrEnum):
    """Side of the order that took liquidity."""

    BUY = "B"
    SELL = "S"
    NONE = "N"


class Trade(Struct, frozen=True, gc=False):
    """One execution, or the venue's own aggregate of executions. Key: instrument_id, trade_id."""

    instrument_id: str
    ts_event: int
    ts_recv: int
    trade_id: int
    """Counts up by one from trade to trade; below zero it only tells copies apart, see
    `is_numbered`."""
    price: DecimalText
    size: DecimalText
    aggressor_side: str
    """An `AggressorSide` value."""
    first_id: int | None = None
    """First venue execution inside an aggregate."""
    last_id: int | None = None


def is_numbered(trade: Trade) -> bool:
    """Tell whether a trade's id stands in a run without holes.

    Where a venue's ids are no run, adapters make them negative: such trades have an identity, and
    what is missing between them can be told by time only.
    """
    return trade.trade_id >= 0


class Quote(Struct, frozen=True, gc=False):
    """Best bid and ask. Key: instrument_id, sequence."""

    instrument_id: str
    ts_event: int
    """Equal to ts_recv where the venue prints no time."""
    ts_recv: int
    sequence: int
    bid_price: DecimalText
    bid_size: DecimalText
    ask_price: DecimalText
    ask_size: DecimalText


class Bar(Struct, frozen=True, gc=False):
    """Open, high, low, close and volume of an interval. Key: instrument_id, interval, ts_open."""

    instrument_id: str
    interval: str
    """As in the channel name after `bar-`, for instance `1m`."""
    ts_open: int
    ts_event: int
    """The venue's time of this update."""
    ts_recv: int
    open: DecimalText
    high: DecimalText
    low: DecimalText
    close: DecimalText
    volume: DecimalText
    quote_volume: DecimalText
    trade_count: int
    taker_buy_volume: DecimalText
    taker_buy_quote_volume: DecimalText
    final: bool
    """True on the last update of the interval."""


class BookDelta(Struct, frozen=True, gc=False):
    """A change to the book, or its full state. Merged by `first_id..last_id`, not by key."""

    instrument_id: str
    ts_event: int
    ts_recv: int
    first_id: int
    last_id: int
    previous_last_id: int | None
    """`last_id` of the delta before, where the venue prints it."""
    bids: Raw
    """JSON array of [price, size] pairs as the venue printed it; size zero removes a level."""
    asks: Raw
    snapshot: bool = False


class Metric(Struct, frozen=True, gc=False):
    """One named number of an instrument at a time. Key: instrument_id, name, ts_event."""

    instrument_id: str
    name: str
    ts_event: int
    ts_recv: int
    value: DecimalText


class Snapshot(Struct, frozen=True, gc=False):
    """What a venue that has no single events says of an instrument at a time.

    Key: instrument_id, ts_event, fingerprint. Volume and turnover are those of the trading day so
    far. What the venue leaves open is None.
    """

    instrument_id: str
    ts_event: int
    ts_recv: int
    trading_day: str
    """The venue's own day, for instance `2026-01-05`; a night session belongs to the next one."""
    fingerprint: int
    """Of the values that tell two snapshots of one time apart; see `snapshot_fingerprint`."""
    volume: int
    turnover: DecimalText | None = None
    open_interest: DecimalText | None = None
    last_price: DecimalText | None = None
    bid_price: DecimalText | None = None
    bid_size: DecimalText | None = None
    ask_price: DecimalText | None = None
    ask_size: DecimalText | None = None
    open: DecimalText | None = None
    high: DecimalText | None = None
    low: DecimalText | None = None
    average_price: DecimalText | None = None
    close: DecimalText | None = None
    """Printed once the day is over."""
    settlement_price: DecimalText | None = None
    previous_close: DecimalText | None = None
    previous_settlement: DecimalText | None = None
    upper_limit: DecimalText | None = None
    lower_limit: DecimalText | None = None
    bids: Raw = Raw(b"[]")
    """JSON array of [price, size] pairs behind the best bid, where the venue prints them."""
    asks: Raw = Raw(b"[]")


def snapshot_fingerprint(*values: object) -> int:
    """Return the same number wherever the same values were received; fits a signed 64 bit."""
    text = "|".join(map(str, values)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


class GapCause(StrEnum):
    """Why a part of the tape is missing."""

    SEQUENCE = "sequence"
    """The venue's own numbers jumped."""
    DISCONNECT = "disconnect"
    """Nothing was connected."""
    RESTART = "restart"
    """The process was not running."""
    STALE = "stale"
    """The stream was acknowledged and mute."""
    SPILL = "spill"
    """The sink was away longer than the spill could hold."""
    MALFORMED = "malformed"
    """A frame could not be read."""
    PROMOTION = "promotion"
    """A standby took over and had not been subscribed."""


class Gap(Struct, frozen=True, gc=False):
    """A named hole in the tape: ids where the venue has them, else times; ends inclusive."""

    instrument_id: str
    channel: str
    cause: str
    """A `GapCause` value."""
    detected_at: int
    from_id: int | None = None
    """First missing id."""
    to_id: int | None = None
    """Last missing id."""
    from_ts: int | None = None
    to_ts: int | None = None


class Quarantined(Struct, frozen=True, gc=False):
    """A frame or record that cannot be true, kept aside with the reason."""

    ts_recv: int
    venue: str
    channel: str
    instrument_id: str
    reason: str
    """Short CamelCase word, for instance `CrossedQuote` or `NegativeSize`."""
    raw: str
    """The venue's own text, cut at 4,096 characters."""


Record = Trade | Quote | Bar | BookDelta | Metric | Snapshot
"""What a sink writes into a data table."""
