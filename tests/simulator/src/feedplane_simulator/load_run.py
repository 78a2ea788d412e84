"""A load run: whole slices of frames written to every subscribed connection, and its account."""

import asyncio
import logging
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from feedplane_simulator.connection import Connection
from feedplane_simulator.events import LogEvent
from feedplane_simulator.instruments import Instrument
from feedplane_simulator.load import (
    Kind,
    LapEncoder,
    LapPlan,
    LapTemplate,
    LoadSpec,
    build_slots,
    choose_streams,
)
from feedplane_simulator.market import LiveMarket
from feedplane_simulator.truth import DeliveredStream

logger = logging.getLogger(__name__)

SLICE_EVENTS = 1000
HIGH_WATER_BYTES = 2 * 1024 * 1024
POLL_SECONDS = 0.001
STUCK_SECONDS = 10.0
OVERTIME_SECONDS = 1.0
"""How long a run may go on past its time to emit the whole number it promised."""


@dataclass(slots=True)
class LoadFeed:
    """What one connection gets of a run: its template and up to where its truth is written."""

    connection: Connection
    template: LapTemplate
    windows: dict[tuple[int, Kind], DeliveredStream]
    subscribed: tuple[str, ...]
    combined: bool
    accounted: int


class LoadRun:
    """One run over one market."""

    def __init__(
        self,
        market: LiveMarket,
        spec: LoadSpec,
        instruments: Sequence[Instrument],
        lap: int,
        seed: int,
    ) -> None:
        self.spec = spec
        self.market = market
        self.plan = LapPlan(build_slots(spec.pattern), [i.symbol for i in instruments], lap)
        self.encoder = LapEncoder(market.name, self.plan, instruments, seed)
        self.frames_wanted = spec.frames
        if spec.frames is None and spec.rate is not None and spec.seconds is not None:
            self.frames_wanted = round(spec.rate * spec.seconds)
        self.position = 0
        self.state = "running"
        self.started_at = asyncio.get_running_loop().time()
        self.ended_at: float | None = None
        self.throttled_seconds = 0.0
        self.frames_written = 0
        self._accounted = 0
        self._feeds: dict[int, LoadFeed] = {}
        self._slice_positions = array("q")
        self._slice_times = array("q")

    def time_of(self, position: int) -> int:
        """Return the event time, in ms, of a position already emitted."""
        return self._slice_times[bisect_right(self._slice_positions, position) - 1]

    def _remaining(self, now: float) -> int:
        spec = self.spec
        late = OVERTIME_SECONDS if self.frames_wanted is not None else 0.0
        if spec.seconds is not None and now - self.started_at >= spec.seconds + late:
            return 0
        if self.frames_wanted is not None:
            return max(0, self.frames_wanted - self.position)
        return SLICE_EVENTS

    def _refresh_feeds(self) -> None:
        live = self.market.connections
        for number in [n for n in self._feeds if n not in live]:
            self._account_feed(self._feeds.pop(number))
        for number, connection in live.items():
            feed = self._feeds.get(number)
            subscribed = tuple(
                text for text, stream in connection.streams.items() if stream.window is not None
            )
            if feed is not None and (feed.subscribed, feed.combined) == (
                subscribed,
                connection.combined,
            ):
                continue
            if feed is not None:
                self._account_feed(self._feeds.pop(number))
            if subscribed:
                self._feeds[number] = self._build_feed(connection, subscribed)

    def _build_feed(self, connection: Connection, subscribed: tuple[str, ...]) -> LoadFeed:
        streams = choose_streams(self.plan, subscribed)
        template = LapTemplate(self.encoder, streams, combined=connection.combined)
        windows = {
            key: window
            for key, stream in streams.items()
            if (window := connection.streams[stream].window) is not None
        }
        return LoadFeed(
            connection, template, windows, subscribed, connection.combined, self.position
        )

    def congested(self) -> list[Connection]:
        """Return the connections that read slower than the run writes."""
        return [
            feed.connection
            for feed in self._feeds.values()
            if feed.connection.transport.get_write_buffer_size() > HIGH_WATER_BYTES
        ]

    def advance(self, count: int, now_ms: int) -> None:
        """Emit `count` events, written to whoever subscribed them."""
        self._refresh_feeds()
        self._slice_positions.append(self.position)
        self._slice_times.append(now_ms)
        per_lap = self.plan.events_per_lap
        end = self.position + count
        while self.position < end:
            laps, start = divmod(self.position, per_lap)
            stop = min(per_lap, start + end - self.position)
            for feed in self._feeds.values():
                frames = feed.template.render(start, stop, self.plan.lap + laps, now_ms)
                if frames:
                    feed.connection.write(frames)
                counts = feed.template.frame_counts
                feed.connection.sent_count += counts[stop] - counts[start]
                self.frames_written += counts[stop] - counts[start]
            self.position += stop - start
        self.market.emitted_count += count

    def account(self) -> None:
        """Bring the ground truth up to what was emitted and written."""
        truth, now_ms = self.market.truth, self.market.now_ms()
        if self.position > self._accounted:
            for index, symbol in enumerate(self.plan.symbols):
                for kind in self.plan.kinds:
                    first, last, count = self.span(kind, index, self._accounted, self.position)
                    if count:
                        channel = truth.channel(self.market.name, _channel(kind), symbol)
                        channel.record_span(first, last, count, now_ms)
            self._accounted = self.position
        for feed in self._feeds.values():
            self._account_feed(feed)

    def _account_feed(self, feed: LoadFeed) -> None:
        if feed.accounted == self.position:
            return
        for (index, kind), window in feed.windows.items():
            first, last, count = self.span(kind, index, feed.accounted, self.position)
            if count:
                window.count += count
                window.first = first if window.first is None else window.first
                window.last, window.last_ms = last, self._slice_times[-1]
        feed.accounted = self.position

    def span(self, kind: Kind, symbol_index: int, start: int, end: int) -> tuple[int, int, int]:
        """Return first id, last id and count of an instrument's events between positions."""
        before = self.plan.count(kind, symbol_index, start)
        after = self.plan.count(kind, symbol_index, end)
        if after == before:
            return 0, 0, 0
        first = self.plan.sequence(kind, before)
        return first, self.plan.sequence(kind, after - 1), after - before

    def end(self, state: str) -> None:
        """Stop the run and settle its account."""
        self.account()
        self.state = state
        self.ended_at = asyncio.get_running_loop().time()
        logger.info(LogEvent.LOAD_ENDED, extra={"load": self.describe()})

    def describe(self) -> dict[str, Any]:
        """Return the run as the admin port answers it."""
        self.account()
        until = self.ended_at or asyncio.get_running_loop().time()
        seconds = until - self.started_at
        return {
            "spec": msgspec.to_builtins(self.spec),
            "state": self.state,
            "seconds": round(seconds, 6),
            "events": self.position,
            "framesWritten": self.frames_written,
            "framesPerSecond": round(self.frames_written / seconds, 1) if seconds else 0.0,
            "throttledSeconds": round(self.throttled_seconds, 3),
            "bufferedBytes": sum(
                f.connection.transport.get_write_buffer_size() for f in self._feeds.values()
            ),
        }

    async def drive(self, tick_seconds: float) -> None:
        """Emit until the spec's end.

        Without a rate the slowest connection sets the pace; with one nobody does, and a reader
        that falls too far behind is cut off, as the venue does.
        """
        loop = asyncio.get_running_loop()
        paced_from, paced_position = self.started_at, 0
        while (left := self._remaining(now := loop.time())) > 0:
            if self.market.halted:
                await asyncio.sleep(tick_seconds)
                paced_from, paced_position = loop.time(), self.position
                continue
            if self.spec.rate is None:
                await self._blast(left)
                continue
            owed = int((now - paced_from) * self.spec.rate) - (self.position - paced_position)
            if owed > self.spec.rate:
                # More than a second behind: the lost time is not made up for.
                paced_from, paced_position = now - 1.0, self.position
                continue
            limit = left if self.frames_wanted is not None else owed
            if min(owed, limit) > 0:
                self.advance(min(owed, limit), self.market.now_ms())
            await asyncio.sleep(tick_seconds)
        self.end("ended")

    async def _blast(self, left: int) -> None:
        loop = asyncio.get_running_loop()
        waited_from = loop.time()
        while congested := self.congested():
            await asyncio.sleep(POLL_SECONDS)
            if loop.time() - waited_from > STUCK_SECONDS:
                for connection in congested:
                    connection.transport.abort()
        self.throttled_seconds += loop.time() - waited_from
        self.advance(min(left, SLICE_EVENTS), self.market.now_ms())
        await asyncio.sleep(0)


def _channel(kind: Kind) -> str:
    if kind is Kind.DEPTH:
        return "depth@100ms"
    return "kline_1m" if kind is Kind.KLINE else kind
