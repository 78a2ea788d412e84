"""Snapshot track: the order of one instrument's snapshots, which bear no numbers.

Volume and trading day only rise, so what contradicts that cannot be true; what stood already is a
second copy; after an interruption nobody knows how many snapshots there were. Pure.
"""

from collections import deque
from enum import Enum, auto
from typing import Final

import msgspec

from feedplane_feeder.core.taken import Taken, count_in
from feedplane_feeder.core.tracks import SEQUENCE, TimedTrack
from feedplane_feeder.records import ChannelKind, Quarantined, Snapshot

CHANNEL: Final = ChannelKind.SNAPSHOT.value
RECENT_SNAPSHOTS: Final = 64


class Standing(Enum):
    """What a snapshot is beside those that came before it."""

    NEW = auto()
    LATE = auto()
    """Older than the newest one, and not known."""
    DUPLICATE = auto()
    STALE = auto()
    """Of a trading day that is over."""
    IMPOSSIBLE = auto()
    """Its volume went back while time went on, or the other way round."""


class SnapshotTrack(TimedTrack):
    """One snapshot channel."""

    __slots__ = ("newest", "recent")
    channel = CHANNEL

    def __init__(self) -> None:
        super().__init__()
        self.newest: Snapshot | None = None
        self.recent: deque[tuple[int, int]] = deque(maxlen=RECENT_SNAPSHOTS)

    def take_into(self, taken: Taken, snapshot: Snapshot, now_ns: int, venue: str) -> None:
        """Judge a snapshot and book what it came to, with the gap that it ends."""
        standing = self._judge(snapshot)
        if standing is Standing.IMPOSSIBLE:
            taken.quarantined.append(_quarantine(snapshot, venue))
            return
        if standing is Standing.STALE:
            count_in(taken.out_of_order, CHANNEL)
            return
        self.ts_recv = now_ns
        self._settle_doubt(snapshot, standing, now_ns, taken)
        if standing is Standing.DUPLICATE:
            count_in(taken.duplicates, CHANNEL)
            return
        self.recent.append((snapshot.ts_event, snapshot.fingerprint))
        if standing is Standing.LATE:
            count_in(taken.out_of_order, CHANNEL)
        else:
            if self.newest is None:
                self.unbroken_from = snapshot.ts_event
            self.newest = snapshot
            self.ts_event = snapshot.ts_event
        taken.records.append(snapshot)
        count_in(taken.counts, CHANNEL)

    def _judge(self, snapshot: Snapshot) -> Standing:
        newest = self.newest
        if newest is None:
            return Standing.NEW
        if (snapshot.ts_event, snapshot.fingerprint) in self.recent:
            return Standing.DUPLICATE
        if snapshot.trading_day != newest.trading_day:
            later = snapshot.trading_day > newest.trading_day
            return Standing.NEW if later else Standing.STALE
        later_ns = snapshot.ts_event - newest.ts_event
        more = snapshot.volume - newest.volume
        if later_ns * more < 0:
            return Standing.IMPOSSIBLE
        return Standing.LATE if later_ns < 0 or more < 0 else Standing.NEW

    # The same snapshot as before says that nothing happened meanwhile: the venue prints on change.
    def _settle_doubt(
        self, snapshot: Snapshot, standing: Standing, now_ns: int, taken: Taken
    ) -> None:
        newest = self.newest
        if newest is None or not self.ends_doubt(now_ns):
            return
        if standing is Standing.NEW:
            self.end_doubt(snapshot.instrument_id, snapshot.ts_event, now_ns, taken)
        elif standing is Standing.DUPLICATE and _is_same(snapshot, newest):
            self.cause = SEQUENCE


def _is_same(one: Snapshot, other: Snapshot) -> bool:
    return (one.ts_event, one.fingerprint) == (other.ts_event, other.fingerprint)


def _quarantine(snapshot: Snapshot, venue: str) -> Quarantined:
    return Quarantined(
        ts_recv=snapshot.ts_recv,
        venue=venue,
        channel=CHANNEL,
        instrument_id=snapshot.instrument_id,
        reason="VolumeRegression",
        raw=msgspec.json.encode(snapshot)[:4_096].decode("utf-8", "replace"),
    )
