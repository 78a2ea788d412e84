"""Alpaca's frames: arrays of messages in JSON or MessagePack, and the records they become.

Numbers of a JSON frame are taken as printed; those of a MessagePack frame are binary floats, of
which the shortest decimal is taken. Trade ids are unique within an exchange and no run, so ours
are made of both and negative. Quotes bear no number: their nanosecond stands for it, and one more
for each further quote of the same nanosecond. Must not know connections.

Source: docs.alpaca.markets "WebSocket Stream", "Real-time Stock Data", read 2026-11-21.
"""

import struct
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec
from msgspec import Struct, field
from msgspec.msgpack import Ext

from feedplane_feeder.core.checks import check_bar, check_trade, read_decimal
from feedplane_feeder.errors import ImpossibleValueError
from feedplane_feeder.records import AggressorSide, Bar, Quote, Trade

MINUTE_NS: Final = 60_000_000_000
SECOND_NS: Final = 1_000_000_000
EXCHANGE_BITS: Final = 6
LARGEST_ID: Final = 2**57
NONE: Final = AggressorSide.NONE.value

Time = str | Ext


class TradeMessage(Struct, gc=False, tag_field="T", tag="t"):
    """A trade."""

    symbol: str = field(name="S")
    trade_id: int = field(name="i")
    price: Any = field(name="p")
    size: Any = field(name="s")
    time: Time = field(name="t")
    exchange: str = field(name="x", default="")


class QuoteMessage(Struct, gc=False, tag_field="T", tag="q"):
    """Best bid and ask."""

    symbol: str = field(name="S")
    bid_price: Any = field(name="bp")
    bid_size: Any = field(name="bs")
    ask_price: Any = field(name="ap")
    ask_size: Any = field(name="as")
    time: Time = field(name="t")


class BarMessage(Struct, gc=False, tag_field="T", tag="b"):
    """A minute; there is none for a minute without trades."""

    symbol: str = field(name="S")
    open: Any = field(name="o")
    high: Any = field(name="h")
    low: Any = field(name="l")
    close: Any = field(name="c")
    volume: Any = field(name="v")
    time: Time = field(name="t")
    trade_count: int = field(name="n", default=0)
    vwap: Any = field(name="vw", default=0)


class SuccessMessage(Struct, gc=False, tag_field="T", tag="success"):
    """A step of the login."""

    msg: str = ""


class ErrorMessage(Struct, gc=False, tag_field="T", tag="error"):
    """A refusal, by its number."""

    code: int
    msg: str = ""


class SubscriptionMessage(Struct, gc=False, tag_field="T", tag="subscription"):
    """Everything that is subscribed now."""

    trades: list[str] = []
    quotes: list[str] = []
    bars: list[str] = []


Message = (
    TradeMessage | QuoteMessage | BarMessage | SuccessMessage | ErrorMessage | SubscriptionMessage
)
_json: Final = msgspec.json.Decoder(list[Message], float_hook=str)
_packed: Final = msgspec.msgpack.Decoder(list[Message])
_json_loose: Final = msgspec.json.Decoder(list[Any], float_hook=str)
_packed_loose: Final = msgspec.msgpack.Decoder(list[Any], strict=False)
_KNOWN: Final = frozenset({"t", "q", "b", "success", "error", "subscription"})
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, ValueError, TypeError, OverflowError)


def is_json(frame: bytes) -> bool:
    """Tell in which of the two forms a frame is."""
    return frame[:1] == b"["


def decode_messages(frame: bytes) -> list[Message]:
    """Return a frame's messages.

    Raises:
        DecodeError: one of them is of a kind that is not known, or none can be read.
    """
    return _json.decode(frame) if is_json(frame) else _packed.decode(frame)


def decode_known(frame: bytes) -> tuple[list[Message], list[Exception]]:
    """Return what can be read of a frame that was refused as a whole, and what was wrong.

    Kinds of messages that are not known are passed over.

    Raises:
        DecodeError: nothing can be read.
    """
    document = (_json_loose if is_json(frame) else _packed_loose).decode(frame)
    messages: list[Message] = []
    errors: list[Exception] = []
    for item in document:
        if not isinstance(item, dict) or not isinstance(item.get("T"), str):
            errors.append(ImpossibleValueError("MalformedFrame"))
        elif item["T"] in _KNOWN:
            try:
                messages.append(msgspec.convert(_with_text_time(item), Message))
            except msgspec.ValidationError as error:
                errors.append(error)
    return messages, errors


def build_trade(message: TradeMessage, instrument_id: str, ts_recv: int) -> Trade:
    """Make a record of a trade.

    Raises:
        ImpossibleValueError: a value that cannot be true.
        ValueError: no time.
    """
    price, size = decimal_text(message.price), decimal_text(message.size)
    check_trade(price, size)
    return Trade(
        instrument_id=instrument_id,
        ts_event=nanoseconds(message.time),
        ts_recv=ts_recv,
        trade_id=loose_id(message.trade_id, message.exchange),
        price=price,
        size=size,
        aggressor_side=NONE,
    )


def build_quote(message: QuoteMessage, instrument_id: str, ts_recv: int) -> Quote:
    """Make a record of a quote; consolidated ones may be locked or crossed.

    Raises:
        ImpossibleValueError: a value that cannot be true.
        ValueError: no time.
    """
    texts = (message.bid_price, message.bid_size, message.ask_price, message.ask_size)
    bid, bid_size, ask, ask_size = map(decimal_text, texts)
    for text in (bid, bid_size, ask, ask_size):
        read_decimal(text)
    at = nanoseconds(message.time)
    return Quote(
        instrument_id=instrument_id,
        ts_event=at,
        ts_recv=ts_recv,
        sequence=at,
        bid_price=bid,
        bid_size=bid_size,
        ask_price=ask,
        ask_size=ask_size,
    )


def build_bar(message: BarMessage, instrument_id: str, ts_recv: int) -> Bar:
    """Make a record of a minute; who took liquidity is not told and stands as zero.

    Raises:
        ImpossibleValueError: a value that cannot be true.
        ValueError: no time.
    """
    prices = (message.open, message.high, message.low, message.close)
    opened, high, low, close = map(decimal_text, prices)
    volume, vwap = decimal_text(message.volume), decimal_text(message.vwap)
    check_bar((opened, high, low, close), (volume, vwap))
    at = nanoseconds(message.time)
    return Bar(
        instrument_id=instrument_id,
        interval="1m",
        ts_open=at,
        ts_event=at + MINUTE_NS,
        ts_recv=ts_recv,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
        quote_volume=turnover(volume, vwap),
        trade_count=message.trade_count,
        taker_buy_volume="0",
        taker_buy_quote_volume="0",
        final=True,
    )


def turnover(volume: str, vwap: str) -> str:
    """Return the amount traded, as far as the printed mean price tells it."""
    return f"{Decimal(volume) * Decimal(vwap):f}"


def loose_id(number: int, exchange: str) -> int:
    """Return an id below zero that no other trade of an instrument and time has.

    Raises:
        ImpossibleValueError: a number the venue cannot have given.
    """
    if not 0 <= number < LARGEST_ID:
        raise ImpossibleValueError("ImpossibleId")
    letter = ord(exchange[0]) & (2**EXCHANGE_BITS - 1) if exchange else 0
    return -((number << EXCHANGE_BITS) + letter) - 2


def decimal_text(value: object) -> str:
    """Return a number as plain decimal text.

    Raises:
        ImpossibleValueError: NotDecimal.
    """
    if isinstance(value, str) and "e" not in value and "E" not in value:
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ImpossibleValueError("NotDecimal")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ImpossibleValueError("NotDecimal") from None
    if not number.is_finite() or abs(number.adjusted()) > 30:
        raise ImpossibleValueError("NotDecimal")
    text = f"{number:f}"
    return text.removesuffix(".0") if isinstance(value, float) else text


def nanoseconds(time: Time) -> int:
    """Return a moment printed by RFC 3339, or packed as a timestamp.

    Raises:
        ValueError: not such a moment.
    """
    if isinstance(time, Ext):
        return _unpack_time(time)
    # The library knows six digits of a second; the venue prints up to nine.
    whole, _, rest = time.partition(".")
    digits = rest.rstrip("Z")
    if len(time) > 35 or (rest and not (digits.isdecimal() and digits.isascii())):
        raise ValueError("not a time of the venue")
    moment = datetime.fromisoformat(whole.removesuffix("Z")).replace(tzinfo=UTC)
    return int(moment.timestamp()) * SECOND_NS + int(digits[:9].ljust(9, "0") or 0)


# Source: MessagePack specification, "Timestamp extension type".
def _unpack_time(time: Ext) -> int:
    data = bytes(time.data)
    if time.code == -1 and len(data) == 4:
        return int(struct.unpack("!I", data)[0]) * SECOND_NS
    if time.code == -1 and len(data) == 8:
        value = int(struct.unpack("!Q", data)[0])
        return (value & (2**34 - 1)) * SECOND_NS + (value >> 34)
    if time.code == -1 and len(data) == 12:
        nanos, seconds = struct.unpack("!Iq", data)
        return int(seconds) * SECOND_NS + int(nanos)
    raise ValueError("not a packed time")


# Read loosely, packed times have become moments of the library's.
def _with_text_time(item: dict[str, Any]) -> dict[str, Any]:
    time = item.get("t")
    if isinstance(time, datetime):
        text = time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {**item, "t": text}
    return item
