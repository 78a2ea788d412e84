"""Ground truth: what the venue emitted, and what each connection was sent of it."""

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from feedplane_simulator.events import VenueEvent

Key = tuple[str, str, str]
"""Market or hosted venue, channel, symbol."""

IDS_KEEP = 20_000_000
ENTRY_BYTES = 64


@dataclass(slots=True)
class EmittedChannel:
    """Everything one channel of one instrument emitted. `ids` holds final events only."""

    count: int = 0
    updates: int = 0
    first: int | None = None
    last: int | None = None
    last_ms: int = 0
    ids: "array[int]" = field(default_factory=lambda: array("q"))
    times: "array[int]" = field(default_factory=lambda: array("q"))
    forgotten: int = 0
    """How many of the oldest ids are no longer kept."""

    def record(self, sequence: int, now_ms: int, *, final: bool) -> None:
        """Count one event."""
        self.updates += 1
        self.last_ms = now_ms
        if not final:
            return
        self.count += 1
        if self.first is None:
            self.first = sequence
        self.last = sequence
        self.ids.append(sequence)
        self.times.append(now_ms)
        if len(self.ids) > IDS_KEEP:
            half = IDS_KEEP // 2
            del self.ids[:half]
            del self.times[:half]
            self.forgotten += half

    def record_span(self, first: int, last: int, count: int, now_ms: int) -> None:
        """Count events of a load run, whose ids follow from arithmetic and need no list."""
        if self.first is None:
            self.first = first
        self.last, self.last_ms = last, now_ms
        self.count += count
        self.updates += count

    def summary(self) -> dict[str, Any]:
        """Return the counts as the admin port answers them."""
        return {
            "count": self.count,
            "updates": self.updates,
            "first": self.first,
            "last": self.last,
            "lastTime": self.last_ms,
        }


@dataclass(slots=True)
class DeliveredStream:
    """What one connection was sent of one stream, and over which window it had it subscribed."""

    connection: int
    stream: str
    subscribed_ms: int
    after: int | None
    """The last id emitted before the subscription."""
    until: int | None = None
    """The last id emitted before its end; None while it lasts."""
    ended_ms: int | None = None
    count: int = 0
    first: int | None = None
    last: int | None = None
    last_ms: int = 0
    withheld: "array[int]" = field(default_factory=lambda: array("q"))
    withheld_count: int = 0
    duplicated: int = 0
    account: str = ""

    def sent(self, sequence: int, now_ms: int) -> None:
        """Count one event written to the socket."""
        self.count += 1
        if self.first is None:
            self.first = sequence
        self.last, self.last_ms = sequence, now_ms

    def withhold(self, sequence: int) -> None:
        """Count one event a fault kept from the connection."""
        self.withheld_count += 1
        if self.withheld_count <= 100_000:
            self.withheld.append(sequence)

    def summary(self) -> dict[str, Any]:
        """Return the window and the counts as the admin port answers them."""
        return {
            "connection": self.connection,
            "account": self.account,
            "stream": self.stream,
            "subscribedTime": self.subscribed_ms,
            "endedTime": self.ended_ms,
            "after": self.after,
            "until": self.until,
            "count": self.count,
            "first": self.first,
            "last": self.last,
            "lastTime": self.last_ms,
            "withheld": self.withheld_count,
            "duplicated": self.duplicated,
        }


class Truth:
    """Every channel's emissions and every connection's deliveries, bounded."""

    def __init__(self, payload_bytes: int) -> None:
        self.emitted: dict[Key, EmittedChannel] = {}
        self.delivered: dict[Key, deque[DeliveredStream]] = {}
        self.before_read: list[Callable[[], None]] = []
        """Called before any question is answered, by whoever keeps its account lazily."""
        self.marks: dict[str, dict[Key, tuple[int, int | None]]] = {}
        self._payloads: deque[tuple[Key, int, int, bytes]] = deque()
        self._payload_bytes = 0
        self._payload_limit = payload_bytes

    def _settle(self) -> None:
        for settle in self.before_read:
            settle()

    def channel(self, market: str, channel: str, symbol: str) -> EmittedChannel:
        """Return the record of a channel, made when it is first asked for."""
        key = (market, channel, symbol)
        found = self.emitted.get(key)
        if found is None:
            found = self.emitted[key] = EmittedChannel()
        return found

    def record(self, market: str, event: VenueEvent, now_ms: int) -> None:
        """Write down one emitted event with its payload."""
        channel = self.channel(market, event.channel, event.symbol)
        channel.record(event.sequence, now_ms, final=event.final)
        key = (market, event.channel, event.symbol)
        self._payloads.append((key, event.sequence, now_ms, event.payload))
        self._payload_bytes += len(event.payload) + ENTRY_BYTES
        while self._payload_bytes > self._payload_limit:
            forgotten = self._payloads.popleft()
            self._payload_bytes -= len(forgotten[3]) + ENTRY_BYTES

    def subscribed(
        self, market: str, channel: str, symbol: str, opened: DeliveredStream
    ) -> DeliveredStream:
        """Open a delivery window for one connection and stream."""
        self._settle()
        opened.after = self.channel(market, channel, symbol).last
        windows = self.delivered.setdefault((market, channel, symbol), deque(maxlen=1000))
        windows.append(opened)
        return opened

    def unsubscribed(
        self, market: str, channel: str, symbol: str, window: DeliveredStream, now_ms: int
    ) -> None:
        """Close a delivery window."""
        self._settle()
        window.until = self.channel(market, channel, symbol).last
        window.ended_ms = now_ms

    def mark(self, name: str) -> None:
        """Remember where every channel stands."""
        self._settle()
        self.marks[name] = {key: (e.count, e.last) for key, e in self.emitted.items()}

    def summarize(self, since: str | None = None) -> list[dict[str, Any]]:
        """Return all channels' counts, of all time or since a mark.

        Raises:
            KeyError: no such mark.
        """
        self._settle()
        marked = self.marks[since] if since is not None else {}
        rows = []
        for key, emitted in sorted(self.emitted.items()):
            row: dict[str, Any] = {"market": key[0], "channel": key[1], "symbol": key[2]}
            row["emitted"] = emitted.summary()
            if since is not None:
                before, after = marked.get(key, (0, None))
                row["emitted"] |= self._since(emitted, before, after)
            row["delivered"] = [window.summary() for window in self.delivered.get(key, ())]
            rows.append(row)
        return rows

    def _since(self, emitted: EmittedChannel, before: int, after: int | None) -> dict[str, Any]:
        count = emitted.count - before
        first: int | None = None
        if (
            count
            and before - emitted.forgotten >= 0
            and before - emitted.forgotten < len(emitted.ids)
        ):
            first = emitted.ids[before - emitted.forgotten]
        elif count and after is not None:
            first = after + 1
        elif count:
            first = emitted.first
        return {"count": count, "first": first, "last": emitted.last if count else None}

    def ids(self, key: Key, after: int | None = None, until: int | None = None) -> list[int]:
        """Return the kept ids of a channel's final events, in emitted order."""
        kept = self.emitted[key].ids if key in self.emitted else array("q")
        return [
            sequence
            for sequence in kept
            if (after is None or sequence > after) and (until is None or sequence <= until)
        ]

    def spans(self, key: Key, window: DeliveredStream) -> list[dict[str, int]]:
        """Return what one connection was sent of a stream as unbroken runs of emitted ids.

        A run names its first and last id, when the venue emitted them, and how many there were.
        Ids of load runs follow from arithmetic, so theirs is one run.
        """
        self._settle()
        emitted = self.emitted[key]
        if window.first is None or window.last is None:
            return []
        start = bisect_left(emitted.ids, window.first)
        end = bisect_right(emitted.ids, window.last)
        if start == end:
            return [
                _span(window.first, window.last, window.subscribed_ms, window.last_ms, window.count)
            ]
        gone, runs, begin = set(window.withheld), [], start
        for at in range(start, end + 1):
            if at < end and emitted.ids[at] not in gone:
                continue
            if at > begin:
                first, last = emitted.ids[begin], emitted.ids[at - 1]
                runs.append(
                    _span(first, last, emitted.times[begin], emitted.times[at - 1], at - begin)
                )
            begin = at + 1
        return runs

    def _emitted_between(self, key: Key, first: int, last: int) -> "array[int]":
        ids = self.emitted[key].ids
        return ids[bisect_left(ids, first) : bisect_right(ids, last)]

    def deliveries(
        self, key: Key, account: str | None = None, *, with_ids: bool = False
    ) -> dict[str, list[dict[str, Any]]]:
        """Return per account what each of its connections was sent of one channel."""
        told: dict[str, list[dict[str, Any]]] = {}
        for window in self.delivered.get(key, ()):
            if account is not None and window.account != account:
                continue
            row = window.summary() | {"spans": self.spans(key, window)}
            if with_ids:
                row["ids"] = [
                    sequence
                    for span in row["spans"]
                    for sequence in self._emitted_between(key, span["first"], span["last"])
                ]
            told.setdefault(window.account, []).append(row)
        return told

    def events(self, key: Key) -> list[tuple[int, int, bytes]]:
        """Return the kept events of a channel: sequence, emission time in ms, payload."""
        return [(seq, at, payload) for k, seq, at, payload in self._payloads if k == key]


def _span(first: int, last: int, first_ms: int, last_ms: int, count: int) -> dict[str, int]:
    return {
        "first": first,
        "last": last,
        "firstTime": first_ms,
        "lastTime": last_ms,
        "count": count,
    }
