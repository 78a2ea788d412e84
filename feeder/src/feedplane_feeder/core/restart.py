"""Restart gaps: what is missing between the tape a sink holds and the first new record.

Asked once per channel and process, before the channel's first record is written. Pure.
"""

from collections.abc import Iterable, Mapping

from feedplane_feeder.core.intervals import next_open_ns, previous_open_ns
from feedplane_feeder.core.ports import Watermark
from feedplane_feeder.records import (
    Bar,
    BookDelta,
    ChannelKind,
    Gap,
    GapCause,
    Metric,
    Quote,
    Record,
    Snapshot,
    Trade,
    is_numbered,
)

ChannelKey = tuple[str, str]
"""(instrument_id, channel name), for instance `("BTCUSDT.BINANCE-SPOT", "bar-1m")`."""

_PLAIN_CHANNELS: Mapping[type, str] = {
    Trade: ChannelKind.TRADE.value,
    Quote: ChannelKind.QUOTE.value,
    BookDelta: ChannelKind.BOOK.value,
    Metric: ChannelKind.METRIC.value,
    Snapshot: ChannelKind.SNAPSHOT.value,
}


def channel_key(record: Record) -> ChannelKey:
    """Return the channel a record belongs to."""
    if isinstance(record, Bar):
        return record.instrument_id, f"bar-{record.interval}"
    return record.instrument_id, _PLAIN_CHANNELS[type(record)]


class SeenChannels:
    """The channels whose restart gap was already judged in this process."""

    def __init__(self) -> None:
        self._seen: set[ChannelKey] = set()
        # Looked up for every record, so it is by type and without building a tuple.
        self._instruments: dict[type, set[str]] = {kind: set() for kind in _PLAIN_CHANNELS}

    def add(self, keys: Iterable[ChannelKey]) -> None:
        """Remember channels as judged."""
        kinds = {channel: kind for kind, channel in _PLAIN_CHANNELS.items()}
        for instrument_id, channel in keys:
            self._seen.add((instrument_id, channel))
            if channel in kinds:
                self._instruments[kinds[channel]].add(instrument_id)

    def forget(self) -> None:
        """Judge every channel again: what follows does not continue what was written."""
        self._seen.clear()
        for instruments in self._instruments.values():
            instruments.clear()

    def first_records(self, records: Iterable[Record]) -> dict[ChannelKey, Record]:
        """Return the earliest record of each channel that was not judged yet."""
        first: dict[ChannelKey, Record] = {}
        instruments = self._instruments
        for record in records:
            kind = type(record)
            if kind is Bar:
                if channel_key(record) in self._seen:
                    continue
            elif record.instrument_id in instruments[kind]:
                continue
            key = channel_key(record)
            earliest = first.get(key)
            if earliest is None or _position(record) < _position(earliest):
                first[key] = record
        return first


def restart_gap(
    held: Watermark | None,
    first: Record,
    now_ns: int,
    *,
    cause: str = GapCause.RESTART.value,
    behind: int | None = None,
) -> Gap | None:
    """Return the hole between what is held of a channel and its first new record.

    Exact ids where the venue has contiguous ones (trade, book), else the times between which
    nothing is known; None when the tape continues, or nothing was held. `behind` is the sequence
    of the quote that this line saw right before `first`, where it knows.
    """
    if held is None:
        return None
    if behind is not None and held.sequence is not None and behind <= held.sequence:
        return None
    instrument_id, channel = channel_key(first)
    ids: tuple[int, int] | None = None
    times: tuple[int, int] | None = None
    if isinstance(first, BookDelta) or (isinstance(first, Trade) and is_numbered(first)):
        ids = _missing_ids(held, first)
    elif isinstance(first, Bar):
        times = _missing_opens(held, first)
    else:
        times = _unknown_time(held, first)
    if ids is None and times is None:
        return None
    return Gap(
        instrument_id=instrument_id,
        channel=channel,
        cause=cause,
        detected_at=now_ns,
        from_id=ids[0] if ids else None,
        to_id=ids[1] if ids else None,
        from_ts=times[0] if times else None,
        to_ts=times[1] if times else None,
    )


def _missing_ids(held: Watermark, first: Trade | BookDelta) -> tuple[int, int] | None:
    if held.sequence is None:
        return None
    start = held.sequence + 1
    if isinstance(first, Trade):
        end = first.trade_id - 1
    elif first.snapshot:
        # The snapshot is the state after its last update; the updates themselves are missing.
        end = first.last_id
    elif first.previous_last_id is not None:
        end = first.previous_last_id
    else:
        end = first.first_id - 1
    return (start, end) if end >= start else None


def _missing_opens(held: Watermark, first: Bar) -> tuple[int, int] | None:
    start = next_open_ns(held.ts_event, first.interval)
    end = previous_open_ns(first.ts_open, first.interval)
    return (start, end) if end >= start else None


def _unknown_time(
    held: Watermark, first: Quote | Metric | Snapshot | Trade
) -> tuple[int, int] | None:
    # Quote numbers need not be contiguous, but the very next one leaves no room for another.
    known = held.sequence if isinstance(first, Quote) else None
    if known is not None and isinstance(first, Quote) and first.sequence <= known + 1:
        return None
    return (held.ts_event, first.ts_event) if first.ts_event > held.ts_event else None


def _position(record: Record) -> int:
    if isinstance(record, Trade):
        return record.trade_id if is_numbered(record) else record.ts_event
    if isinstance(record, Quote):
        return record.sequence
    if isinstance(record, BookDelta):
        return record.last_id
    if isinstance(record, Bar):
        return record.ts_open
    return record.ts_event
