"""One CTP market-data login, sans-I/O: structs and callbacks in, subscriptions out.

A frame is either a market-data struct as it lay in memory or a JSON object that says which
callback came (`ctp_native.py`). Subscriptions go out in batches with a pause between, because a
front drops whoever asks for too much at once. Its answers are not counted: it may send fewer than
asked, and says yes to instruments that do not exist.

Source: API manual 6.7, SubscribeMarketData and flow control; read 2026-11-21.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Struct

from feedplane_feeder.adapters.ctp_fields import DepthReader, Layout, build_snapshot
from feedplane_feeder.core.aside import set_aside
from feedplane_feeder.core.budget import SECOND_NS, WindowBudget
from feedplane_feeder.core.ports import (
    Channel,
    Control,
    ControlKind,
    Due,
    Outgoing,
    Received,
    Refusal,
    VenueLimits,
)
from feedplane_feeder.errors import ImpossibleValueError, MalformedFrameError

SYMBOLS_PER_MESSAGE: Final = 500
WINDOW_NS: Final = 1_100_000_000
ANSWER_WITHIN_NS: Final = 5 * SECOND_NS


class Callback(Struct):
    """What the library called back, or what became of a request."""

    on: str
    symbol: str = ""
    error: int = 0
    message: str = ""
    trading_day: str = ""
    symbols: list[str] = []
    count: int = 0


@dataclass(slots=True)
class _Stream:
    """One wanted instrument."""

    channel: Channel
    instrument_id: str
    frames: int = 0
    sent_ns: int = 0
    """When it was asked for; 0 before that."""
    acknowledged: bool = False


_decode: Final = msgspec.json.Decoder(Callback).decode


class CtpSession:
    """See `Session`."""

    def __init__(
        self,
        venue: str,
        channels: Sequence[Channel],
        limits: VenueLimits,
        instrument_id: Callable[[str], str],
        layout: Layout,
    ) -> None:
        self._venue = venue
        self._instrument_id = instrument_id
        self._budget = WindowBudget(max(1, limits.control_messages_per_second), WINDOW_NS)
        self._reader = DepthReader(layout)
        self._streams: dict[str, _Stream] = {}
        self._waiting: deque[tuple[str, tuple[str, ...]]] = deque()
        self._trading_day = ""
        self._is_open = False
        self._again_ns = 0
        """Nothing goes out before: the front said that it is too much."""
        self._now_ns = 0
        self.want(channels)

    def opened(self, now_ns: int) -> None:
        """See `Session`."""
        self._is_open = True
        self._now_ns = now_ns
        self._waiting.clear()
        self._ask("subscribe", tuple(self._streams))

    def want(self, channels: Sequence[Channel]) -> None:
        """See `Session`."""
        wanted = {channel.symbol: channel for channel in channels}
        gone = tuple(symbol for symbol in self._streams if symbol not in wanted)
        new = tuple(sorted(symbol for symbol in wanted if symbol not in self._streams))
        for symbol in gone:
            del self._streams[symbol]
        for symbol in new:
            self._streams[symbol] = _Stream(wanted[symbol], self._instrument_id(symbol))
        if self._is_open:
            self._ask("unsubscribe", gone)
            self._ask("subscribe", new)

    def resubscribe(self, channel: Channel) -> None:
        """See `Session`."""
        if channel.symbol in self._streams and not any(
            channel.symbol in symbols for _, symbols in self._waiting
        ):
            # Asked for again, the front sends the newest state at once, which proves the stream.
            self._ask("subscribe", (channel.symbol,))

    def unsubscribe_all(self) -> None:
        """See `Session`."""
        self._waiting.clear()
        self._ask("unsubscribe", tuple(self._streams))

    def frame_counts(self) -> Mapping[Channel, int]:
        """See `Session`."""
        return {stream.channel: stream.frames for stream in self._streams.values()}

    def due(self, now_ns: int) -> Due:
        """See `Session`."""
        due = Due()
        self._now_ns = now_ns
        while self._is_open and self._waiting and now_ns >= self._again_ns:
            if not self._budget.take(now_ns):
                break
            verb, symbols = self._waiting.popleft()
            meant = [s for s in symbols if (s in self._streams) == (verb == "subscribe")]
            if verb == "unsubscribe" and not meant:
                meant = list(symbols)
            if meant:
                message = msgspec.json.encode({"do": verb, "symbols": meant})
                due.outgoing.append(Outgoing(message.decode()))
        if self._waiting:
            due.again_ns = max(self._again_ns, self._budget.room_at(now_ns))
        return due

    def receive(self, frames: Sequence[bytes], ts_recv: int) -> Received:
        """See `Session`."""
        received = Received()
        size = self._reader.size
        for frame in frames:
            if len(frame) == size and frame[:1] != b"{":
                self._receive_depth(frame, ts_recv, received)
                continue
            try:
                callback = _decode(frame)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self._set_aside(frame, error, None, ts_recv, received)
                continue
            self._receive_callback(callback, ts_recv, received)
        return received

    def _receive_depth(self, frame: bytes, ts_recv: int, received: Received) -> None:
        depth = self._reader.read(frame)
        stream = self._streams.get(depth.symbol)
        if stream is None:
            if not (depth.symbol.isascii() and depth.symbol.isprintable() and depth.symbol):
                error = MalformedFrameError("no instrument", frame)
                self._set_aside(frame, error, None, ts_recv, received)
            return
        try:
            snapshot = build_snapshot(depth, stream.instrument_id, ts_recv)
        except ImpossibleValueError as error:
            self._set_aside(frame, error, stream, ts_recv, received)
            return
        if not stream.acknowledged:
            self._acknowledge(stream, received)
        if snapshot is None or snapshot.trading_day < self._trading_day:
            # The last state of a day that is over, sent again at the login.
            received.unchanged += 1
            return
        stream.frames += 1
        received.records.append(snapshot)

    def _receive_callback(self, callback: Callback, ts_recv: int, received: Received) -> None:
        match callback.on:
            case "login":
                day = callback.trading_day
                self._trading_day = f"{day[:4]}-{day[4:6]}-{day[6:8]}" if len(day) == 8 else ""
            case "sent":
                self._note_sent(callback, ts_recv, received)
            case "subscribed":
                self._note_subscribed(callback, received)
            case "overflowed":
                received.interrupted.update(
                    (stream.channel, stream.instrument_id) for stream in self._streams.values()
                )
            case "disconnected":
                reason = f"FrontDisconnected{callback.error}"
                received.controls.append(Control(kind=ControlKind.RECONNECT, reason=reason))
            case _:
                self._acknowledge_late(ts_recv, received)

    # -1 is no connection, -2 and -3 are too many requests: the same again, a little later.
    def _note_sent(self, callback: Callback, ts_recv: int, received: Received) -> None:
        received.answered = True
        if callback.error:
            self._again_ns = ts_recv + WINDOW_NS
            self._waiting.appendleft(("subscribe", tuple(callback.symbols)))
            return
        for symbol in callback.symbols:
            stream = self._streams.get(symbol)
            if stream is not None and not stream.acknowledged:
                stream.sent_ns = ts_recv

    def _note_subscribed(self, callback: Callback, received: Received) -> None:
        stream = self._streams.get(callback.symbol)
        if stream is None:
            return
        if not callback.error:
            self._acknowledge(stream, received)
            return
        message = callback.message or f"error {callback.error}"
        refusal = Refusal(channel=stream.channel, reason="VenueRefused", message=message)
        received.refusals.append(refusal)

    # A front may answer for fewer than were asked; what came of it shows in the data.
    def _acknowledge_late(self, ts_recv: int, received: Received) -> None:
        for stream in self._streams.values():
            waits = stream.sent_ns and not stream.acknowledged
            if waits and ts_recv - stream.sent_ns > ANSWER_WITHIN_NS:
                self._acknowledge(stream, received)

    def _acknowledge(self, stream: _Stream, received: Received) -> None:
        stream.acknowledged = True
        received.acknowledged.append(stream.channel)

    def _ask(self, verb: str, symbols: tuple[str, ...]) -> None:
        for start in range(0, len(symbols), SYMBOLS_PER_MESSAGE):
            self._waiting.append((verb, symbols[start : start + SYMBOLS_PER_MESSAGE]))

    def _set_aside(
        self,
        frame: bytes,
        error: Exception,
        stream: _Stream | None,
        ts_recv: int,
        received: Received,
    ) -> None:
        whole = self._streams.values() if stream is None else (stream,)
        suspects = {each.channel: each.instrument_id for each in whole}
        set_aside(received, frame, ts_recv, error, venue=self._venue, suspects=suspects)
