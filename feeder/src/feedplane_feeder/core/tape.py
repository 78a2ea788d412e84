"""Tape: every channel's sequence over all connections; what is missing has a name.

Records of several connections of one channel may arrive interleaved (make-before-break); the
first copy counts. What a channel's numbering cannot tell, times tell: quotes and bars leave a
gap in time when their channel was interrupted. Pure; must not know connections, sinks or tasks.
"""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from feedplane_feeder.core.bar_track import BarTrack
from feedplane_feeder.core.book import Book, decode_levels, parse_levels
from feedplane_feeder.core.ports import Channel
from feedplane_feeder.core.sequence import Hole, Place
from feedplane_feeder.core.snapshot_track import SnapshotTrack
from feedplane_feeder.core.taken import Taken as Taken
from feedplane_feeder.core.taken import count_in
from feedplane_feeder.core.tracks import (
    NEVER,
    SEQUENCE,
    BookTrack,
    LooseTrack,
    NumberedTrack,
    QuoteTrack,
    TimedTrack,
    Track,
)
from feedplane_feeder.errors import ImpossibleValueError
from feedplane_feeder.records import (
    Bar,
    BookDelta,
    ChannelKind,
    Gap,
    GapCause,
    Quarantined,
    Quote,
    Record,
    Snapshot,
    Trade,
)


class Tape:
    """All channels of one feeder."""

    def __init__(self, venue: str, *, dense_bars: bool = True) -> None:
        self._venue = venue
        self._dense_bars = dense_bars
        self._trades: defaultdict[str, NumberedTrack] = defaultdict(NumberedTrack)
        self._loose: defaultdict[str, LooseTrack] = defaultdict(LooseTrack)
        self._quotes: defaultdict[str, QuoteTrack] = defaultdict(QuoteTrack)
        self._bars: defaultdict[tuple[str, str], BarTrack] = defaultdict(BarTrack)
        self._books: defaultdict[str, BookTrack] = defaultdict(BookTrack)
        self._snapshots: defaultdict[str, SnapshotTrack] = defaultdict(SnapshotTrack)

    def take(self, records: Iterable[Record], ts_recv: int) -> Taken:
        """Check a batch of records; `ts_recv` is when its frames were read."""
        taken = Taken()
        append = taken.records.append
        trades, quotes = self._trades, self._quotes
        trade_count = quote_count = book_count = 0
        for record in records:
            kind = type(record)
            if kind is Trade:
                trade = trades[record.instrument_id]
                number = record.trade_id  # type: ignore[union-attr]  # kind says so
                trade.ts_recv = ts_recv
                if trade.next == number:
                    trade.next = number + 1
                    trade_count += 1
                    append(record)
                elif number < 0:
                    trade_count += self._take_loose(record, ts_recv, taken)  # type: ignore[arg-type]
                else:
                    self._place(trade, number - 1, number, record, ts_recv, taken)
            elif kind is Quote:
                quote = quotes[record.instrument_id]
                if self._take_quote(quote, record, ts_recv, taken):  # type: ignore[arg-type]
                    quote_count += 1
                    append(record)
            elif kind is BookDelta:
                book_count += self._take_delta(record, ts_recv, taken)  # type: ignore[arg-type]
            elif kind is Bar:
                bars = self._bars[record.instrument_id, f"bar-{record.interval}"]  # type: ignore[union-attr]
                bars.take_into(taken, record, ts_recv, dense=self._dense_bars)  # type: ignore[arg-type]
            elif kind is Snapshot:
                track = self._snapshots[record.instrument_id]
                track.take_into(taken, record, ts_recv, self._venue)  # type: ignore[arg-type]
        count_in(taken.counts, "trade", trade_count)
        count_in(taken.counts, "quote", quote_count)
        count_in(taken.counts, "book", book_count)
        return taken

    def take_snapshot(self, snapshot: BookDelta, ts_recv: int) -> Taken:
        """Take a book's full state; it is a record too."""
        taken = Taken()
        track = self._books[snapshot.instrument_id]
        track.asked = False
        try:
            bids, asks = parse_levels(snapshot.bids), parse_levels(snapshot.asks)
            fits = track.book.restart(snapshot.last_id, bids, asks)
        except ImpossibleValueError as error:
            self._quarantine(snapshot, "book", error.reason, taken)
            fits = False
        if fits:
            track.hold(snapshot.last_id, snapshot)
            self._release(track, "book", taken)
        else:
            self._resync(track, snapshot.instrument_id, taken)
        return taken

    def snapshot_wanted(self, instrument_id: str) -> bool:
        """Tell whether a book still waits for its snapshot."""
        track = self._books.get(instrument_id)
        return track is not None and track.asked

    def lose_book(self, instrument_id: str) -> bool:
        """Give a book up, so that it starts again from a snapshot; False when there is none."""
        track = self._books.get(instrument_id)
        if track is None or track.asked:
            return False
        track.book.lose()
        track.asked = True
        return True

    def span(self, instrument_id: str, channel: str) -> tuple[int, int] | None:
        """Return ts_event of the first and last record between which this line missed none."""
        track = self._track(Channel(instrument_id, channel), instrument_id)
        return track.span if isinstance(track, TimedTrack) else None

    def spans(self, instrument_id: str, channel: str) -> tuple[tuple[int, int], ...]:
        """Return the newest such spans, the present one last."""
        track = self._track(Channel(instrument_id, channel), instrument_id)
        if not isinstance(track, TimedTrack) or track.span is None:
            return ()
        return *track.earlier, track.span

    def quote_sequences(self) -> dict[str, int]:
        """Return the newest sequence of each quote channel that had one."""
        return {key: track.last for key, track in self._quotes.items() if track.last >= 0}

    def book(self, instrument_id: str) -> Book | None:
        """Return the kept book of an instrument."""
        track = self._books.get(instrument_id)
        return track.book if track else None

    def last_recv(self, channel: Channel, instrument_id: str) -> int:
        """Return ts_recv of the channel's newest record, 0 when there was none."""
        track = self._track(channel, instrument_id)
        return track.ts_recv if track else 0

    def interrupt(
        self, channel: Channel, instrument_id: str, cause: GapCause, now_ns: int, since_ts: int = 0
    ) -> None:
        """Tell that a channel was not covered for a moment; its next record shows what it cost.

        `since_ts` says from which ts_event on, where newer records came meanwhile.
        """
        track = self._track(channel, instrument_id)
        if track is not None:
            track.interrupt(cause.value, now_ns, since_ts)

    def forget(self, channel: Channel, instrument_id: str, now_ns: int) -> Taken:
        """Drop a channel that is not wanted any more; open holes become gaps."""
        taken = Taken()
        track = self._track(channel, instrument_id)
        if isinstance(track, NumberedTrack):
            holes = track.sequence.expire(now_ns, everything=True)
            self._name_holes(holes, instrument_id, channel.name, now_ns, taken)
            self._release(track, channel.name, taken)
        elif isinstance(track, BarTrack):
            track.expire(taken, now_ns, everything=True)
        match channel.name:
            case "trade":
                self._trades.pop(instrument_id, None)
                self._loose.pop(instrument_id, None)
            case "quote":
                self._quotes.pop(instrument_id, None)
            case "book":
                self._books.pop(instrument_id, None)
            case "snapshot":
                self._snapshots.pop(instrument_id, None)
            case name:
                self._bars.pop((instrument_id, name), None)
        return taken

    def sweep(self, now_ns: int, *, closing: bool = False) -> Taken:
        """Name the holes that stayed open; call it about every second, and when closing."""
        taken = Taken()
        tracks: list[tuple[str, ChannelKind, NumberedTrack]] = [
            *((key, ChannelKind.TRADE, track) for key, track in self._trades.items()),
            *((key, ChannelKind.BOOK, track) for key, track in self._books.items()),
        ]
        for instrument_id, kind, track in tracks:
            track.clear_cause()
            holes = track.sequence.expire(now_ns, everything=closing)
            if holes:
                self._name_holes(holes, instrument_id, kind.value, now_ns, taken)
                self._release(track, kind.value, taken)
                if isinstance(track, BookTrack) and not closing:
                    self._resync(track, instrument_id, taken)
        for bars in self._bars.values():
            bars.expire(taken, now_ns, everything=closing)
        if closing:
            for timed in (self._quotes, self._loose, self._snapshots):
                for instrument_id, last in timed.items():
                    last.close(instrument_id, now_ns, taken)
        return taken

    # What did not pass at first sight: new, late, ahead of a hole, or a copy. True when kept.
    def _place(
        self,
        track: NumberedTrack,
        after: int,
        to: int,
        record: Record,
        now_ns: int,
        taken: Taken,
    ) -> bool:
        kind = "trade" if type(record) is Trade else "book"
        place = track.place(after, to, record, now_ns)
        if place is Place.DUPLICATE:
            count_in(taken.duplicates, kind)
            return False
        if place is Place.FILLED:
            count_in(taken.out_of_order, kind)
        # Behind a hole there is nothing to release before something fills or names it.
        if place not in (Place.NEW, Place.JUMPED) or track.sequence.first_missing is None:
            self._release(track, kind, taken)
        return True

    def _release(self, track: NumberedTrack, kind: str, taken: Taken) -> None:
        ready = track.release()
        taken.records.extend(ready)
        count_in(taken.counts, kind, len(ready))

    def _take_quote(self, track: QuoteTrack, quote: Quote, now_ns: int, taken: Taken) -> bool:
        number = quote.sequence
        if number > track.last:
            if track.cause is not SEQUENCE and track.ends_doubt(now_ns):
                track.end_doubt(quote.instrument_id, quote.ts_event, now_ns, taken)
            elif track.last < 0:
                track.unbroken_from = quote.ts_event
            track.last = number
            track.ts_event = quote.ts_event
        elif number in track.recent:
            count_in(taken.duplicates, "quote")
            return False
        else:
            count_in(taken.out_of_order, "quote")
        track.recent.append(number)
        track.ts_recv = now_ns
        return True

    # Trades whose ids are no run: what was missed is told by time, as with quotes.
    def _take_loose(self, trade: Trade, now_ns: int, taken: Taken) -> bool:
        track = self._loose[trade.instrument_id]
        if track.is_copy(trade.trade_id):
            count_in(taken.duplicates, "trade")
            return False
        if trade.ts_event >= track.ts_event:
            if track.ends_doubt(now_ns):
                track.end_doubt(trade.instrument_id, trade.ts_event, now_ns, taken)
            elif track.ts_event == NEVER:
                track.unbroken_from = trade.ts_event
            track.ts_event = trade.ts_event
        else:
            count_in(taken.out_of_order, "trade")
        track.ts_recv = now_ns
        taken.records.append(trade)
        return True

    # Returns how many passed at first sight; what was placed is counted when it is released.
    def _take_delta(self, delta: BookDelta, now_ns: int, taken: Taken) -> int:
        instrument_id = delta.instrument_id
        track = self._books[instrument_id]
        previous, last_id = delta.previous_last_id, delta.last_id
        after = delta.first_id - 1 if previous is None else previous
        try:
            bids, asks = decode_levels(delta.bids), decode_levels(delta.asks)
        except msgspec.DecodeError:
            # Its numbers are not taken in, so they become a hole and the hole a gap.
            self._quarantine(delta, "book", "MalformedLevels", taken)
            return 0
        track.ts_recv = now_ns
        passed = 0
        if track.next == after + 1:
            track.next = last_id + 1
            taken.records.append(delta)
            passed = 1
        elif not self._place(track, after, last_id, delta, now_ns, taken):
            return 0
        try:
            track.book.apply(after, last_id, bids, asks)
        except ImpossibleValueError as error:
            self._quarantine(delta, "book", error.reason, taken)
            self._resync(track, instrument_id, taken)
        if track.book.last_id is None and not track.asked:
            self._resync(track, instrument_id, taken)
        return passed

    def _resync(self, track: BookTrack, instrument_id: str, taken: Taken) -> None:
        track.book.lose()
        track.asked = True
        taken.resyncs.append(instrument_id)

    def _name_holes(
        self, holes: list[Hole], instrument_id: str, channel: str, now_ns: int, taken: Taken
    ) -> None:
        for hole in holes:
            taken.gaps.append(
                Gap(
                    instrument_id=instrument_id,
                    channel=channel,
                    cause=hole.cause,
                    detected_at=now_ns,
                    from_id=hole.first,
                    to_id=hole.last,
                )
            )

    def _quarantine(self, delta: BookDelta, channel: str, reason: str, taken: Taken) -> None:
        taken.quarantined.append(
            Quarantined(
                ts_recv=delta.ts_recv,
                venue=self._venue,
                channel=channel,
                instrument_id=delta.instrument_id,
                reason=reason,
                raw=msgspec.json.encode(delta)[:4_096].decode("utf-8", "replace"),
            )
        )

    def _track(self, channel: Channel, instrument_id: str) -> Track | None:
        match channel.name:
            case "trade":
                return self._loose.get(instrument_id) or self._trades.get(instrument_id)
            case "quote":
                return self._quotes.get(instrument_id)
            case "book":
                return self._books.get(instrument_id)
            case "snapshot":
                return self._snapshots.get(instrument_id)
            case name:
                return self._bars.get((instrument_id, name))
