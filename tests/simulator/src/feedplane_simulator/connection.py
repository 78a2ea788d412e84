"""One client's stream connection: what it subscribed, what it is sent, when it must end."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

from feedplane_simulator.channels import StreamName
from feedplane_simulator.config import Market, MarketRules
from feedplane_simulator.events import VenueEvent
from feedplane_simulator.faults import FaultBook, Frame, FrameVerdict
from feedplane_simulator.frames import encode_text_frame
from feedplane_simulator.rules import KeepAlive, RateMeter
from feedplane_simulator.truth import DeliveredStream


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who connects, as far as the venue can tell."""

    market_name: Market
    account: str
    host: str
    address: str
    user_agent: str
    key: str = ""
    number: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """What a fault's client glob is held against."""
        return (self.account, self.host, self.address, self.user_agent, self.key)

    @property
    def label(self) -> str:
        """The most telling of the names."""
        return self.account or self.key or self.host


@dataclass(slots=True, kw_only=True)
class StreamSubscription:
    """One stream of a connection; a mute one was acknowledged and is never pushed."""

    name: StreamName | None
    at: float
    window: DeliveredStream | None


class Connection:
    """One open WebSocket. Frames queue in `deliver` and leave together in `flush`."""

    def __init__(
        self,
        client: Client,
        number: int,
        route: str,
        path: str,
        rules: MarketRules,
        transport: asyncio.Transport,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.client = client
        self.number = number
        self.route = route
        self.path = path
        self.transport = transport
        self.streams: dict[str, StreamSubscription] = {}
        self.combined = False
        self.opened_ms = 0
        self.keep_alive = KeepAlive(rules, loop.time())
        self.messages = RateMeter(rules.messages_per_second, 1.0)
        self.sent_count = 0
        self.closing: str | None = None
        self._loop = loop
        self._limit_bytes = rules.send_buffer_bytes
        self.frozen = False
        """Nothing passes now; what is sent waits and arrives late."""
        self._queued: list[bytes] = []
        self._late: deque[tuple[bytes, DeliveredStream | None, int]] = deque()
        self._late_bytes = 0
        self._held: dict[str, tuple[DeliveredStream, int, bytes]] = {}

    @property
    def market_name(self) -> Market:
        """Market of the connection."""
        return self.client.market_name

    @property
    def names(self) -> tuple[str, ...]:
        """Account, host, address and user agent."""
        return self.client.names

    def describe(self) -> dict[str, Any]:
        """Return the connection as the admin port answers it."""
        return {
            "id": self.number,
            "market": self.market_name,
            "route": self.route,
            "path": self.path,
            "account": self.client.account,
            "host": self.client.host,
            "address": self.client.address,
            "userAgent": self.client.user_agent,
            "openedTime": self.opened_ms,
            "combined": self.combined,
            "streams": list(self.streams),
            "sent": self.sent_count,
            "bufferedBytes": self.transport.get_write_buffer_size(),
        }

    def deliver(self, event: VenueEvent, frame: bytes, faults: FaultBook, now_ms: int) -> None:
        """Queue one event's frame, unless a fault has other plans for it."""
        subscription = self.streams[event.stream]
        window = subscription.window
        if window is None or self.transport.is_closing():
            return
        if self.frozen:
            self._hold_back(frame, window, event.sequence)
            return
        if not faults.on_frames and not self._held:
            self._queued.append(frame)
            window.sent(event.sequence, now_ms)
            return
        looked_at = Frame(event.stream, event.sequence, subscription.at)
        verdict = faults.judge_frame(self, looked_at, self._loop.time())
        self._deliver_judged(event, frame, verdict, window, now_ms)

    def _deliver_judged(
        self,
        event: VenueEvent,
        frame: bytes,
        verdict: FrameVerdict,
        window: DeliveredStream,
        now_ms: int,
    ) -> None:
        if not verdict.send or verdict.corrupt:
            window.withhold(event.sequence)
            if verdict.send:
                self._queued.append(encode_text_frame(event.payload[: len(event.payload) // 2]))
            return
        if verdict.delay_seconds:
            self._loop.call_later(
                verdict.delay_seconds, self._deliver_late, frame, window, event.sequence, now_ms
            )
            return
        held = self._held.pop(event.stream, None)
        if held is None and verdict.hold:
            self._held[event.stream] = (window, event.sequence, frame)
            return
        self._queued.extend([frame] * verdict.copies)
        window.sent(event.sequence, now_ms)
        window.duplicated += verdict.copies - 1
        if held is not None:
            self._queued.append(held[2])
            held[0].sent(held[1], now_ms)

    def _deliver_late(
        self, frame: bytes, window: DeliveredStream, sequence: int, now_ms: int
    ) -> None:
        if self.transport.is_closing():
            window.withhold(sequence)
            return
        window.sent(sequence, now_ms)
        self._queued.append(frame)
        self.flush()

    def freeze(self, frozen: bool, now_ms: int) -> None:
        """Let nothing pass from now on, or all that waited."""
        if frozen == self.frozen:
            return
        self.flush()
        self.frozen = frozen
        while self._late and not frozen:
            frame, window, sequence = self._late.popleft()
            self._queued.append(frame)
            if window is not None:
                window.sent(sequence, now_ms)
        if not frozen:
            self._late_bytes = 0
            self.flush()

    def forget_late(self) -> None:
        """Take back what waited on a connection that is gone."""
        for _, window, sequence in self._late:
            if window is not None:
                window.withhold(sequence)
        self._late.clear()

    def _hold_back(self, frame: bytes, window: DeliveredStream | None, sequence: int) -> None:
        self._late.append((frame, window, sequence))
        self._late_bytes += len(frame)
        if self._late_bytes > self._limit_bytes:
            self.closing = "slow reader"
            self.transport.abort()

    def flush(self) -> None:
        """Write what is queued; a reader too slow for its buffer is cut off."""
        if not self._queued:
            return
        self.sent_count += len(self._queued)
        queued, self._queued = self._queued, []
        self.write(b"".join(queued))

    def write(self, frames: bytes | memoryview) -> None:
        """Write encoded frames at once."""
        if self.transport.is_closing():
            return
        if self.frozen:
            self._hold_back(bytes(frames), None, 0)
            return
        self.transport.write(frames)
        if self.transport.get_write_buffer_size() > self._limit_bytes:
            self.closing = "slow reader"
            self.transport.abort()

    def send_text(self, payload: bytes) -> None:
        """Send one payload now, behind what is queued."""
        self._queued.append(encode_text_frame(payload))
        self.flush()
