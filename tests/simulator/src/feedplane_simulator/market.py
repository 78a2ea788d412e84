"""One market: its connections, who subscribed what, and the way of an event to them."""

import asyncio
import itertools
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable

from feedplane_simulator.channels import is_routed, parse_stream
from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.connection import Client, Connection, StreamSubscription
from feedplane_simulator.events import LogEvent, VenueEvent
from feedplane_simulator.faults import FaultBook
from feedplane_simulator.frames import encode_combined, encode_text_frame
from feedplane_simulator.rules import Due, RateMeter, WeightMeter
from feedplane_simulator.sources import Source
from feedplane_simulator.truth import DeliveredStream, Truth
from feedplane_simulator.violations import Rule, Violation, ViolationLog

logger = logging.getLogger(__name__)


class LiveMarket:
    """Everything of one market that outlives a connection."""

    def __init__(
        self,
        name: Market,
        config: SimulatorConfig,
        source: Source,
        books: tuple[Truth, ViolationLog, FaultBook],
        now_ms: Callable[[], int],
    ) -> None:
        self.name = name
        self.rules = config.rules[name]
        self.source = source
        self.truth, self.violations, self.faults = books
        self.now_ms = now_ms
        self.connections: dict[int, Connection] = {}
        self.halted = False
        self.emitted_count = 0
        self.rest_count = 0
        self._subscribers: dict[str, dict[int, Connection]] = defaultdict(dict)
        self._numbers = itertools.count(1 if name is Market.SPOT else 1_000_001)
        self._connects: dict[str, RateMeter] = {}
        self._weights: dict[str, WeightMeter] = {}

    def next_number(self) -> int:
        """Return a number for a new connection."""
        return next(self._numbers)

    def connect_meter(self, address: str) -> RateMeter:
        """Return the meter of connection attempts of one address."""
        rules = self.rules
        return self._connects.setdefault(
            address, RateMeter(rules.connects_max, rules.connects_window_seconds)
        )

    def weight_meter(self, address: str) -> WeightMeter:
        """Return the REST weight meter of one address."""
        return self._weights.setdefault(address, WeightMeter(self.rules))

    def violate(self, client: Client, connection: int, rule: Rule, detail: str) -> None:
        """Write down that a client broke a rule."""
        violation = Violation(
            time=self.now_ms(),
            market=self.name,
            connection=connection,
            client=client.label,
            rule=rule,
            detail=detail,
        )
        self.violations.add(violation)
        logger.warning(
            LogEvent.RULE_VIOLATED,
            extra={"market": self.name, "connection": connection, "rule": rule, "detail": detail},
        )

    def attach(self, connection: Connection) -> None:
        """Take in a connection that has shaken hands."""
        connection.opened_ms = self.now_ms()
        self.connections[connection.number] = connection

    def detach(self, connection: Connection) -> None:
        """Forget a connection and close its delivery windows."""
        connection.forget_late()
        self.unsubscribe(connection, list(connection.streams))
        self.connections.pop(connection.number, None)

    def subscribe(self, connection: Connection, names: Iterable[str]) -> bool:
        """Add streams to a connection; False when it would hold too many."""
        for text in names:
            if text in connection.streams:
                self.violate(connection.client, connection.number, Rule.SUBSCRIBED_TWICE, text)
                continue
            if len(connection.streams) >= self.rules.streams_max:
                detail = f"more than {self.rules.streams_max}"
                self.violate(connection.client, connection.number, Rule.STREAM_COUNT, detail)
                return False
            connection.streams[text] = self._open_stream(connection, text)
        return True

    def _open_stream(self, connection: Connection, text: str) -> StreamSubscription:
        now = asyncio.get_running_loop().time()
        name = parse_stream(text)
        if name is None or not is_routed(self.name, connection.route, name.channel):
            return StreamSubscription(name=name, at=now, window=None)
        if name.channel.startswith("kline_"):
            self.source.want_interval(name.channel.removeprefix("kline_"), self.now_ms())
        label = connection.client.label
        opened = DeliveredStream(connection.number, text, self.now_ms(), None, account=label)
        window = self.truth.subscribed(self.name, name.channel, name.symbol, opened)
        self._subscribers[text][connection.number] = connection
        return StreamSubscription(name=name, at=now, window=window)

    def unsubscribe(self, connection: Connection, names: Iterable[str]) -> None:
        """Take streams from a connection; unknown ones are ignored."""
        for text in names:
            subscription = connection.streams.pop(text, None)
            if subscription is None or subscription.window is None or subscription.name is None:
                continue
            self._subscribers[text].pop(connection.number, None)
            name = subscription.name
            self.truth.unsubscribed(
                self.name, name.channel, name.symbol, subscription.window, self.now_ms()
            )

    def emit(self, events: Iterable[VenueEvent]) -> None:
        """Write events into the truth and queue them to whoever subscribed."""
        now_ms = self.now_ms()
        for event in events:
            self.emitted_count += 1
            self.truth.record(self.name, event, now_ms)
            subscribers = self._subscribers.get(event.stream)
            if not subscribers:
                continue
            frames: dict[bool, bytes] = {}
            for connection in subscribers.values():
                frame = frames.get(connection.combined)
                if frame is None:
                    frame = frames[connection.combined] = _encode(event, connection.combined)
                connection.deliver(event, frame, self.faults, now_ms)

    def flush(self) -> None:
        """Write what is queued on every connection."""
        for connection in self.connections.values():
            connection.flush()

    def subscribers_of(self, stream: str) -> dict[int, Connection]:
        """Return the connections a stream is pushed to, by number."""
        return self._subscribers.get(stream, {})

    def due(self) -> list[tuple[Connection, Due]]:
        """Return what the connections' clocks call for now."""
        now = asyncio.get_running_loop().time()
        self.faults.expire(now)
        for connection in self.connections.values():
            connection.freeze(self.faults.freezes(connection, now), self.now_ms())
        return [
            (connection, call)
            for connection in self.connections.values()
            for call in connection.keep_alive.due(now)
        ]


def _encode(event: VenueEvent, combined: bool) -> bytes:
    if combined:
        return encode_text_frame(encode_combined(event.stream, event.payload))
    return encode_text_frame(event.payload)
