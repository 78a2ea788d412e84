"""Records, a sink that fails on command and a clock, for tests of what carries records."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Raw

from feedplane_api.worker import SinkReport
from feedplane_feeder.core.ports import Batch, Watermark, Written
from feedplane_feeder.core.restart import channel_key
from feedplane_feeder.errors import SinkUnavailableError
from feedplane_feeder.records import (
    Bar,
    BookDelta,
    Gap,
    Quarantined,
    Quote,
    Record,
    Snapshot,
    Trade,
    snapshot_fingerprint,
)
from feedplane_feeder.settlement import Settlement

START_NS = 1_760_000_040_000_000_000
MINUTE_NS = 60_000_000_000
INSTRUMENT = "BTCUSDT.BINANCE-SPOT"


def make_trade(
    trade_id: int,
    *,
    instrument_id: str = INSTRUMENT,
    price: str = "0.35130000",
    size: str = "6195.00000000",
    first_id: int | None = None,
) -> Trade:
    """Return a trade whose time follows from its id."""
    ts_event = START_NS + trade_id * 1_000_000
    return Trade(
        instrument_id=instrument_id,
        ts_event=ts_event,
        ts_recv=ts_event + 5_000_000,
        trade_id=trade_id,
        price=price,
        size=size,
        aggressor_side="B",
        first_id=first_id,
        last_id=first_id,
    )


def make_quote(sequence: int, *, ts_event: int | None = None) -> Quote:
    """Return a quote; `ts_event` follows from its sequence unless it is given."""
    ts_event = START_NS + sequence * 1_000_000 if ts_event is None else ts_event
    return Quote(
        instrument_id=INSTRUMENT,
        ts_event=ts_event,
        ts_recv=ts_event,
        sequence=sequence,
        bid_price="0.35210000",
        bid_size="672.00000000",
        ask_price="0.35260000",
        ask_size="3199.00000000",
    )


def make_bar(minute: int, *, version: int = 0, final: bool = False, close: str = "1.0") -> Bar:
    """Return a version of a one-minute bar."""
    ts_open = START_NS + minute * MINUTE_NS
    return Bar(
        instrument_id=INSTRUMENT,
        interval="1m",
        ts_open=ts_open,
        ts_event=ts_open + version * 1_000_000_000,
        ts_recv=ts_open + version * 1_000_000_000,
        open="1.0",
        high="2.0",
        low="0.50",
        close=close,
        volume="3917",
        quote_volume="3957.89900",
        trade_count=48,
        taker_buy_volume="1729",
        taker_buy_quote_volume="0.00000000",
        final=final,
    )


def make_delta(
    first_id: int, last_id: int, *, previous: int | None = None, snapshot: bool = False
) -> BookDelta:
    """Return a change to a book, or its full state."""
    ts_event = START_NS + last_id * 1_000_000
    return BookDelta(
        instrument_id=INSTRUMENT,
        ts_event=ts_event,
        ts_recv=ts_event,
        first_id=first_id,
        last_id=last_id,
        previous_last_id=previous,
        bids=Raw(b'[["0.35130000","6195.00000000"]]'),
        asks=Raw(b"[]"),
        snapshot=snapshot,
    )


def make_snapshot(volume: int) -> Snapshot:
    """One of every half second, with nearly all left open that a venue may leave open."""
    ts_event = START_NS + volume * 500_000_000
    return Snapshot(
        instrument_id=INSTRUMENT,
        ts_event=ts_event,
        ts_recv=ts_event + 1_000_000,
        trading_day="2025-10-09",
        fingerprint=snapshot_fingerprint("2025-10-09", volume),
        volume=volume,
        last_price="3101.5",
        bids=Raw(b'[["3099","7"]]'),
    )


class LoopClock:
    """Wall time that follows the event loop's, so that virtual time bends it too."""

    def now_ns(self) -> int:
        """Return a time that starts at START_NS."""
        return START_NS + int(asyncio.get_running_loop().time() * 1e9)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class MemorySink:
    """Keeps what it is given and refuses second copies; can be away, slow or forgetful."""

    kind = "memory"

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.away = False
        self.forgets_answer = False
        """The next write is committed, and its answer lost."""
        self.seconds_per_write = 0.0
        self.records: list[Record] = []
        self.gaps: list[Gap] = []
        self.filled: list[tuple[Gap, str]] = []
        self.batches: list[Batch] = []
        self.held: dict[tuple[str, str], Watermark] = {}
        self.open_count = 0
        self._keys: set[object] = set()

    async def open(self) -> None:
        """Connect."""
        if self.away:
            raise SinkUnavailableError(self.name, "away")
        self.open_count += 1

    async def write(self, batch: Batch) -> Written:
        """Keep what is new."""
        if self.seconds_per_write:
            await asyncio.sleep(self.seconds_per_write)
        if self.away:
            raise SinkUnavailableError(self.name, "away")
        new = 0
        for record in batch.records:
            key = _key(record)
            if key not in self._keys:
                self._keys.add(key)
                self.records.append(record)
                new += 1
        self.gaps += batch.gaps
        self.batches.append(batch)
        if self.forgets_answer:
            self.forgets_answer = False
            raise SinkUnavailableError(self.name, "answer lost")
        return Written(new=new, duplicate=len(batch.records) - new)

    async def last(
        self, channels: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Watermark]:
        """Return what was planted, else the newest trade kept."""
        found = dict(self.held)
        for record in self.records:
            if isinstance(record, Trade):
                found[channel_key(record)] = Watermark(
                    sequence=record.trade_id, ts_event=record.ts_event
                )
        return {key: found[key] for key in channels if key in found}

    async def open_gaps(self, since_ns: int) -> Sequence[Gap]:
        """Return the gaps found since then that were not filled."""
        if self.away:
            raise SinkUnavailableError(self.name, "away")
        return [gap for gap in self.gaps if gap.detected_at >= since_ns]

    async def fill(self, gaps: Sequence[Gap], filled_by: str) -> int:
        """Take the gaps away and note who filled them."""
        self.filled += [(gap, filled_by) for gap in gaps if gap in self.gaps]
        self.gaps = [gap for gap in self.gaps if gap not in gaps]
        return len(gaps)

    async def close(self) -> None:
        """Nothing to release."""

    @property
    def trade_ids(self) -> list[int]:
        """Ids of the trades kept, in order of arrival."""
        return [record.trade_id for record in self.records if isinstance(record, Trade)]


def _key(record: Record) -> object:
    if isinstance(record, Trade):
        return "trade", record.instrument_id, record.trade_id
    return record


@dataclass(slots=True)
class ListWriter:
    """A sink's writer that keeps everything in lists."""

    records: list[Record] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    on_gap: Callable[[Gap], None] | None = None
    on_resync: Callable[[str], None] | None = None
    last_failover_milliseconds: int | None = None
    settlement: Settlement = field(default_factory=lambda: Settlement(MemorySink()))
    full: bool = False

    def offer(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.records.extend(batch.records)
        self.gaps.extend(batch.gaps)
        self.quarantined.extend(batch.quarantined)

    async def room(self) -> None:
        await asyncio.sleep(0.3)
        self.full = False

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def flush(self, timeout_seconds: float) -> bool:
        return timeout_seconds > 0

    async def drain(self, timeout_seconds: float) -> bool:
        return timeout_seconds > 0

    def report(self) -> SinkReport:
        return SinkReport(name="list", kind="list", records_written=len(self.records))
