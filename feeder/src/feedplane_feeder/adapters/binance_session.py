"""One Binance stream connection, sans-I/O: control messages out, frames in.

Subscribes in batches within the venue's limit on control messages and matches every answer by
its id. A batch the venue refuses is halved until the one channel that is refused stands alone.
What may be subscribed already is taken back first, and what was missed meanwhile is told. No more
messages are under way than the venue takes in a second: a bad network delivers them all at once.

Source: binance-spot-api-docs web-socket-streams.md "Live Subscribing/Unsubscribing", USDⓈ-M
"Live Subscribing/Unsubscribing to streams", read 2026-11-21.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from feedplane_feeder.adapters.binance_frames import Route, build_route, decode_tagged, stream_name
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
from feedplane_feeder.errors import ImpossibleValueError
from feedplane_feeder.records import ChannelKind

STREAMS_PER_MESSAGE: Final = 200
ANSWER_WITHIN_NS: Final = 5 * SECOND_NS
# So long a request may still be on its way; it counts with those under way.
GONE_AFTER_NS: Final = 30 * SECOND_NS
# The venue's pings come at most every 20 s, but our pongs count as messages too; and its window
# need not begin with ours, so a little is added to the second.
RESERVED_MESSAGES: Final = 2
WINDOW_NS: Final = 1_100_000_000

_NAME_AT: Final = len(b'{"stream":"')
# A stream that is not wanted, a payload of another kind than its stream, and bytes that are none.
_UNUSABLE: Final = (
    msgspec.DecodeError,
    ImpossibleValueError,
    UnicodeDecodeError,
    KeyError,
    AttributeError,
)


@dataclass(frozen=True, slots=True)
class Request:
    """One control message: asked for, or waiting for its answer since `sent_ns`."""

    method: str
    channels: tuple[Channel, ...]
    renewing: bool = False
    """Taken back only to be subscribed again."""
    sent_ns: int = 0
    frames: int | None = None
    """How many frames its one channel had when it was doubted."""


class BinanceSession:
    """See `Session`."""

    def __init__(
        self,
        venue: str,
        channels: Sequence[Channel],
        limits: VenueLimits,
        instrument_id: Callable[[str], str],
        *,
        tagged_quotes: bool,
    ) -> None:
        self._venue = venue
        self._tagged_quotes = tagged_quotes
        self._by_name = False
        """Whether frames must be decoded by the name of their stream."""
        self._instrument_id = instrument_id
        self._messages_max = max(1, limits.control_messages_per_second - RESERVED_MESSAGES)
        self._budget = WindowBudget(self._messages_max, WINDOW_NS)
        self._routes: dict[str, Route] = {}
        self._routes_raw: dict[bytes, Route] = {}
        self._by_channel: dict[Channel, Route] = {}
        self._waiting: deque[Request] = deque()
        self._unanswered: dict[int, Request] = {}
        self._overdue: dict[int, int] = {}
        """Asked again meanwhile: when each was sent, by its number."""
        self._next_id = 1
        self._is_open = False
        self.want(channels)

    def opened(self, now_ns: int) -> None:
        """See `Session`."""
        self._is_open = True
        self._unanswered.clear()
        self._overdue.clear()
        self._waiting.clear()
        self._ask("SUBSCRIBE", tuple(self._by_channel))

    def want(self, channels: Sequence[Channel]) -> None:
        """See `Session`."""
        wanted = set(channels)
        gone = tuple(channel for channel in self._by_channel if channel not in wanted)
        new = tuple(sorted(wanted.difference(self._by_channel)))
        for channel in gone:
            del self._by_channel[channel]
            del self._routes[stream_name(channel)]
        for channel in new:
            route = build_route(channel, self._instrument_id(channel.symbol))
            self._by_channel[channel] = route
            self._routes[stream_name(channel)] = route
        self._routes_raw = {name.encode(): route for name, route in self._routes.items()}
        self._by_name = not self._tagged_quotes and any(
            channel.name == ChannelKind.QUOTE for channel in self._by_channel
        )
        if self._is_open:
            self._ask("UNSUBSCRIBE", gone)
            self._ask("SUBSCRIBE", new)

    def resubscribe(self, channel: Channel) -> None:
        """See `Session`."""
        under_way = (*self._waiting, *self._unanswered.values())
        route = self._by_channel.get(channel)
        if route is not None and not any(channel in r.channels for r in under_way):
            doubted = Request("UNSUBSCRIBE", (channel,), renewing=True, frames=route.frames)
            self._waiting.append(doubted)

    def unsubscribe_all(self) -> None:
        """See `Session`."""
        self._waiting.clear()
        self._ask("UNSUBSCRIBE", tuple(self._by_channel))

    def frame_counts(self) -> Mapping[Channel, int]:
        """See `Session`."""
        return {channel: route.frames for channel, route in self._by_channel.items()}

    def due(self, now_ns: int) -> Due:
        """See `Session`."""
        due = Due()
        if not self._is_open:
            return due
        self._ask_again(now_ns)
        self._waiting = deque(r for r in self._waiting if not self._is_dispelled(r))
        while self._waiting and self._has_room() and self._budget.take(now_ns):
            request = self._waiting.popleft()
            due.outgoing.append(Outgoing(self._render(request)))
            self._unanswered[self._next_id] = replace(request, sent_ns=now_ns)
            self._next_id += 1
        if self._waiting and self._has_room():
            due.again_ns = self._budget.room_at(now_ns)
        else:
            times = [request.sent_ns + ANSWER_WITHIN_NS for request in self._unanswered.values()]
            times += [sent_ns + GONE_AFTER_NS for sent_ns in self._overdue.values()]
            due.again_ns = min(times, default=None)
        return due

    # A channel that came back by itself while its turn was awaited is left alone.
    def _is_dispelled(self, request: Request) -> bool:
        if request.frames is None:
            return False
        route = self._by_channel.get(request.channels[0])
        return route is None or route.frames > request.frames

    def _has_room(self) -> bool:
        return len(self._unanswered) + len(self._overdue) < self._messages_max

    def receive(self, frames: Sequence[bytes], ts_recv: int) -> Received:
        """See `Session`."""
        received = Received()
        if self._by_name:
            self._receive_by_name(frames, ts_recv, received)
            return received
        routes, append = self._routes, received.records.append
        for frame in frames:
            try:
                combined = decode_tagged(frame)
                append(routes[combined.stream].build(combined.data, frame, ts_recv))
            except _UNUSABLE as error:
                self._receive_odd(frame, ts_recv, error, received)
        return received

    def _receive_by_name(self, frames: Sequence[bytes], ts_recv: int, received: Received) -> None:
        route_of, append = self._routes_raw.get, received.records.append
        for frame in frames:
            # The stream's name is read where it always stands.
            route = route_of(frame[_NAME_AT : frame.find(b'"', _NAME_AT)])
            if route is None:
                self._receive_other(frame, ts_recv, received)
                continue
            try:
                append(route.build(route.decode(frame).data, frame, ts_recv))
            except _UNUSABLE as error:
                self._set_aside(frame, ts_recv, error, route, received)

    # A frame of a wanted stream that cannot be used, or no such frame at all.
    def _receive_odd(
        self, frame: bytes, ts_recv: int, error: Exception, received: Received
    ) -> None:
        route = self._routes_raw.get(frame[_NAME_AT : frame.find(b'"', _NAME_AT)])
        if route is None:
            self._receive_other(frame, ts_recv, received)
        else:
            self._set_aside(frame, ts_recv, error, route, received)

    def _ask(self, method: str, channels: tuple[Channel, ...], *, renewing: bool = False) -> None:
        for start in range(0, len(channels), STREAMS_PER_MESSAGE):
            part = channels[start : start + STREAMS_PER_MESSAGE]
            self._waiting.append(Request(method, part, renewing))

    def _ask_again(self, now_ns: int) -> None:
        self._overdue = {
            number: sent_ns
            for number, sent_ns in self._overdue.items()
            if sent_ns + GONE_AFTER_NS > now_ns
        }
        late = [
            number
            for number, request in self._unanswered.items()
            if request.sent_ns + ANSWER_WITHIN_NS <= now_ns
        ]
        for number in late:
            request = self._unanswered.pop(number)
            self._overdue[number] = request.sent_ns
            # Subscribed or not, nobody knows.
            renewing = request.renewing or request.method == "SUBSCRIBE"
            self._ask("UNSUBSCRIBE", self._still_meant(request), renewing=renewing)

    def _still_meant(self, request: Request) -> tuple[Channel, ...]:
        if request.method == "UNSUBSCRIBE" and not request.renewing:
            return tuple(c for c in request.channels if c not in self._by_channel)
        return tuple(c for c in request.channels if c in self._by_channel)

    def _render(self, request: Request) -> str:
        streams = [stream_name(channel) for channel in request.channels]
        message = {"method": request.method, "params": streams, "id": self._next_id}
        return msgspec.json.encode(message).decode()

    # Everything that is not a combined frame of a wanted stream in its usual form.
    def _receive_other(self, frame: bytes, ts_recv: int, received: Received) -> None:
        try:
            document = msgspec.json.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._set_aside(frame, ts_recv, error, None, received)
            return
        if not isinstance(document, dict):
            strange = ImpossibleValueError("NotAnObject")
            self._set_aside(frame, ts_recv, strange, None, received)
            return
        stream, data = document.get("stream"), document.get("data", document)
        if isinstance(data, dict) and data.get("e") == "serverShutdown":
            control = Control(kind=ControlKind.ROTATE, reason="ServerShutdown")
            received.controls.append(control)
        elif isinstance(stream, str):
            self._receive_reordered(stream, frame, ts_recv, received)
        elif "result" in document or "code" in document or "error" in document:
            self._receive_answer(document, received)

    # A combined frame whose keys or spaces stand differently; a stream that is not wanted any
    # more is passed over.
    def _receive_reordered(
        self, stream: str, frame: bytes, ts_recv: int, received: Received
    ) -> None:
        route = self._routes.get(stream)
        if route is None:
            return
        try:
            received.records.append(route.build(route.decode(frame).data, frame, ts_recv))
        except _UNUSABLE as error:
            self._set_aside(frame, ts_recv, error, route, received)

    def _receive_answer(self, document: dict[str, Any], received: Received) -> None:
        number = document.get("id")
        error = document.get("error", document if "code" in document else None)
        if isinstance(number, int) and self._overdue.pop(number, None) is not None:
            received.answered = True
        if not isinstance(number, int) or number not in self._unanswered:
            # Some refusals carry no id; they answer the oldest request.
            if error is None or not self._unanswered:
                return
            number = min(self._unanswered)
        request = self._unanswered.pop(number)
        received.answered = True
        channels = self._still_meant(request)
        if request.renewing:
            received.interrupted.update((c, self._by_channel[c].instrument_id) for c in channels)
            self._ask("SUBSCRIBE", channels)
        if request.method != "SUBSCRIBE" or not channels:
            return
        if error is None:
            received.acknowledged.extend(channels)
        elif len(channels) == 1:
            message = error.get("msg", "") if isinstance(error, dict) else str(error)
            refusal = Refusal(channel=channels[0], reason="VenueRefused", message=str(message))
            received.refusals.append(refusal)
        else:
            half = len(channels) // 2
            self._waiting.append(Request("SUBSCRIBE", channels[:half]))
            self._waiting.append(Request("SUBSCRIBE", channels[half:]))

    # A frame whose stream cannot be told may have been any of the connection's.
    def _set_aside(
        self,
        frame: bytes,
        ts_recv: int,
        error: Exception,
        route: Route | None,
        received: Received,
    ) -> None:
        whole = self._by_channel.values() if route is None else (route,)
        suspects = {each.channel: each.instrument_id for each in whole}
        set_aside(received, frame, ts_recv, error, venue=self._venue, suspects=suspects)
