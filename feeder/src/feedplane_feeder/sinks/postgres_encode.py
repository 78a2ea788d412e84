"""Records to rows of PostgreSQL's binary COPY format.

One encoder per data table; each takes a run of records and gives the bytes of their rows. The
column order here is the order of `COLUMNS` in postgres_schema.py: fixed-width columns stand
together so that one struct packs them. Must not know connections or transactions.

Source: PostgreSQL manual, COPY, section "Binary Format" (read 2026-11-21).
"""

from collections.abc import Sequence
from datetime import date
from operator import attrgetter
from struct import Struct

from msgspec import Raw

from feedplane_feeder.records import Bar, BookDelta, Metric, Quote, Snapshot, Trade
from feedplane_feeder.sinks.postgres_numeric import NumericCache
from feedplane_feeder.sinks.postgres_schema import SNAPSHOT_NUMBERS, SNAPSHOTS

COPY_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
COPY_TAIL = b"\xff\xff"

EPOCH_MICROSECONDS = 946_684_800_000_000
"""From the Unix epoch to PostgreSQL's, 2000-01-01 UTC."""

_LENGTH = Struct(">i").pack
_ID = Struct(">iq").pack
_NULL = _LENGTH(-1)
_TRADE = Struct(">iqiqiqiqiqic").pack
_TRADE_TIMES = Struct(">iqiqiq").pack
_QUOTE = Struct(">iqiqiq").pack
_BAR = Struct(">iqiqiqiqi?").pack
_BOOK = Struct(">iqiqiqiq").pack
_SNAPSHOT = Struct(">i?").pack
_METRIC = Struct(">iqiq").pack
_STATE = Struct(">iqiqiqiqii").pack
_DAYS_BEFORE_2000 = date(2000, 1, 1).toordinal()
_numbers_of = attrgetter(*SNAPSHOT_NUMBERS)
_SIDE = {"B": b"B", "S": b"S", "N": b"N"}

INSTRUMENTS_CACHED = 16_384


class _RowPrefixes(dict[str, bytes]):
    """Column count and instrument_id of a row, encoded once per instrument."""

    def __init__(self, column_count: int) -> None:
        super().__init__()
        self._column_count = column_count

    def __missing__(self, instrument_id: str) -> bytes:
        if len(self) >= INSTRUMENTS_CACHED:
            self.clear()
        text = encode_text(instrument_id)
        prefix = self[instrument_id] = self._column_count.to_bytes(2, "big") + text
        return prefix


def encode_text(text: str) -> bytes:
    """Encode a text column with its length; what PostgreSQL cannot hold is replaced."""
    data = text.replace("\x00", "\ufffd").encode("utf-8", "replace")
    return _LENGTH(len(data)) + data


def microseconds(ts_ns: int) -> int:
    """Return a time as PostgreSQL counts it: whole microseconds since 2000-01-01 UTC."""
    return ts_ns // 1000 - EPOCH_MICROSECONDS


# A trade that is not an aggregate.
def _encode_odd_trade(trade: Trade) -> bytes:
    return b"".join(
        (
            _TRADE_TIMES(
                8, microseconds(trade.ts_event), 8, microseconds(trade.ts_recv), 8, trade.trade_id
            ),
            _encode_id(trade.first_id),
            _encode_id(trade.last_id),
            _LENGTH(1),
            _SIDE[trade.aggressor_side],
        )
    )


def _encode_id(value: int | None) -> bytes:
    return _NULL if value is None else _ID(8, value)


class RowEncoder:
    """Encodes rows of every data table; keeps the caches between batches."""

    def __init__(self) -> None:
        self._numeric = NumericCache()
        self._trade_prefix = _RowPrefixes(9)
        self._quote_prefix = _RowPrefixes(8)
        self._bar_prefix = _RowPrefixes(15)
        self._book_prefix = _RowPrefixes(9)
        self._metric_prefix = _RowPrefixes(5)
        self._snapshot_prefix = _RowPrefixes(len(SNAPSHOTS.columns))
        self._days: dict[str, int] = {}

    def trades(self, trades: Sequence[Trade]) -> bytes:
        """Return the rows of `trades`."""
        prefix, numeric, epoch = self._trade_prefix, self._numeric, EPOCH_MICROSECONDS
        known = numeric.get
        parts: list[bytes] = []
        push = parts.append
        for trade in trades:
            first_id, last_id = trade.first_id, trade.last_id
            price, size = trade.price, trade.size
            push(prefix[trade.instrument_id])
            if first_id is None or last_id is None:
                push(_encode_odd_trade(trade))
            else:
                push(
                    _TRADE(
                        8,
                        trade.ts_event // 1000 - epoch,
                        8,
                        trade.ts_recv // 1000 - epoch,
                        8,
                        trade.trade_id,
                        8,
                        first_id,
                        8,
                        last_id,
                        1,
                        _SIDE[trade.aggressor_side],
                    )
                )
            push(known(price) or numeric[price])
            push(known(size) or numeric[size])
        return b"".join(parts)

    def quotes(self, quotes: Sequence[Quote]) -> bytes:
        """Return the rows of `quotes`."""
        prefix, numeric, epoch = self._quote_prefix, self._numeric, EPOCH_MICROSECONDS
        parts: list[bytes] = []
        for quote in quotes:
            parts += (
                prefix[quote.instrument_id],
                _QUOTE(
                    8,
                    quote.ts_event // 1000 - epoch,
                    8,
                    quote.ts_recv // 1000 - epoch,
                    8,
                    quote.sequence,
                ),
                numeric[quote.bid_price],
                numeric[quote.bid_size],
                numeric[quote.ask_price],
                numeric[quote.ask_size],
            )
        return b"".join(parts)

    def bars(self, bars: Sequence[Bar]) -> bytes:
        """Return the rows of `bars`."""
        numeric = self._numeric
        parts: list[bytes] = []
        for bar in bars:
            parts += (
                self._bar_prefix[bar.instrument_id],
                _BAR(
                    8,
                    microseconds(bar.ts_open),
                    8,
                    microseconds(bar.ts_event),
                    8,
                    microseconds(bar.ts_recv),
                    8,
                    bar.trade_count,
                    1,
                    bar.final,
                ),
                encode_text(bar.interval),
                numeric[bar.open],
                numeric[bar.high],
                numeric[bar.low],
                numeric[bar.close],
                numeric[bar.volume],
                numeric[bar.quote_volume],
                numeric[bar.taker_buy_volume],
                numeric[bar.taker_buy_quote_volume],
            )
        return b"".join(parts)

    def book_deltas(self, deltas: Sequence[BookDelta]) -> bytes:
        """Return the rows of `deltas`; levels go as jsonb, whose strings keep every digit."""
        parts: list[bytes] = []
        for delta in deltas:
            bids, asks = bytes(delta.bids), bytes(delta.asks)
            parts += (
                self._book_prefix[delta.instrument_id],
                _BOOK(
                    8,
                    microseconds(delta.ts_event),
                    8,
                    microseconds(delta.ts_recv),
                    8,
                    delta.first_id,
                    8,
                    delta.last_id,
                ),
                _encode_id(delta.previous_last_id),
                _SNAPSHOT(1, delta.snapshot),
                _LENGTH(len(bids) + 1),
                b"\x01",
                bids,
                _LENGTH(len(asks) + 1),
                b"\x01",
                asks,
            )
        return b"".join(parts)

    def metrics(self, metrics: Sequence[Metric]) -> bytes:
        """Return the rows of `metrics`."""
        numeric = self._numeric
        parts: list[bytes] = []
        for metric in metrics:
            parts += (
                self._metric_prefix[metric.instrument_id],
                _METRIC(8, microseconds(metric.ts_event), 8, microseconds(metric.ts_recv)),
                encode_text(metric.name),
                numeric[metric.value],
            )
        return b"".join(parts)

    def snapshots(self, snapshots: Sequence[Snapshot]) -> bytes:
        """Return the rows of `snapshots`; what is open is null."""
        numeric = self._numeric
        parts: list[bytes] = []
        for snapshot in snapshots:
            parts += (
                self._snapshot_prefix[snapshot.instrument_id],
                _STATE(
                    8,
                    microseconds(snapshot.ts_event),
                    8,
                    microseconds(snapshot.ts_recv),
                    8,
                    snapshot.fingerprint,
                    8,
                    snapshot.volume,
                    4,
                    self._day(snapshot.trading_day),
                ),
            )
            parts += [
                _NULL if number is None else numeric[number] for number in _numbers_of(snapshot)
            ]
            parts += _encode_levels(snapshot.bids), _encode_levels(snapshot.asks)
        return b"".join(parts)

    def _day(self, text: str) -> int:
        days = self._days.get(text)
        if days is None:
            days = date.fromisoformat(text).toordinal() - _DAYS_BEFORE_2000
            self._days = {text: days}  # a venue has one day at a time
        return days


def _encode_levels(levels: Raw) -> bytes:
    data = bytes(levels)
    return _LENGTH(len(data) + 1) + b"\x01" + data
