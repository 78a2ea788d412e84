"""Rows of history to PostgreSQL's COPY text format: little work here, the numbers parsed there.

For a hundred thousand rows a second of many numbers each, text costs this process a tenth of what
packing them would. Every field is digits and points that were checked before, so that nothing
needs quoting. Must not know connections.

Source: PostgreSQL manual, COPY, section "Text Format" (read 2026-11-21).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, cast

from feedplane_feeder.core.history import BarRow, HistoryRow, MetricRow, Rendered, TradeRow
from feedplane_feeder.records import ChannelKind
from feedplane_feeder.sinks.postgres_schema import BARS, METRICS, TRADES, Table

DAY_US: Final = 86_400_000_000
MINUTE_US: Final = 60_000_000

TABLE_OF: Final[Mapping[str, Table]] = {
    ChannelKind.BAR.value: BARS,
    ChannelKind.TRADE.value: TRADES,
    ChannelKind.METRIC.value: METRICS,
}
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    ChannelKind.BAR.value: (
        *("instrument_id", "interval", "final", "ts_recv", "ts_open", "ts_event"),
        *("open", "high", "low", "close", "volume", "quote_volume", "trade_count"),
        *("taker_buy_volume", "taker_buy_quote_volume"),
    ),
    ChannelKind.TRADE.value: (
        *("instrument_id", "ts_recv", "ts_event", "trade_id", "first_id", "last_id"),
        *("aggressor_side", "price", "size"),
    ),
    ChannelKind.METRIC.value: ("instrument_id", "ts_recv", "ts_event", "name", "value"),
}
"""Columns of a row by kind, in the order they are written here."""

_MINUTES: Final = tuple(f"{minute // 60:02d}:{minute % 60:02d}:" for minute in range(1_440))


class _Days(dict[int, str]):
    """The date of each day, written once."""

    def __missing__(self, day: int) -> str:
        moment = datetime.fromtimestamp(day * 86_400, UTC)
        text = self[day] = moment.strftime("%Y-%m-%d ")
        return text


_days: Final = _Days()


def time_text(at_us: int) -> str:
    """Write a time in microseconds as the server reads it, in UTC."""
    day, inside = divmod(at_us, DAY_US)
    return _days[day] + _clock(inside)


def render_rows(
    channel: str, instrument_id: str, rows: Sequence[HistoryRow], ts_recv_us: int
) -> Rendered:
    """Return rows of one channel of one instrument as lines of COPY text."""
    kind, _, interval = channel.partition("-")
    head = f"{instrument_id}\t{interval}\tt\t" if interval else f"{instrument_id}\t"
    render = cast("Callable[[str, Sequence[HistoryRow]], list[str]]", _RENDER[kind])
    return Rendered("".join(render(head + time_text(ts_recv_us), rows)).encode(), "text")


# Bars open at the same times of every day, so the clock's part of both times is written once.
def _bars(head: str, rows: Sequence[BarRow]) -> list[str]:
    days, clocks, length = _days, _clocks(0), 0
    lines: list[str] = []
    push = lines.append
    for opened, first, high, low, last, volume, quote, count, base, taker, closed in rows:
        if closed - opened != length:
            length = closed - opened
            clocks = _clocks(length)
        day, inside = divmod(opened, DAY_US)
        pair = clocks.get(inside)
        if pair is None:
            pair = clocks[inside] = (_clock(inside), _clock((inside + length) % DAY_US))
        date = days[day]
        after = date if inside + length < DAY_US else days[closed // DAY_US]
        push(
            f"{head}\t{date}{pair[0]}\t{after}{pair[1]}\t{first}\t{high}\t{low}\t{last}\t{volume}"
            f"\t{quote}\t{count}\t{base}\t{taker}\n"
        )
    return lines


@lru_cache(maxsize=32)
def _clocks(length: int) -> dict[int, tuple[str, str]]:
    # Times of day by microsecond: of the open, and of a close that much later. At most a day's
    # seconds, as no bar is shorter than one.
    del length
    return {}


def _clock(inside: int) -> str:
    minute, rest = divmod(inside, MINUTE_US)
    second, fraction = divmod(rest, 1_000_000)
    return f"{_MINUTES[minute]}{second:02d}.{fraction:06d}"


def _trades(head: str, rows: Sequence[TradeRow]) -> list[str]:
    days, minutes = _days, _MINUTES
    lines: list[str] = []
    push = lines.append
    for at, number, first, last, side, price, size in rows:
        day, inside = divmod(at, DAY_US)
        minute, rest = divmod(inside, MINUTE_US)
        second, fraction = divmod(rest, 1_000_000)
        push(
            f"{head}\t{days[day]}{minutes[minute]}{second:02d}.{fraction:06d}\t{number}\t{first}"
            f"\t{last}\t{side}\t{price}\t{size}\n"
        )
    return lines


def _metrics(head: str, rows: Sequence[MetricRow]) -> list[str]:
    return [f"{head}\t{time_text(at)}\t{name}\t{value}\n" for at, name, value in rows]


_RENDER: Final[Mapping[str, object]] = {
    ChannelKind.BAR.value: _bars,
    ChannelKind.TRADE.value: _trades,
    ChannelKind.METRIC.value: _metrics,
}
