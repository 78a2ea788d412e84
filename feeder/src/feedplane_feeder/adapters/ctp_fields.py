"""CTP's market-data struct as it lies in memory, and the snapshot it becomes.

The transport hands the bytes over as the library gave them, so the callback copies once and reads
nothing. Prices are doubles; their shortest text is what the exchange printed. DBL_MAX stands for
"none".

Source: ThostFtdcUserApiStruct.h of API 6.7.11 (584 bytes) and of the stock-option API 3.7.0
(440 bytes), little-endian; read 2026-11-21.
"""

import math
import struct
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import Raw

from feedplane_feeder.adapters import ctp_dates as dates
from feedplane_feeder.errors import ImpossibleValueError
from feedplane_feeder.records import DecimalText, Snapshot, snapshot_fingerprint

NONE: Final = 1.7976931348623157e308
LEVELS: Final = 5
WHOLE: Final = 1e15
"""Below it a double without fraction is that integer."""

# From LastPrice to AskVolume5 both structs are the same.
_NUMBERS: Final = "7di4x8d9s3xi" + "di4xdi4x" * LEVELS


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One of the two structs."""

    head: str
    tail: str
    symbol: int
    """Place of the instrument among all values."""
    exchange: int
    volume: int
    """Place of the volume that cannot overflow."""

    @property
    def struct(self) -> struct.Struct:
        """The whole of it."""
        return struct.Struct("<" + self.head + _NUMBERS + "d9s" + self.tail)


# TradingDay, reserve, ExchangeID, reserve .. AveragePrice, ActionDay, InstrumentID,
# ExchangeInstID, BandingUpperPrice, BandingLowerPrice
FUTURES: Final = Layout(head="9s31s9s31s", tail="81s81s5x2d", symbol=44, exchange=2, volume=11)
# TradingDay, InstrumentID, ExchangeID, ExchangeInstID .. AveragePrice, ActionDay,
# CircuitRefPrice, SendingTime, BigVolume
OPTIONS: Final = Layout(head="9s31s9s31s", tail="7xd13s3xq", symbol=1, exchange=2, volume=46)
_VOLUME: Final = 11
_LEVELS: Final = 22
_AVERAGE: Final = 42


@dataclass(frozen=True, slots=True)
class Depth:
    """One struct, read: what is wanted of it."""

    symbol: str
    exchange: str
    volume: int
    values: tuple[Any, ...]


class DepthReader:
    """Reads structs of one layout."""

    def __init__(self, layout: Layout) -> None:
        self._struct = layout.struct
        self._layout = layout
        self.size = self._struct.size

    def read(self, frame: bytes) -> Depth:
        """Take a struct apart."""
        values, layout = self._struct.unpack(frame), self._layout
        return Depth(
            symbol=read_text(values[layout.symbol]),
            exchange=read_text(values[layout.exchange]),
            volume=max(values[_VOLUME], values[layout.volume]),
            values=values,
        )


def read_text(field: bytes) -> str:
    """Return a text field, which ends at its first zero byte."""
    return field.partition(b"\0")[0].decode("gb18030", "replace")


def read_number(value: float) -> DecimalText | None:
    """Return a price as text, None where it is open.

    Raises:
        ImpossibleValueError: NotDecimal.
    """
    if value >= NONE:
        return None
    if not math.isfinite(value):
        raise ImpossibleValueError("NotDecimal")
    if value.is_integer() and -WHOLE < value < WHOLE:
        return str(int(value))
    text = repr(value)
    return format(Decimal(text), "f") if "e" in text else text


def build_snapshot(depth: Depth, instrument_id: str, ts_recv: int) -> Snapshot | None:
    """Return the snapshot a struct says, None where it bears the time of no session.

    Raises:
        ImpossibleValueError: a value that cannot be true.
    """
    values = depth.values
    seconds = dates.read_clock(read_text(values[20]))
    if not dates.is_open(seconds):
        return None
    exchange = dates.find_exchange(depth.symbol, depth.exchange)
    days = (read_text(values[0]), read_text(values[43]))
    stamp = dates.resolve(exchange, days, seconds, values[21], ts_recv)
    volume = depth.volume
    if volume < 0:
        raise ImpossibleValueError("Negative")
    number = read_number
    best, bids, asks = _read_levels(values)
    last, settlement = number(values[4]), number(values[15])
    turnover, interest = number(values[12]), number(values[13])
    return Snapshot(
        instrument_id=instrument_id,
        ts_event=stamp.ts_event,
        ts_recv=ts_recv,
        trading_day=stamp.trading_day,
        fingerprint=snapshot_fingerprint(
            stamp.trading_day, volume, turnover, interest, last, settlement, *best
        ),
        volume=volume,
        turnover=turnover,
        open_interest=interest,
        last_price=last,
        bid_price=best[0],
        bid_size=best[1],
        ask_price=best[2],
        ask_size=best[3],
        open=number(values[8]),
        high=number(values[9]),
        low=number(values[10]),
        average_price=number(values[_AVERAGE]),
        close=number(values[14]),
        settlement_price=settlement,
        previous_close=number(values[6]),
        previous_settlement=number(values[5]),
        upper_limit=number(values[16]),
        lower_limit=number(values[17]),
        bids=bids,
        asks=asks,
    )


_EMPTY: Final = Raw(b"[]")
Best = tuple[DecimalText | None, DecimalText | None, DecimalText | None, DecimalText | None]


def _read_levels(values: tuple[Any, ...]) -> tuple[Best, Raw, Raw]:
    sides: list[list[tuple[str, str]]] = [[], []]
    for at in range(_LEVELS, _LEVELS + 4 * LEVELS, 2):
        price, size = values[at], values[at + 1]
        if price < NONE and size:
            side = sides[(at - _LEVELS) // 2 % 2]
            text = read_number(price)
            assert text is not None  # noqa: S101 - below NONE
            side.append((text, str(size)))
    best: list[DecimalText | None] = []
    behind: list[Raw] = []
    for at, side in zip((_LEVELS, _LEVELS + 2), sides, strict=True):
        first = values[at] < NONE and values[at + 1]
        best += side[0] if first else (None, None)
        rest = side[1:] if first else side
        behind.append(Raw(msgspec.json.encode(rest)) if rest else _EMPTY)
    return (best[0], best[1], best[2], best[3]), behind[0], behind[1]
