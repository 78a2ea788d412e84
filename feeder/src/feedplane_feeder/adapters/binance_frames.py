"""Binance's frames: wire types and how each becomes a record. The same for spot and USDⓈ-M.

A route stands for one stream of a connection: it knows the channel, makes its records and
counts the good frames. What a frame holds is told by its `e`, so one decoder serves all, but for
spot's quotes, which bear none: their frames are decoded by the name of their stream. Keys that
are not named here are ignored, as the venue adds some from time to time. Fields stand in the
order of the wire, which is the order the decoder expects them in. Must not know connections or
sequences.

Source: binance-spot-api-docs web-socket-streams.md and the USDⓈ-M market streams pages (frames
of aggTrade, bookTicker, kline, depth), read 2026-11-21.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Protocol

from msgspec import Meta, Raw, Struct, field
from msgspec.json import Decoder

from feedplane_feeder.core.checks import check_bar, check_quote, check_trade
from feedplane_feeder.core.ports import Channel
from feedplane_feeder.errors import ImpossibleValueError
from feedplane_feeder.records import AggressorSide, Bar, BookDelta, Quote, Record, Trade

LAST_MILLISECOND: Final = 4_102_444_800_000
"""Start of the year 2100; a larger number is in microseconds (the venue offers both units)."""

Id = Annotated[int, Meta(ge=0, le=2**63 - 1)]
# 2001-09-09 in milliseconds up to the year 2100 in microseconds.
Time = Annotated[int, Meta(ge=10**12, le=LAST_MILLISECOND * 1000)]
Text = Annotated[str, Meta(max_length=64)]

MINUS: Final = ord("-")
BUY: Final = AggressorSide.BUY.value
SELL: Final = AggressorSide.SELL.value


class TradeData(Struct, gc=False, tag_field="e", tag="aggTrade"):
    """Payload of aggTrade."""

    agg_id: Id = field(name="a")
    price: Text = field(name="p")
    size: Text = field(name="q")
    first_id: Id = field(name="f")
    last_id: Id = field(name="l")
    time: Time = field(name="T")
    buyer_is_maker: bool = field(name="m")


class QuoteData(Struct, gc=False):
    """Payload of bookTicker; spot prints neither its kind nor a time."""

    update_id: Id = field(name="u")
    bid_price: Text = field(name="b")
    bid_size: Text = field(name="B")
    ask_price: Text = field(name="a")
    ask_size: Text = field(name="A")
    time: Time = field(name="T", default=0)


class TaggedQuoteData(QuoteData, gc=False, tag_field="e", tag="bookTicker"):
    """Payload of bookTicker where it says so."""


class BarBody(Struct, gc=False):
    """The `k` object of a kline."""

    open_time: Time = field(name="t")
    interval: str = field(name="i")
    open: Text = field(name="o")
    close: Text = field(name="c")
    high: Text = field(name="h")
    low: Text = field(name="l")
    volume: Text = field(name="v")
    trade_count: Id = field(name="n")
    final: bool = field(name="x")
    quote_volume: Text = field(name="q")
    taker_buy_volume: Text = field(name="V")
    taker_buy_quote_volume: Text = field(name="Q")


class BarData(Struct, gc=False, tag_field="e", tag="kline"):
    """Payload of kline."""

    event_time: Time = field(name="E")
    bar: BarBody = field(name="k")


class BookData(Struct, gc=False, kw_only=True, tag_field="e", tag="depthUpdate"):
    """Payload of depthUpdate; USDⓈ-M adds `T` and `pu`."""

    event_time: Time = field(name="E")
    time: Time = field(name="T", default=0)
    first_id: Id = field(name="U")
    last_id: Id = field(name="u")
    previous_last_id: Id | None = field(name="pu", default=None)
    bids: Raw = field(name="b")
    asks: Raw = field(name="a")


Payload = TradeData | QuoteData | BarData | BookData


class TaggedFrame(Struct, gc=False):
    """Combined frame whose payload says what it is."""

    stream: str
    data: TradeData | TaggedQuoteData | BarData | BookData


class QuoteFrame(Struct, gc=False):
    """Combined frame of bookTicker, whether it says so or not."""

    stream: str
    data: QuoteData


decode_tagged: Final = Decoder(TaggedFrame).decode
decode_quote: Final = Decoder(QuoteFrame).decode


def nanoseconds(time: int) -> int:
    """Return nanoseconds of a venue time in milliseconds or microseconds."""
    return time * 1_000_000 if time < LAST_MILLISECOND else time * 1_000


class Route(Protocol):
    """One stream of a connection."""

    channel: Channel
    instrument_id: str
    frames: int
    """Good frames so far."""

    def decode(self, frame: bytes) -> TaggedFrame | QuoteFrame:
        """Decode a frame of this stream by its name.

        Raises:
            msgspec.DecodeError: not such a frame.
        """

    def build(self, data: Any, frame: bytes, ts_recv: int) -> Record:
        """Make the record of a decoded payload; `frame` is what it was decoded from.

        Raises:
            ImpossibleValueError: a value that cannot be true.
            AttributeError: the payload of another kind of stream.
        """


class StreamRoute:
    """What the routes of all kinds share."""

    __slots__ = ("channel", "frames", "instrument_id")
    decode: Callable[[bytes], TaggedFrame | QuoteFrame] = staticmethod(decode_tagged)

    def __init__(self, channel: Channel, instrument_id: str) -> None:
        self.channel = channel
        self.instrument_id = instrument_id
        self.frames = 0


class TradeRoute(StreamRoute):
    """aggTrade."""

    __slots__ = ()

    def build(self, data: TradeData, frame: bytes, ts_recv: int) -> Trade:
        """See `Route`."""
        price, size, time = data.price, data.size, data.time
        check_trade(price, size)
        self.frames += 1
        return Trade(
            self.instrument_id,
            time * 1_000_000 if time < LAST_MILLISECOND else time * 1_000,
            ts_recv,
            data.agg_id,
            price,
            size,
            SELL if data.buyer_is_maker else BUY,
            data.first_id,
            data.last_id,
        )


class QuoteRoute(StreamRoute):
    """bookTicker."""

    __slots__ = ()
    decode = staticmethod(decode_quote)

    def build(self, data: QuoteData, frame: bytes, ts_recv: int) -> Quote:
        """See `Route`."""
        check_quote(data.bid_price, data.bid_size, data.ask_price, data.ask_size)
        self.frames += 1
        time = data.time
        if time == 0:
            ts_event = ts_recv
        else:
            ts_event = time * 1_000_000 if time < LAST_MILLISECOND else time * 1_000
        return Quote(
            self.instrument_id,
            ts_event,
            ts_recv,
            data.update_id,
            data.bid_price,
            data.bid_size,
            data.ask_price,
            data.ask_size,
        )


class BarRoute(StreamRoute):
    """kline."""

    __slots__ = ("_interval",)

    def __init__(self, channel: Channel, instrument_id: str) -> None:
        super().__init__(channel, instrument_id)
        self._interval = channel.name.removeprefix("bar-")

    def build(self, data: BarData, frame: bytes, ts_recv: int) -> Bar:
        """See `Route`."""
        bar = data.bar
        if bar.interval != self._interval:
            raise ImpossibleValueError("WrongInterval")
        check_bar(
            (bar.open, bar.high, bar.low, bar.close),
            (bar.volume, bar.quote_volume, bar.taker_buy_volume, bar.taker_buy_quote_volume),
        )
        self.frames += 1
        return Bar(
            self.instrument_id,
            self._interval,
            nanoseconds(bar.open_time),
            nanoseconds(data.event_time),
            ts_recv,
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.volume,
            bar.quote_volume,
            bar.trade_count,
            bar.taker_buy_volume,
            bar.taker_buy_quote_volume,
            bar.final,
        )


class BookRoute(StreamRoute):
    """depthUpdate; the levels stay JSON until the book is kept."""

    __slots__ = ()

    def build(self, data: BookData, frame: bytes, ts_recv: int) -> BookDelta:
        """See `Route`."""
        first_id, last_id, previous = data.first_id, data.last_id, data.previous_last_id
        time = data.time or data.event_time
        if first_id > last_id or (previous is not None and previous >= last_id):
            raise ImpossibleValueError("ImpossibleRange")
        # No stream name or key has a minus sign; a level with one is no level.
        if MINUS in frame:
            raise ImpossibleValueError("NegativeLevel")
        self.frames += 1
        return BookDelta(
            self.instrument_id,
            time * 1_000_000 if time < LAST_MILLISECOND else time * 1_000,
            ts_recv,
            first_id,
            last_id,
            previous,
            data.bids,
            data.asks,
        )


def build_route(channel: Channel, instrument_id: str) -> Route:
    """Return the route of a channel."""
    match channel.name:
        case "trade":
            return TradeRoute(channel, instrument_id)
        case "quote":
            return QuoteRoute(channel, instrument_id)
        case "book":
            return BookRoute(channel, instrument_id)
        case _:
            return BarRoute(channel, instrument_id)


def stream_name(channel: Channel) -> str:
    """Return the venue's name of a channel's stream."""
    symbol = channel.symbol.lower()
    match channel.name:
        case "trade":
            return f"{symbol}@aggTrade"
        case "quote":
            return f"{symbol}@bookTicker"
        case "book":
            return f"{symbol}@depth@100ms"
        case bar:
            return f"{symbol}@kline_{bar.removeprefix('bar-')}"
