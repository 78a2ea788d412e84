"""Rows of Binance's archive and REST history: text to tuples, each checked.

Whole blocks are checked at once where that is possible and rows only for what depends on the row.
A row that fails the quick look is judged again by the exact checks, which name the reason.
Must not know addresses or files.

Source: binance-public-data README (columns, headers, units), binance-spot-api-docs rest-api.md,
USDⓈ-M REST pages; read 2026-11-21.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from feedplane_feeder.core.aside import RAW_LENGTH
from feedplane_feeder.core.checks import check_bar, check_trade, read_decimal
from feedplane_feeder.core.history import (
    EARLIEST_US,
    LATEST_US,
    MICROSECONDS_FROM,
    BarLayout,
    BarRow,
    MetricRow,
    Parsed,
    TradeRow,
)
from feedplane_feeder.core.intervals import next_open_ns
from feedplane_feeder.errors import ImpossibleValueError
from feedplane_feeder.records import AggressorSide

METRIC_COLUMNS: Final = (
    "open_interest",
    "open_interest_value",
    "top_trader_account_ratio",
    "top_trader_position_ratio",
    "account_ratio",
    "taker_volume_ratio",
)
"""Names of the metrics, in the order of the archive's columns after time and symbol."""

_DIGITS: Final = b"0123456789"
_BAR_BYTES: Final = _DIGITS + b".,\n"
_TRADE_BYTES: Final = _BAR_BYTES + b"TrueFalsetr"
_SIDES: Final = {
    "True": AggressorSide.SELL.value,
    "true": AggressorSide.SELL.value,
    "False": AggressorSide.BUY.value,
    "false": AggressorSide.BUY.value,
}


def microseconds(time: int) -> int:
    """Return microseconds of a venue time in either unit.

    Raises:
        ImpossibleValueError: ImpossibleTime.
    """
    found = time if time >= MICROSECONDS_FROM else time * 1000
    if not EARLIEST_US <= found < LATEST_US:
        raise ImpossibleValueError("ImpossibleTime")
    return found


def longest_us(interval: str) -> int:
    """Return what the length of a bar must stay below, in microseconds."""
    # January, which the epoch began with, is as long as a month gets.
    return next_open_ns(0, interval) // 1000


def lay_out_bars(interval: str) -> BarLayout:
    """Return what the twelve columns of a file of bars are."""
    return BarLayout(
        columns=12,
        opened=0,
        closed=6,
        trade_count=8,
        numbers=(1, 2, 3, 4, 5, 7, 9, 10),
        longest_us=longest_us(interval),
    )


def parse_bar_lines(block: bytes, interval_us: int) -> Parsed:
    """Read lines of twelve columns."""
    parsed = Parsed()
    push, lines = parsed.rows.append, _lines(block)
    # Volumes are not read here: with digits and points only, and no more points than numbers, the
    # worst they can be is a number that the server refuses.
    plain = _is_plain(block, _BAR_BYTES) and block.count(b".") <= 8 * block.count(b"\n")
    for line in lines:
        fields = line.split(",")
        if plain and len(fields) == 12:
            opened, first, high, low, last, volume, closed, quote, count, base, taker, _ = fields
            try:
                bottom, top, time = float(low), float(high), int(opened)
                length = int(closed) - time
                if (
                    0.0 < bottom <= float(first) <= top
                    and bottom <= float(last) <= top
                    and count.isdecimal()
                ):
                    if time < MICROSECONDS_FROM:
                        time, length = time * 1000, length * 1000
                    if EARLIEST_US <= time < LATEST_US and 0 < length < interval_us:
                        close = time + length
                        push(
                            (time, first, high, low, last, volume, quote, count, base, taker, close)
                        )
                        continue
            except ValueError:
                pass
        _judge(parsed, line, partial(build_bar, fields, interval_us))
    return parsed


def parse_trade_lines(block: bytes) -> Parsed:
    """Read lines of seven or eight columns; times are cut to the live tape's milliseconds."""
    parsed = Parsed()
    push = parsed.rows.append
    plain = _is_plain(block, _TRADE_BYTES)
    for line in _lines(block):
        fields = line.split(",")
        if plain and len(fields) in (7, 8):
            number, price, size, first, last, when, maker = fields[:7]
            try:
                time = int(when)
                time = time // 1000 * 1000 if time >= MICROSECONDS_FROM else time * 1000
                if (
                    float(price) > 0.0
                    and float(size) > 0.0
                    and first.isdecimal()
                    and last.isdecimal()
                    and EARLIEST_US <= time < LATEST_US
                ):
                    push((time, int(number), first, last, _SIDES[maker], price, size))
                    continue
            except (ValueError, KeyError):
                pass
        _judge(parsed, line, partial(build_trade, fields))
    return parsed


def parse_metric_lines(block: bytes) -> Parsed:
    """Read lines of eight columns: a time, the symbol, six numbers; empty numbers are none."""
    parsed = Parsed()
    for line in _lines(block):
        fields = [field.strip('"') for field in line.split(",")]
        try:
            moment = datetime.strptime(fields[0], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
            time = int(moment.timestamp()) * 1_000_000
            values = dict(zip(METRIC_COLUMNS, fields[2:], strict=True))
            rows: list[MetricRow] = [
                (time, name, _decimal(value)) for name, value in values.items() if value
            ]
        except ImpossibleValueError as error:
            parsed.refused.append((error.reason, line[:RAW_LENGTH]))
        except ValueError:
            parsed.refused.append(("MalformedRow", line[:RAW_LENGTH]))
        else:
            parsed.rows.extend(rows)
    return parsed


def build_bar(fields: Sequence[Any], interval_us: int) -> BarRow:
    """Make the row of a bar's twelve positions, checked exactly.

    Raises:
        ImpossibleValueError: a value that cannot be true.
        ValueError: no number where one belongs.
    """
    opened, first, high, low, last, volume, closed, quote, count, base, taker, *_ = fields
    time, close = microseconds(int(opened)), int(closed)
    close = close if close >= MICROSECONDS_FROM else close * 1000
    if not 0 < close - time < interval_us:
        raise ImpossibleValueError("ImpossibleTime")
    if not str(count).isdecimal():
        raise ImpossibleValueError("NotDecimal")
    check_bar((first, high, low, last), (volume, quote, base, taker))
    return (time, first, high, low, last, volume, quote, str(count), base, taker, close)


def build_trade(fields: Sequence[str]) -> TradeRow:
    """Make the row of a trade's columns, checked exactly.

    Raises:
        ImpossibleValueError: a value that cannot be true.
        ValueError: no number where one belongs.
        KeyError: the maker's side is neither true nor false.
    """
    number, price, size, first, last, when, maker = fields[:7]
    check_trade(price, size)
    time = microseconds(int(when)) // 1000 * 1000
    if int(first) < 0 or int(last) < int(first) or int(number) < 0:
        raise ImpossibleValueError("ImpossibleRange")
    return (time, int(number), str(int(first)), str(int(last)), _SIDES[maker], price, size)


def _decimal(text: str) -> str:
    read_decimal(text)
    return text


def _lines(block: bytes) -> list[str]:
    text = block.decode("ascii", "replace").replace("\r", "")
    return text.removesuffix("\n").split("\n") if text else []


# Digits, points and commas only, and no number that begins or ends with a point, so that what
# `float` takes is a number the table gives back digit for digit.
def _is_plain(block: bytes, allowed: bytes) -> bool:
    if block.translate(None, allowed):
        return False
    return b",." not in block and b".," not in block and b",," not in block


def _judge(parsed: Parsed, line: str, build: Callable[[], BarRow | TradeRow]) -> None:
    if not line:
        return
    try:
        parsed.rows.append(build())
    except ImpossibleValueError as error:
        parsed.refused.append((error.reason, line[:RAW_LENGTH]))
    except (ValueError, KeyError, TypeError, IndexError):
        parsed.refused.append(("MalformedRow", line[:RAW_LENGTH]))
